//! Trying again: what `retry_config` asks for, and what is kept of the attempts before. Source: api.md §7.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Cost, Direction, Hangup, Record, Status, Usage};

/// `retry_config` with its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct RetryConfig {
    enabled: bool,
    max_retries: usize,
    retry_on_statuses: Vec<Status>,
    retry_on_voicemail: bool,
    retry_intervals_minutes: Vec<u32>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            max_retries: 3,
            retry_on_statuses: vec![Status::NoAnswer, Status::Busy, Status::Failed],
            retry_on_voicemail: false,
            retry_intervals_minutes: vec![30, 60, 120],
        }
    }
}

impl RetryConfig {
    /// `null` stands for a key that is not there.
    fn read(config: &Value) -> Option<Self> {
        let given = config
            .as_object()?
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()));
        serde_json::from_value(Value::Object(given.collect())).ok()
    }

    fn wants(&self, status: Status, machine: bool) -> bool {
        self.retry_on_statuses.contains(&status)
            || (status == Status::Completed && machine && self.retry_on_voicemail)
    }
}

/// An attempt that came to nothing and was followed by another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// The number of its last dial.
    pub attempt: i64,
    /// How it ended.
    pub status: Status,
    /// When the next one was planned, epoch ms.
    pub at: i64,
    /// The carrier's id of its call.
    pub carrier_call_id: Option<String>,
    /// How it was hung up.
    pub hangup: Option<Hangup>,
    /// Why it could not be done.
    pub error_message: Option<String>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What that cost.
    pub cost: Option<Cost>,
}

/// A carrier that asks to come back later is asked this often, with waits that double up to five minutes.
const POSTPONED_AT_MOST: i64 = 12;
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The first of these waits.
pub const FIRST_WAIT: Duration = Duration::from_secs(2);

/// How long a carrier that had no room for a call is left alone after so many dials of it, the first time for `first`;
/// `None`: it was asked often enough.
pub fn comes_back(dials: i64, first: Duration) -> Option<Duration> {
    let doubled = first.saturating_mul(1 << dials.clamp(1, 16) >> 1);
    (dials < POSTPONED_AT_MOST).then(|| doubled.min(LONGEST_WAIT))
}

impl Record {
    /// Whether the call, which has just come to the end of an attempt, is to be tried again: how long after
    /// it, ms.
    pub fn retry_after(&self) -> Option<i64> {
        let config = RetryConfig::read(self.retry_config.as_ref()?)?;
        let made = self.history.len();
        let wanted = config.enabled
            && self.direction == Direction::Outbound
            && made < config.max_retries
            && config.wants(self.status, self.answered_by_voice_mail);
        let intervals = &config.retry_intervals_minutes;
        let minutes = intervals.get(made).or(intervals.last())?;
        wanted.then_some(i64::from(*minutes) * 60_000)
    }

    /// The attempt that has just ended, for the history.
    pub fn past_attempt(&self, at: i64) -> PastAttempt {
        PastAttempt {
            attempt: self.attempt,
            status: self.status,
            at,
            carrier_call_id: self.carrier_call_id.clone(),
            hangup: self.hangup.clone(),
            error_message: self.error_message.clone(),
            usage: self.usage.clone(),
            cost: self.cost,
        }
    }

    /// Dials of the current attempt: more than one when the carrier asked to come back.
    pub fn dials(&self) -> i64 {
        // A planned retry has a number of its own.
        let before = self.history.last().map_or(0, |past| past.attempt + 1);
        self.attempt - before
    }

    /// What all attempts cost together.
    pub fn whole_cost(&self) -> Option<Cost> {
        let past = self.history.iter().filter_map(|attempt| attempt.cost);
        past.chain(self.cost).reduce(|sum, cost| sum + cost)
    }

    /// What all attempts used together.
    pub fn whole_usage(&self) -> Option<Usage> {
        let past = self
            .history
            .iter()
            .filter_map(|attempt| attempt.usage.as_ref());
        past.chain(&self.usage)
            .cloned()
            .reduce(|sum, usage| sum + usage)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;
    use crate::{LlmUsage, view::tests::queued};

    fn ended(status: Status, config: Value) -> Record {
        Record {
            status,
            retry_config: Some(config),
            ..queued()
        }
    }

    /// Waits before each attempt, in minutes, until it is given up.
    fn waits(status: Status, config: Value) -> Vec<i64> {
        let mut record = ended(status, config);
        let mut waits = Vec::new();
        while let Some(wait) = record.retry_after() {
            waits.push(wait / 60_000);
            record.history.push(record.past_attempt(0));
        }
        waits
    }

    #[test]
    fn nothing_is_tried_again_unless_it_is_asked_for() {
        assert_eq!(queued().retry_after(), None);
        assert!(waits(Status::Busy, json!({})).is_empty());
        assert!(waits(Status::Busy, json!({ "enabled": false })).is_empty());
        let mut inbound = ended(Status::Failed, json!({ "enabled": true }));
        inbound.direction = Direction::Inbound;
        assert_eq!(inbound.retry_after(), None);
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        for status in [Status::NoAnswer, Status::Busy, Status::Failed] {
            assert_eq!(waits(status, json!({ "enabled": true })), [30, 60, 120]);
        }
        let others = Status::ALL
            .into_iter()
            .filter(|status| ![Status::NoAnswer, Status::Busy, Status::Failed].contains(status));
        for status in others {
            let nulls = json!({ "enabled": true, "retry_on_statuses": null, "max_retries": null });
            assert!(waits(status, nulls).is_empty(), "{status}");
        }
    }

    #[test]
    fn the_last_wait_repeats() {
        let config = json!({ "enabled": true, "retry_intervals_minutes": [5, 10], "retry_on_statuses": ["error"] });
        assert_eq!(waits(Status::Error, config.clone()), [5, 10, 10]);
        assert!(waits(Status::Busy, config).is_empty());
        let config =
            json!({ "enabled": true, "retry_intervals_minutes": [5, 10, 20], "max_retries": 1 });
        assert_eq!(waits(Status::Busy, config), [5]);
    }

    #[test]
    fn a_machine_is_tried_again_where_that_is_wanted() {
        let mut record = ended(
            Status::Completed,
            json!({ "enabled": true, "retry_on_voicemail": true }),
        );
        assert_eq!(record.retry_after(), None);
        record.answered_by_voice_mail = true;
        assert_eq!(record.retry_after(), Some(30 * 60_000));
        record.retry_config = Some(json!({ "enabled": true }));
        assert_eq!(record.retry_after(), None);
    }

    #[test]
    fn costs_and_usage_of_all_attempts_add_up() {
        let tokens = |input| LlmUsage {
            input,
            output: 1,
            ..LlmUsage::default()
        };
        let usage = |characters, model: &str| Usage {
            synthesizer_characters: characters,
            synthesizer_model: model.to_owned(),
            llm_model: [("m".to_owned(), tokens(characters))].into(),
            ..Usage::default()
        };
        let cost = |llm| {
            Some(Cost {
                llm,
                network: 1.0,
                ..Cost::default()
            })
        };
        let mut record = ended(Status::Busy, json!({}));
        (record.cost, record.usage) = (cost(2.0), Some(usage(7, "old")));
        record.history = vec![record.past_attempt(1)];
        (record.cost, record.usage) = (None, None);
        assert_eq!(
            (record.whole_cost(), record.whole_usage()),
            (cost(2.0), Some(usage(7, "old")))
        );
        (record.cost, record.usage) = (cost(3.0), Some(usage(5, "new")));
        let whole = record.whole_cost().unwrap();
        assert_eq!((whole.llm, whole.network), (5.0, 2.0));
        let whole = record.whole_usage().unwrap();
        assert_eq!(
            (
                whole.synthesizer_characters,
                whole.synthesizer_model.as_str()
            ),
            (12, "new")
        );
        assert_eq!(
            (whole.llm_model["m"].input, whole.llm_model["m"].output),
            (12, 2)
        );
    }
}
