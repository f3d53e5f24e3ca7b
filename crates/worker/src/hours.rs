//! Calling hours of the recipient. Source: agent-config.md §1, calling_guardrails.

use bolo_agent::Guardrails;
use bolo_execution::Record;
use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;

use crate::zones::zones_of;

/// Every zone's hours begin on a quarter of an hour UTC.
const QUARTER_MS: i64 = 15 * 60_000;
/// Long enough to see a whole day of every zone, clock changes included.
const LOOK_AHEAD: i64 = 3 * 24 * 4;

/// `None` when the call may be placed now, else when it may, epoch ms. A recipient who may be in one of
/// several zones is called when it is time in all of them. `Err` names what to mend.
pub(crate) fn next_opening(
    guardrails: Guardrails,
    record: &Record,
    now: i64,
) -> Result<Option<i64>, String> {
    if guardrails.start_hour == guardrails.end_hour {
        return Ok(None);
    }
    let zones = zones_of(record)?;
    let is_open = |at: i64| zones.iter().all(|zone| is_within(guardrails, *zone, at));
    if is_open(now) {
        return Ok(None);
    }
    let quarter = now.div_euclid(QUARTER_MS) + 1;
    let opening = (quarter..quarter + LOOK_AHEAD)
        .map(|quarter| quarter * QUARTER_MS)
        .find(|at| is_open(*at));
    opening.map(Some).ok_or_else(|| {
        "calling_guardrails: the recipient's country spans so many time zones that no hour suits all; give \
         user_data.timezone"
            .to_owned()
    })
}

fn is_within(guardrails: Guardrails, zone: Tz, at: i64) -> bool {
    DateTime::<Utc>::from_timestamp_millis(at).is_some_and(|time| {
        let hour = time.with_timezone(&zone).hour();
        (u32::from(guardrails.start_hour)..u32::from(guardrails.end_hour)).contains(&hour)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;
    use crate::tests::record;

    fn ms(time: &str) -> i64 {
        DateTime::parse_from_rfc3339(time)
            .unwrap()
            .timestamp_millis()
    }

    /// When a number is called that is asked for at `now`, between 9 and 18.
    fn called(to: &str, user_data: serde_json::Value, now: &str) -> String {
        let hours = Guardrails {
            start_hour: 9,
            end_hour: 18,
        };
        let mut record = record();
        record.to = to.to_owned();
        record.user_data = user_data.as_object().unwrap().clone();
        match next_opening(hours, &record, ms(now)) {
            Ok(None) => "now".to_owned(),
            Ok(Some(at)) => DateTime::from_timestamp_millis(at).unwrap().to_rfc3339(),
            Err(why) => why,
        }
    }

    #[test]
    fn the_recipients_clock_counts() {
        let india = "+919876543210";
        assert_eq!(
            called(india, json!({}), "2026-01-05T03:29:59Z"),
            "2026-01-05T03:30:00+00:00"
        );
        assert_eq!(called(india, json!({}), "2026-01-05T03:30:00Z"), "now");
        assert_eq!(called(india, json!({}), "2026-01-05T12:29:59Z"), "now");
        assert_eq!(
            called(india, json!({}), "2026-01-05T12:30:00Z"),
            "2026-01-06T03:30:00+00:00"
        );
        let user_data = json!({ "timezone": "Europe/Zurich" });
        assert_eq!(called(india, user_data, "2026-01-05T12:30:00Z"), "now");
    }

    #[test]
    fn a_change_of_clocks_moves_the_opening() {
        let berlin = "+4930123456";
        assert_eq!(
            called(berlin, json!({}), "2026-03-28T20:00:00Z"),
            "2026-03-29T07:00:00+00:00"
        );
        assert_eq!(
            called(berlin, json!({}), "2026-10-24T20:00:00Z"),
            "2026-10-25T08:00:00+00:00"
        );
    }

    #[test]
    fn of_several_zones_all_must_be_open() {
        // Brazil, from UTC-5 to UTC-2.
        assert_eq!(
            called("+5511987654321", json!({}), "2026-01-05T12:00:00Z"),
            "2026-01-05T14:00:00+00:00"
        );
        assert_eq!(
            called("+5511987654321", json!({}), "2026-01-05T20:00:00Z"),
            "2026-01-06T14:00:00+00:00"
        );
        assert!(
            called("+79261234567", json!({}), "2026-01-05T12:00:00Z")
                .contains("user_data.timezone")
        );
    }

    #[test]
    fn what_is_unknown_is_not_called() {
        assert!(
            called("+999123456", json!({}), "2026-01-05T12:00:00Z")
                .contains("give it as user_data.timezone")
        );
        let user_data = json!({ "timezone": "Mars/Olympus" });
        assert!(called("+14155550100", user_data, "2026-01-05T20:00:00Z").contains("Mars/Olympus"));
    }

    #[test]
    fn equal_hours_are_no_window() {
        let hours = Guardrails {
            start_hour: 9,
            end_hour: 9,
        };
        assert_eq!(next_opening(hours, &record(), 0), Ok(None));
    }
}
