//! The dial queue is the executions table; ownership of live calls.

use bolo_execution::{AccountId, ExecutionId, Record};

use crate::{Error, Store};

/// A call that this node may dial now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The row, still `queued`.
    pub record: Record,
}

/// A dial whose request may have left: written before the request (wire-telephony.md §6.1).
#[derive(Debug, Clone)]
pub struct Intent {
    /// The row.
    pub record: Record,
    /// When the intent was written.
    pub since: i64,
}

/// A call that runs somewhere.
#[derive(Debug, Clone)]
pub struct Live {
    /// The row.
    pub record: Record,
    /// Owning node, if any took it.
    pub node: Option<String>,
    /// Last heartbeat of the owner, epoch ms.
    pub seen_at: Option<i64>,
}

impl Store {
    /// Claims up to `limit` due calls for this node, at most as many per account as its concurrency
    /// leaves free. Also turns due `scheduled` and `rescheduled` rows into `queued`. Committed before
    /// anyone dials: after a crash the row is an attempt to look into, not a job to repeat.
    pub async fn claim_due(&self, now: i64, lease_ms: i64, limit: i64) -> Result<Vec<Claimed>, Error> {
        let _ = (now, lease_ms, limit);
        unreachable!()
    }
    /// Gives a claimed row back, to be claimed again at `due_at`: nothing was sent.
    pub async fn release(&self, id: ExecutionId, due_at: i64, now: i64) -> Result<(), Error> {
        let _ = (id, due_at, now);
        unreachable!()
    }
    /// Writes the intent to dial: the next attempt's number. `Conflict` when the row is no longer ours
    /// or no longer queued (stopped meanwhile), or another dial of the same pair of numbers is unknown.
    pub async fn intend_dial(&self, id: ExecutionId, from: &str, now: i64) -> Result<i64, Error> {
        let _ = (id, from, now);
        unreachable!()
    }
    /// The dial's outcome is known: accepted, refused or looked up.
    pub async fn settle_dial(&self, id: ExecutionId, now: i64) -> Result<(), Error> {
        let _ = (id, now);
        unreachable!()
    }
    /// Dials whose intent is older than `before` and not settled: by this node unknown, or its node died.
    pub async fn unsettled_dials(&self, before: i64) -> Result<Vec<Intent>, Error> {
        let _ = before;
        unreachable!()
    }
    /// Claimed rows whose lease ran out with no intent written: freed for others.
    pub async fn free_expired_claims(&self, now: i64) -> Result<u64, Error> {
        let _ = now;
        unreachable!()
    }
    /// Carrier ids bound to executions for this pair of numbers since a time.
    pub async fn bound_calls(&self, account: AccountId, to: &str, from: &str, since: i64) -> Result<Vec<String>, Error> {
        let _ = (account, to, from, since);
        unreachable!()
    }
    /// When the next call falls due, if any waits.
    pub async fn next_due(&self) -> Result<Option<i64>, Error> {
        unreachable!()
    }
    /// Makes this node the owner of a live call; the next epoch. Older epochs lose.
    pub async fn own_call(&self, id: ExecutionId, now: i64) -> Result<i64, Error> {
        let _ = (id, now);
        unreachable!()
    }
    /// Heartbeat of all calls this node owns.
    pub async fn heartbeat(&self, now: i64) -> Result<(), Error> {
        let _ = now;
        unreachable!()
    }
    /// Gives up ownership of this epoch.
    pub async fn disown_call(&self, id: ExecutionId, epoch: i64) -> Result<(), Error> {
        let _ = (id, epoch);
        unreachable!()
    }
    /// Whether this epoch still owns the call.
    pub async fn owns_call(&self, id: ExecutionId, epoch: i64) -> Result<bool, Error> {
        let _ = (id, epoch);
        unreachable!()
    }
    /// Calls that are initiated, ringing, in progress or disconnected-but-not-completed.
    pub async fn open_calls(&self) -> Result<Vec<Live>, Error> {
        unreachable!()
    }
}
