//! What happens around calls: dialling what is due, reconciling dials of unknown outcome, moving calls of
//! nodes that vanished, ending calls without an owner, delivering webhooks, tasks after calls, finishing
//! records.
//!
//! **Invariant:** at most one dial an attempt, whatever crashes; a webhook at least once and in order;
//! knows nothing of `orchestrator`: they meet in the execution row.

mod asking;
mod batches;
mod clock;
mod dial;
mod hours;
mod knowledge;
mod ledger;
mod outcome;
mod pace;
mod plan;
mod post_call;
mod reconcile;
mod refusals;
mod rescue;
mod room;
mod settings;
mod signature;
mod sweep;
mod webhooks;
mod zones;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bolo_execution::{LlmUsage, Record};
use bolo_providers::{PublicClient, Vendors};
use bolo_store::Store;
use bolo_telephony::{Callbacks, Carriers};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub use settings::{Settings, Timings};

/// The worker of a node.
pub struct Worker {
    /// The truth.
    pub store: Store,
    /// To dial and to look up.
    pub carriers: Carriers,
    /// Where carriers reach us.
    pub callbacks: Callbacks,
    /// To check keys before a dial (R196), and to embed documents.
    pub vendors: Vendors,
    /// Delivers webhooks, fetches documents.
    pub webhooks: PublicClient,
    /// What tokens cost.
    pub llm_cents: LlmCents,
    /// Sets up ahead a call that rings now, of a carrier that will not tell so (R3).
    pub rings: Rings,
    /// Settings.
    pub settings: Settings,
}

/// Cents that tokens of a vendor's model cost.
pub type LlmCents = Arc<dyn Fn(&str, &str, &LlmUsage) -> f64 + Send + Sync>;

/// Is told of a call that rings.
pub type Rings = Arc<dyn Fn(&Record) + Send + Sync>;

impl Worker {
    /// Places no more calls once `drain` is cancelled (R201), and returns when, after `stop`, all its
    /// tasks have ended. A dial that is on its way is waited for; a webhook that is on its way is dropped
    /// and delivered again by the next worker. If a task panics the others end too, and it is told.
    pub async fn run_until(
        self,
        drain: CancellationToken,
        stop: CancellationToken,
    ) -> Result<(), JoinError> {
        let (worker, stop) = (Arc::new(self), stop.child_token());
        let mut loops = JoinSet::new();
        loops.spawn(worker.clone().dial_loop(drain, stop.clone()));
        loops.spawn(worker.clone().webhook_loop(stop.clone()));
        loops.spawn(worker.clone().post_call_loop(stop.clone()));
        loops.spawn(worker.clone().knowledge_loop(stop.clone()));
        loops.spawn(worker.clone().reconcile_loop(stop.clone()));
        loops.spawn(worker.clone().sweep_loop(stop.clone()));
        loops.spawn(worker.clone().batch_loop(stop.clone()));
        loops.spawn(worker.clone().rescue_loop(stop.clone()));
        let mut outcome = Ok(());
        while let Some(ended) = loops.join_next().await {
            if let Err(error) = ended {
                outcome = outcome.and(Err(error));
                stop.cancel();
            }
        }
        outcome
    }
}
