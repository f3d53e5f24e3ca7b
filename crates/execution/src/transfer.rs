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

    /// With what was known of the same leg before and is not told again. A leg that has begun anew knows nothing.
    pub fn knowing(self, before: &Self) -> Self {
        if self.status == Status::Queued || self.to != before.to {
            return self;
        }
        Self {
            carrier_call_id: self.carrier_call_id.or(before.carrier_call_id.clone()),
            duration_s: self.duration_s.or(before.duration_s),
            hangup: self.hangup.or(before.hangup.clone()),
            ..self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_way_told_is_not_lost_to_the_other() {
        let leg = Transfer {
            status: Status::Completed,
            duration_s: Some(7),
            ..Transfer::new("+1", "+2", 30)
        };
        let outcome = Transfer {
            status: Status::Completed,
            carrier_call_id: Some("CA1".into()),
            ..Transfer::new("+1", "+2", 30)
        };
        let both = outcome.knowing(&leg);
        assert_eq!(
            (both.duration_s, both.carrier_call_id.as_deref()),
            (Some(7), Some("CA1"))
        );
        assert_eq!(
            Transfer::new("+1", "+2", 30).knowing(&both).duration_s,
            None
        );
    }
}
