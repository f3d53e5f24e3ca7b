//! One clock for all calls of a fake: a timer per call would wake the process once per call and
//! frame; here calls of one phase wake together.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::task::AbortOnDropHandle;

/// Length of one audio frame.
pub(crate) const FRAME: Duration = Duration::from_millis(20);
/// Calls are spread over this many phases, so that a server under load does not get all frames at
/// one instant.
const PHASES: usize = 20;

/// Ticks every 20 ms, in twenty phases of 1 ms, the finest of the runtime's timers.
pub(crate) struct Ticker {
    phases: Vec<watch::Sender<Instant>>,
    next: AtomicUsize,
    _task: AbortOnDropHandle<()>,
}

impl Ticker {
    /// Starts the clock on the current runtime.
    pub fn start() -> Self {
        let phases: Vec<_> = (0..PHASES)
            .map(|_| watch::channel(Instant::now()).0)
            .collect();
        let senders = phases.clone();
        let step = FRAME / PHASES as u32;
        let task = tokio::spawn(async move {
            let mut beat = interval_at(Instant::now() + step, step);
            beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut phase = 0;
            loop {
                if senders.iter().all(|phase| phase.receiver_count() == 0) {
                    // Nobody listens: look again a few times a second instead of 500 times.
                    tokio::time::sleep(FRAME).await;
                    beat.reset();
                    continue;
                }
                let due = beat.tick().await;
                phase = (phase + 1) % PHASES;
                senders[phase].send_replace(due);
            }
        });
        Self {
            phases,
            next: AtomicUsize::new(0),
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A call's own tick; its value is when it was due. Ticks may be left out: read the clock and catch up.
    pub fn join(&self) -> watch::Receiver<Instant> {
        let phase = self.next.fetch_add(1, Ordering::Relaxed) % self.phases.len();
        self.phases[phase].subscribe()
    }
}
