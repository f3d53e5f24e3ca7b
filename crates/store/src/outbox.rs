//! Webhooks that wait to be delivered: written with the status change, ordered per execution.

use bolo_execution::ExecutionId;
use uuid::Uuid;

use crate::{Error, Store};

/// One webhook to deliver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `event_id` of the body and `webhook-id` header: the same on retries.
    pub id: Uuid,
    /// The call.
    pub execution: ExecutionId,
    /// Its account's signing secrets, if set.
    pub account: bolo_execution::AccountId,
    /// Where to.
    pub url: String,
    /// The body, frozen at the change.
    pub body: String,
    /// Tries so far.
    pub tries: i64,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// 2xx.
    Delivered,
    /// Try again at this time, epoch ms.
    Retry {
        /// When.
        at: i64,
        /// What went wrong.
        error: String,
    },
    /// Given up; kept and shown.
    Exhausted {
        /// What went wrong.
        error: String,
    },
}

impl Store {
    /// Claims due deliveries: per execution only the oldest undelivered one, unless it has waited 60 s.
    pub async fn claim_deliveries(&self, now: i64, lease_ms: i64, limit: i64) -> Result<Vec<Delivery>, Error> {
        let _ = (now, lease_ms, limit);
        unreachable!()
    }
    /// Writes down a try's outcome.
    pub async fn settle_delivery(&self, id: Uuid, outcome: DeliveryOutcome, now: i64) -> Result<(), Error> {
        let _ = (id, outcome, now);
        unreachable!()
    }
    /// When the next delivery falls due, if any waits.
    pub async fn next_delivery(&self) -> Result<Option<i64>, Error> {
        unreachable!()
    }
}
