//! Where a phone number may be on the clock.

use bolo_execution::Record;
use chrono_tz::Tz;

/// See the file's head.
const TABLE: &str = include_str!("zones.txt");

/// The zones the far end of a call may be in: `user_data.timezone` if given, else by its number. Text
/// names what to mend.
pub(crate) fn zones_of(record: &Record) -> Result<Vec<Tz>, String> {
    if let Some(name) = record
        .user_data
        .get("timezone")
        .and_then(serde_json::Value::as_str)
    {
        let zone = name.parse().map_err(|_| {
            format!("user_data.timezone: {name:?} is no time zone, such as Asia/Kolkata")
        })?;
        return Ok(vec![zone]);
    }
    match by_number(record.user_number()) {
        zones if zones.is_empty() => {
            Err("calling_guardrails: the recipient's time zone is unknown; give it as user_data.timezone".to_owned())
        }
        zones => Ok(zones),
    }
}

/// Empty when the number's first digits are of no country.
fn by_number(number: &str) -> Vec<Tz> {
    let digits = number.trim_start_matches('+');
    let rows = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "));
    let fitting = rows.filter_map(|(starts, zones)| {
        let fits = starts.split(' ').filter(|start| digits.starts_with(start));
        fits.map(str::len).max().map(|length| (length, zones))
    });
    let zones = fitting
        .max_by_key(|(length, _)| *length)
        .map(|(_, zones)| zones)
        .unwrap_or_default();
    zones
        .split(' ')
        .filter_map(|name| name.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let mut seen = HashSet::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (starts, zones) = line.split_once(" = ").unwrap_or_default();
            for start in starts.split(' ') {
                assert!(
                    start.bytes().all(|b| b.is_ascii_digit()) && seen.insert(start),
                    "{line}"
                );
            }
            assert!(
                zones.split(' ').all(|zone| zone.parse::<Tz>().is_ok()),
                "{line}"
            );
        }
        assert!(seen.len() > 500);
    }

    #[test]
    fn the_longest_digits_that_fit_count() {
        let names = |number| {
            by_number(number)
                .iter()
                .map(|zone| zone.name())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(names("+919876543210"), "Asia/Calcutta");
        assert_eq!(names("+14155550100"), "America/Los_Angeles");
        assert_eq!(names("+12425550100"), "America/Nassau");
        assert_eq!(names("+77015550100"), "Asia/Almaty");
        assert!(by_number("+79261234567").len() > 5);
        assert_eq!(names("+999"), "");
    }
}
