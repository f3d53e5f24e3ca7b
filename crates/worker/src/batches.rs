//! What requests left undone of the calls of batches: scheduling, stopping, uploads that died.

use std::sync::Arc;

use bolo_store::Error;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{Worker, clock::now_ms};

impl Worker {
    pub(crate) async fn batch_loop(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.timings.sweep_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.work_on_batches().await {
                    tracing::error!(%error, "can't work on batches");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// A chunk of each in turn, so that a large one doesn't hold up the others.
    async fn work_on_batches(&self) -> Result<(), Error> {
        let mut left = self.store.batches_at_work(now_ms()).await?;
        while !left.is_empty() {
            let mut again = Vec::new();
            for id in left {
                if self.store.work_on_batch(id, now_ms()).await? {
                    again.push(id);
                }
            }
            left = again;
        }
        Ok(())
    }
}
