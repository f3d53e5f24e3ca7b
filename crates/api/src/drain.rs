//! The end of the process: no new work, and nothing begun in the background is lost.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Work in the background at once; more is refused.
const ROOM: usize = 256;

/// Whether this process takes no new work because it is about to end, and what it still does after its
/// answers were sent. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Draining(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: AtomicBool,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
}

impl Default for Draining {
    fn default() -> Self {
        Self(Arc::new(Inner {
            begun: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(ROOM)),
        }))
    }
}

impl Draining {
    /// From now on `/ready` answers 503.
    pub fn begin(&self) {
        self.0.begun.store(true, Ordering::Relaxed);
    }

    /// Whether it has begun.
    pub fn is_on(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Waits until what runs in the background (hang-ups at carriers) is done, at most `limit`. `false` =
    /// some of it was still under way.
    pub async fn finished(&self, limit: Duration) -> bool {
        self.0.tasks.close();
        tokio::time::timeout(limit, self.0.tasks.wait())
            .await
            .is_ok()
    }

    /// Runs `work` after the answer; `false` when too much runs already.
    pub(crate) fn later(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(permit) = Arc::clone(&self.0.room).try_acquire_owned() else {
            return false;
        };
        self.0.tasks.spawn(async move {
            work.await;
            drop(permit);
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn background_work_is_bounded_and_waited_for() {
        let draining = Draining::default();
        for _ in 0..ROOM {
            assert!(draining.later(tokio::time::sleep(Duration::from_secs(1))));
        }
        assert!(!draining.later(async {}));
        assert!(!draining.is_on());
        draining.begin();
        assert!(draining.clone().is_on());
        assert!(!draining.finished(Duration::from_millis(10)).await);
        assert!(draining.finished(Duration::from_secs(10)).await);
    }
}
