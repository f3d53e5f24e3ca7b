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
    /// What that person hears before the two are connected (R115); `None` = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// Where it stands, in the words of a call: `queued` until the carrier was told to dial.
    pub status: Status,
    /// The carrier's id of that leg.
    pub carrier_call_id: Option<String>,
    /// Seconds the two have talked.
    pub duration_s: Option<u64>,
    /// How it ended.
    pub hangup: Option<Hangup>,
}

/// What a person who is called is told, before they press 1 and take the caller (R115).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The caller's matter and what to press.
    pub text: String,
    /// How long the key is waited for behind the text, s.
    pub wait_s: u64,
}

/// What the slowest of carriers' voices says in a second, characters.
const SPOKEN_A_SECOND: u64 = 12;

impl Offer {
    /// The most that may pass from the answer to the key, s.
    pub fn limit_s(&self) -> u64 {
        (self.text.chars().count() as u64).div_ceil(SPOKEN_A_SECOND) + self.wait_s
    }
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
            offer: None,
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
        // News come in any order: whoever took the caller is not asked any more.
        let is_late = self.status == Status::Ringing && !before.is_pending();
        Self {
            status: if is_late { before.status } else { self.status },
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

    /// The caller talks with whoever was called, or has: that is not ours to end.
    pub fn is_answered(&self) -> bool {
        matches!(self.status, Status::InProgress | Status::Completed)
    }

    /// From the carrier's dial to the answer it takes so long at most, s.
    pub fn limit_s(&self) -> u64 {
        self.ring_s + self.offer.as_ref().map_or(0, Offer::limit_s)
    }

    /// Whoever is called has not taken the caller yet, and is to be asked.
    pub fn is_offered(&self) -> bool {
        self.offer.is_some() && self.is_pending()
    }

    /// What news of the leg amount to: one that is offered is not taken by being picked up (it rings on, for
    /// us), and was not answered when it ends so.
    pub fn standing(&self, told: Status) -> Status {
        match told {
            Status::InProgress if self.is_offered() => Status::Ringing,
            Status::Completed if self.is_offered() => Status::NoAnswer,
            told => told,
        }
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

    #[test] // R115
    fn an_offer_is_taken_by_its_key_only() {
        let offer = Offer {
            text: "x".repeat(61),
            wait_s: 20,
        };
        assert_eq!(offer.limit_s(), 26);
        let offered = Transfer {
            offer: Some(offer),
            ..Transfer::new("+1", "+2", 30)
        };
        assert_eq!(offered.standing(Status::InProgress), Status::Ringing);
        assert_eq!(offered.standing(Status::Completed), Status::NoAnswer);
        assert_eq!(offered.standing(Status::Busy), Status::Busy);
        let with = |status| Transfer {
            status,
            ..offered.clone()
        };
        let taken = with(Status::InProgress);
        assert_eq!(taken.standing(Status::Completed), Status::Completed);
        assert_eq!(
            with(Status::Ringing).knowing(&taken).status,
            Status::InProgress,
            "the news of the answer come after the key"
        );
    }
}
