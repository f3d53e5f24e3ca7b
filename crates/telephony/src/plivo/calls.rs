//! A call as the REST interface shows it: while it is up, and afterwards. Sources: wire-telephony.md §2.2,
//! §3.1; for Vobiz's records, its own documentation.

use bolo_execution::{Change, Direction, E164};
use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;

use super::{dialect::Dialect, outcome::ended, webhook::number};
use crate::CallState;

/// A call that is not over.
#[derive(Deserialize)]
pub(super) struct Live {
    call_uuid: String,
    #[serde(default)]
    call_status: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    /// UTC, without saying so.
    #[serde(default)]
    session_start: Option<String>,
}

/// The record of a call that is over; Vobiz has other names for some of it.
#[derive(Deserialize)]
pub(super) struct Cdr {
    #[serde(alias = "uuid")]
    pub(super) call_uuid: String,
    #[serde(default, alias = "caller_id_number")]
    from_number: Option<String>,
    #[serde(default, alias = "destination_number")]
    to_number: Option<String>,
    #[serde(default)]
    call_direction: Option<String>,
    #[serde(default, alias = "start_time")]
    initiation_time: Option<String>,
    #[serde(default)]
    answer_time: Option<String>,
    #[serde(default, alias = "billsec")]
    call_duration: Option<u64>,
    #[serde(default)]
    hangup_cause_code: Option<u16>,
    #[serde(default)]
    hangup_source: Option<String>,
}

impl Live {
    /// A call of ours between these numbers, begun since then (epoch ms).
    pub(super) fn is(&self, to: &E164, from: &E164, earliest: i64) -> bool {
        let started = self.session_start.as_deref().and_then(|text| {
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
            Some(time.and_utc().timestamp_millis())
        });
        between(&self.to, &self.from, &self.direction, to, from)
            // One that waits has not begun yet.
            && started.is_none_or(|started| started >= earliest)
    }

    pub(super) fn into_state(self) -> CallState {
        CallState {
            change: match self.call_status.as_deref() {
                Some("ringing") => Some(Change::Ringing),
                Some("in-progress") => Some(Change::Answered),
                _ => None,
            },
            id: self.call_uuid,
            hangup: None,
            duration_s: None,
        }
    }
}

impl Cdr {
    /// When it was dialled, epoch ms.
    pub(super) fn initiated(&self) -> Option<i64> {
        let text = self.initiation_time.as_deref()?;
        let time = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z")
            .or_else(|_| DateTime::parse_from_rfc3339(text))
            .ok()?;
        Some(time.timestamp_millis())
    }

    /// As of [`Live::is`]. The dates have whole seconds here.
    pub(super) fn is(&self, to: &E164, from: &E164, earliest: i64) -> bool {
        between(
            &self.to_number,
            &self.from_number,
            &self.call_direction,
            to,
            from,
        ) && self.initiated().is_some_and(|at| at + 999 >= earliest)
    }

    pub(super) fn into_state(self, dialect: Dialect) -> CallState {
        let direction = match self.call_direction.as_deref() {
            Some("inbound") => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let (change, hangup) = ended(
            dialect,
            self.hangup_cause_code.unwrap_or_default(),
            self.hangup_source.as_deref().unwrap_or_default(),
            direction,
            self.answer_time.is_some_and(|time| !time.is_empty()),
        );
        CallState {
            id: self.call_uuid,
            change: Some(change),
            hangup: Some(hangup),
            duration_s: self.call_duration,
        }
    }
}

/// An outbound call between these numbers.
fn between(
    found_to: &Option<String>,
    found_from: &Option<String>,
    direction: &Option<String>,
    to: &E164,
    from: &E164,
) -> bool {
    let is = |found: &Option<String>, wanted: &E164| {
        found
            .as_deref()
            .is_some_and(|found| number(found) == wanted.as_str())
    };
    direction
        .as_deref()
        .is_none_or(|direction| direction == "outbound")
        && is(found_to, to)
        && is(found_from, from)
}

/// As numbers stand on this wire.
pub(super) fn digits(number: &E164) -> &str {
    number.as_str().trim_start_matches('+')
}
