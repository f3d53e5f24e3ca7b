//! Keeps sockets and timers going while a task blocks its thread. The thread that a hung disk holds may be
//! the one that would have waited for the network; the others sleep until something wakes them, and nothing
//! would. A plain thread wakes one now and then, which then waits for the network in its place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::runtime::Handle;

/// How long the network may be without anyone at most.
const EVERY: Duration = Duration::from_millis(100);

/// Beats until it is dropped.
#[derive(Debug)]
pub struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// Keeps the current runtime awake.
    pub fn start() -> std::io::Result<Self> {
        let (runtime, stop) = (Handle::current(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    thread::sleep(EVERY);
                    // Not owned: it does nothing and is over when it begins.
                    drop(runtime.spawn(async {}));
                }
            })?;
        Ok(Self(stop))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
