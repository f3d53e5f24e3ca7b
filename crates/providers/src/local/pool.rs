//! A few threads that run models, with a bounded queue before them.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rten::{RunOptions, ThreadPool};
use tokio::sync::{Semaphore, oneshot};

use super::pico::Pico;

/// Jobs that may wait for each thread. With jobs of about 100 ms the last of them waits for seconds, so
/// a longer queue would only hide that the machine is overloaded.
const QUEUE_PER_THREAD: usize = 32;

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// What a thread keeps between jobs.
pub(super) struct Worker {
    /// Runs a model on this thread's one inference thread.
    pub(super) options: RunOptions,
    /// The voice engine, which can't leave its thread.
    pub(super) pico: Option<Pico>,
}

/// Ends its threads when dropped, after the job in hand.
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// Free places: threads and queue.
    places: Arc<Semaphore>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    idle: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// A job panicked, or the pool is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undone;

impl Pool {
    /// Starts `threads` threads, at least one. Fewer if the system refuses; `None` if it refuses all.
    pub(super) fn new(threads: usize) -> Option<Self> {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            idle: AtomicUsize::new(0),
        });
        let mut started = 0;
        for number in 0..threads {
            let shared = shared.clone();
            let spawned = thread::Builder::new()
                .name(format!("speech-{number}"))
                .spawn(move || shared.work());
            match spawned {
                Ok(_) => started += 1,
                Err(cause) => tracing::error!(%cause, number, "a speech thread can't be started"),
            }
        }
        let places = Arc::new(Semaphore::new(started * (QUEUE_PER_THREAD + 1)));
        (started > 0).then_some(Self { shared, places })
    }

    /// Runs a job and gives its result. Waits for a place while the queue is full. If the caller stops
    /// waiting, a job that has not begun is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let place = self
            .places
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Undone)?;
        let (give, take) = oneshot::channel();
        self.push(Box::new(move |worker| {
            if !give.is_closed() {
                // The receiver may have gone meanwhile; then no one wants the result.
                let _ = give.send(job(worker));
            }
            drop(place);
        }));
        take.await.map_err(|_| Undone)
    }

    /// Whether a thread has nothing to do, so that a job of little worth may be given to it.
    pub(super) fn has_idle(&self) -> bool {
        self.shared.idle.load(Ordering::Relaxed) > self.shared.lock().jobs.len()
    }

    fn push(&self, job: Job) {
        self.shared.lock().jobs.push_back(job);
        self.shared.filled.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let mut worker = Worker {
            options: RunOptions::default().with_thread_pool(Some(pool)),
            pico: None,
        };
        while let Some(job) = self.next() {
            // A panic inside a model must cost one result, not the thread.
            if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
                tracing::error!("a local speech job panicked");
                worker.pico = None;
            }
        }
    }

    /// The next job; `None` when the pool is closed.
    fn next(&self) -> Option<Job> {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.lock();
        let job = loop {
            if queue.closed {
                break None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                break Some(job);
            }
            queue = self
                .filled
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.idle.fetch_sub(1, Ordering::Relaxed);
        job
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_panic_costs_one_result_only() {
        let pool = Pool::new(1).unwrap();
        assert_eq!(
            pool.run(|_| -> u8 { panic!("on purpose") }).await,
            Err(Undone)
        );
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }

    /// Keeps the only thread of a pool busy until the sender is dropped.
    async fn busy(pool: &Arc<Pool>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (go, wait) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let pool = pool.clone();
        let job = tokio::spawn(async move {
            let job = move |_: &mut Worker| {
                begun.send(()).unwrap();
                wait.recv().unwrap_or_default();
            };
            pool.run(job).await.unwrap();
        });
        begins.await.unwrap();
        (go, job)
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let pool = Arc::new(Pool::new(1).unwrap());
        let (go, job) = busy(&pool).await;
        assert!(!pool.has_idle());
        let mut queued: Vec<_> = (0..QUEUE_PER_THREAD)
            .map(|n| Box::pin(pool.run(move |_| n)))
            .collect();
        for waiting in &mut queued {
            assert!(futures_util::poll!(waiting).is_pending());
        }
        let mut surplus = Box::pin(pool.run(|_| 99));
        assert!(futures_util::poll!(&mut surplus).is_pending());
        assert_eq!(
            pool.shared.lock().jobs.len(),
            QUEUE_PER_THREAD,
            "the surplus one is not queued"
        );
        drop(go);
        job.await.unwrap();
        let results = futures_util::future::join_all(queued).await;
        assert_eq!(results, (0..QUEUE_PER_THREAD).map(Ok).collect::<Vec<_>>());
        assert_eq!(surplus.await, Ok(99));
    }

    #[tokio::test]
    async fn a_job_no_one_waits_for_is_not_run() {
        let pool = Arc::new(Pool::new(1).unwrap());
        let (go, job) = busy(&pool).await;
        let (ran, told) = mpsc::channel();
        {
            let forgotten = pool.run(move |_| ran.send(()));
            tokio::pin!(forgotten);
            // Polled once, so that it is queued, and then dropped.
            assert!(futures_util::poll!(&mut forgotten).is_pending());
        }
        drop(go);
        job.await.unwrap();
        pool.run(|_| ()).await.unwrap();
        assert!(told.try_recv().is_err());
    }
}
