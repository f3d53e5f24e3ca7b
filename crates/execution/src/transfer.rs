//! A transfer of the caller to somebody else, as the record keeps it. Sources: runtime.md R113, R114,
//! api.md §8 (`transfer_call_data`).

use serde::{Deserialize, Serialize};

use crate::{Hangup, Status};

/// The other leg of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Who is called.
    pub to: String,
    /// From which of our numbers.
    pub from: String,
    /// How long that phone may ring, s.
    #[serde(default = "ring_s")]
    pub ring_s: u64,
    /// Where it stands, in the words of a call: `queued` until the carrier was told to dial.
    pub status: Status,
    /// The carrier's id of that leg.
    pub carrier_call_id: Option<String>,
    /// Seconds the two have talked.
    pub duration_s: Option<u64>,
    /// How it ended.
    pub hangup: Option<Hangup>,
}

/// As it was before records told it.
fn ring_s() -> u64 {
    40
}

impl Transfer {
    /// One that the carrier has not been told of.
    pub fn new(to: &str, from: &str, ring_s: u64) -> Self {
        Self {
            to: to.to_owned(),
            from: from.to_owned(),
            ring_s,
            status: Status::Queued,
            carrier_call_id: None,
            duration_s: None,
            hangup: None,
        }
    }

    /// The carrier is to dial, or is at it.
    pub fn is_pending(&self) -> bool {
        matches!(
            self.status,
            Status::Queued | Status::Initiated | Status::Ringing
        )
    }
}
