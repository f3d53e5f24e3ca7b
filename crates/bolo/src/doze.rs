//! One worker of the runtime at work, as long as one keeps up. Tokio wakes a second one whenever a look at the sockets has
//! found two tasks; it does one of them and goes back to sleep, and with 300 calls on two processors a tenth of the server's
//! CPU was that. Here who has nothing to do while another one waits for the sockets dozes first, and only looks now and
//! then whether the other is still coming round.
//!
//! Tokio calls us before it counts a worker as asleep (`on_thread_park`). Until then it takes it for one that looks for
//! tasks, and wakes nobody for new ones; once we return, it looks into all queues again before it lets the worker sleep
//! (tokio 1.54, `multi_thread/worker.rs`: `Context::park`, `Core::transition_to_parked`). So a task is late by little more
//! than [`LOOK`], where its worker is stuck in another one, or where a thread that is not the runtime's (SQLite's) woke it
//! while the sockets were silent.

use std::{
    cell::Cell,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Between two looks, and what a task may be late by.
const LOOK: Duration = Duration::from_millis(2);
/// Nobody dozes for so long once the sockets were silent from one look to the next: there is little to do, and who waits for
/// another thread's answer shall not wait for us.
const PAUSE: Duration = Duration::from_millis(100);
/// So many looks in a row that find the other one at work: it keeps up, but one alone is not enough.
const MANY: u32 = 50;
/// Nobody dozes for so long after that.
const LONG_PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    static WAITS_FOR_SOCKETS: Cell<bool> = const { Cell::new(false) };
}

/// What a runtime's workers are at. A hint: whatever it says, a worker sleeps or dozes, and none does so for ever.
#[derive(Default)]
pub struct Doze {
    /// One that sleeps waits for the sockets. The first to fall asleep does, the others wait to be woken.
    is_at_sockets: AtomicBool,
    /// How often a worker found nothing more to do, in any queue.
    rounds: AtomicU64,
    /// Held by the one that dozes; nobody does before this time.
    pause: Mutex<Option<Instant>>,
}

impl Doze {
    /// To be called by a worker that has nothing to do (`on_thread_park`).
    pub fn before_sleep(&self) {
        self.doze(Instant::now, || thread::sleep(LOOK));
        WAITS_FOR_SOCKETS.set(!self.is_at_sockets.swap(true, SeqCst));
        self.rounds.fetch_add(1, SeqCst);
    }

    /// To be called by a worker that goes on (`on_thread_unpark`).
    pub fn after_sleep(&self) {
        if WAITS_FOR_SOCKETS.replace(false) {
            self.is_at_sockets.store(false, SeqCst);
        }
    }

    /// Returns once no other worker has come round since the last look, or once none has had a rest for long.
    fn doze(&self, now: impl Fn() -> Instant, sleep: impl Fn()) {
        if !self.is_at_sockets.load(SeqCst) {
            return;
        }
        let Ok(mut pause) = self.pause.try_lock() else {
            return;
        };
        if pause.is_some_and(|end| now() < end) {
            return;
        }
        let mut before = self.rounds.load(SeqCst);
        let mut busy = 0;
        let length = loop {
            sleep();
            let rounds = self.rounds.load(SeqCst);
            let is_at_sockets = self.is_at_sockets.load(SeqCst);
            busy = if is_at_sockets { 0 } else { busy + 1 };
            if rounds == before {
                break is_at_sockets.then_some(PAUSE);
            }
            if busy == MANY {
                break Some(LONG_PAUSE);
            }
            before = rounds;
        };
        *pause = length.map(|length| now() + length);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    /// How often a worker looks in vain while the other one comes round so many times, and is in a task or asleep then.
    fn looks(doze: &Doze, now: Instant, rounds: u64, then_at_sockets: bool) -> u64 {
        let looks = AtomicU64::new(0);
        let sleep = || {
            if looks.fetch_add(1, SeqCst) < rounds {
                doze.rounds.fetch_add(1, SeqCst);
            } else {
                doze.is_at_sockets.store(then_at_sockets, SeqCst);
            }
        };
        doze.doze(|| now, sleep);
        looks.into_inner()
    }

    fn with_one_at_sockets() -> Doze {
        let doze = Doze::default();
        thread::scope(|scope| {
            scope.spawn(|| doze.before_sleep());
        });
        doze
    }

    #[test]
    fn nobody_dozes_while_nobody_waits_for_the_sockets() {
        let doze = Doze::default();
        assert_eq!(looks(&doze, Instant::now(), 3, true), 0);

        doze.before_sleep();
        doze.after_sleep();
        assert_eq!(looks(&doze, Instant::now(), 3, true), 0);
    }

    #[test]
    fn who_dozes_comes_back_when_the_other_one_is_stuck_and_may_doze_again() {
        let (doze, now) = (with_one_at_sockets(), Instant::now());
        assert_eq!(looks(&doze, now, 3, false), 4);

        doze.is_at_sockets.store(true, SeqCst);
        assert_eq!(looks(&doze, now, 0, false), 1);
    }

    #[test]
    fn once_the_sockets_were_silent_nobody_dozes_for_a_while() {
        let (doze, now) = (with_one_at_sockets(), Instant::now());
        assert_eq!(looks(&doze, now, 3, true), 4);
        assert_eq!(looks(&doze, now + PAUSE / 2, 3, true), 0);
        assert_eq!(looks(&doze, now + PAUSE, 3, true), 4);
    }

    #[test]
    fn one_that_keeps_up_but_has_no_rest_gets_help_for_a_while() {
        let (doze, now) = (with_one_at_sockets(), Instant::now());
        let looks_in_vain = AtomicU64::new(0);
        let sleep = || {
            looks_in_vain.fetch_add(1, SeqCst);
            doze.is_at_sockets.store(false, SeqCst);
            doze.rounds.fetch_add(1, SeqCst);
        };
        doze.doze(|| now, sleep);
        assert_eq!(looks_in_vain.into_inner(), u64::from(MANY));

        doze.is_at_sockets.store(true, SeqCst);
        assert_eq!(looks(&doze, now + LONG_PAUSE / 2, 3, true), 0);
        assert_eq!(looks(&doze, now + LONG_PAUSE, 3, true), 4);
    }

    #[test]
    fn only_one_dozes() {
        let (doze, now) = (with_one_at_sockets(), Instant::now());
        let inner = AtomicU64::new(0);
        doze.doze(
            || now,
            || {
                inner.fetch_add(looks(&doze, now, 3, true), SeqCst);
            },
        );
        assert_eq!(inner.into_inner(), 0);
    }

    #[test]
    fn a_runtime_whose_workers_doze_does_what_other_threads_and_its_own_tasks_ask() {
        let doze = Arc::new(Doze::default());
        let (sleeping, waking) = (doze.clone(), doze.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_park(move || sleeping.before_sleep())
            .on_thread_unpark(move || waking.after_sleep())
            .build()
            .unwrap();
        let asking = (0..8).map(|_| {
            runtime.spawn(async {
                for _ in 0..200 {
                    let (answer, answered) = tokio::sync::oneshot::channel();
                    tokio::task::spawn_blocking(|| answer.send(()).unwrap());
                    answered.await.unwrap();
                    tokio::spawn(tokio::task::yield_now()).await.unwrap();
                }
            })
        });
        let asking: Vec<_> = asking.collect();
        for task in asking {
            runtime.block_on(task).unwrap();
        }
        assert!(doze.rounds.load(SeqCst) > 0);
    }
}
