//! Times on the wire: ISO 8601 text outside, epoch milliseconds inside.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc};

/// Now, epoch ms.
pub fn now() -> i64 {
    bolo_store::now()
}

/// `2024-01-23T01:14:37.000Z`.
pub fn iso(at: i64) -> String {
    Utc.timestamp_millis_opt(at)
        .single()
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A time that a client wrote: with `Z` or an offset; without one it is UTC; a blank may stand for the
/// `T` and for the `+` of an offset that a query string lost; a date alone is its midnight. Returns epoch
/// ms and whether it was a date alone.
pub fn parse(text: &str) -> Option<(i64, bool)> {
    let text = text.trim().trim_matches('"').trim();
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some((
            date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis(),
            true,
        ));
    }
    let text = mend_offset(text);
    let at = DateTime::parse_from_rfc3339(&text)
        .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z"))
        .map(|at| at.timestamp_millis());
    let naive = |format| {
        NaiveDateTime::parse_from_str(&text, format).map(|at| at.and_utc().timestamp_millis())
    };
    let at = at
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| naive("%Y-%m-%dT%H:%M"))
        .ok()?;
    Some((at, false))
}

/// `2024-06-05 04:10:00 05:30` → `2024-06-05T04:10:00+05:30`.
fn mend_offset(text: &str) -> String {
    let mut text = text.replacen(' ', "T", usize::from(!text.contains(['T', 't'])));
    if let Some((time, offset)) = text.split_once(' ') {
        let sign = if offset.starts_with(['+', '-', 'Z']) {
            ""
        } else {
            "+"
        };
        text = format!("{time}{sign}{offset}");
    }
    text
}

/// `5 minutes ago`, `7 hours ago`, `just now`.
pub fn humanized(at: i64, now: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (31_536_000, "year"),
        (2_592_000, "month"),
        (604_800, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    let seconds = (now - at) / 1000;
    match UNITS.iter().find(|(size, _)| seconds >= *size) {
        None => "just now".to_owned(),
        Some((size, unit)) => match seconds / size {
            1 => format!("1 {unit} ago"),
            many => format!("{many} {unit}s ago"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_time_is_the_same_instant() {
        for text in [
            "2024-06-04T22:40:00.000Z",
            "2024-06-04T22:40:00Z",
            "2024-06-04T22:40:00",
            "2024-06-04T22:40",
            "2024-06-04 22:40:00",
            "2024-06-05 04:10:00+05:30",
            "2024-06-05T04:10:00 05:30",
            "2024-06-05 04:10:00 05:30",
            "2024-06-05T04:10:00+0530",
            "2024-06-04T18:40:00-04:00",
            "\"2024-06-04T22:40:00Z\"",
        ] {
            assert_eq!(parse(text), Some((1_717_540_800_000, false)), "{text}");
        }
    }

    #[test]
    fn a_date_alone_is_told_apart() {
        assert_eq!(parse("2024-06-04"), Some((1_717_459_200_000, true)));
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "tomorrow",
            "2024-13-01T00:00:00Z",
            "2024-06-04T25:00:00",
            "1717540800",
            "12:30",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_read_like_speech() {
        let ages =
            [3, 60, 119, 7_200, 86_400, 1_209_600, 40_000_000].map(|s| humanized(0, s * 1000));
        assert_eq!(
            ages,
            [
                "just now",
                "1 minute ago",
                "1 minute ago",
                "2 hours ago",
                "1 day ago",
                "2 weeks ago",
                "1 year ago"
            ]
        );
    }
}
