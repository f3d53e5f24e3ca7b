//! Pages and time filters of lists.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Form;

/// One page of `items` in Twilio's envelope; `path` with the query gives the page links.
pub(super) fn page(name: &str, items: &mut Vec<Value>, path: &str, query: &Form) -> Value {
    let number = |name: &str, default: usize| {
        query
            .get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let size = number("PageSize", 50).clamp(1, 1000);
    let page = number("Page", 0);
    let start = page.saturating_mul(size);
    let more = items.len() > start.saturating_add(size);
    let shown: Vec<Value> = items.drain(..).skip(start).take(size).collect();
    let link = |page: usize| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &query.0 {
            if !["Page", "PageSize", "PageToken"].contains(&&**name) {
                text.append_pair(name, value);
            }
        }
        text.append_pair("PageSize", &size.to_string());
        text.append_pair("Page", &page.to_string());
        if page > 0 {
            text.append_pair("PageToken", &format!("PA{page}"));
        }
        format!("{path}?{}", text.finish())
    };
    json!({
        name: shown,
        "page": page,
        "page_size": size,
        "start": start,
        "end": start + shown.len().saturating_sub(1),
        "first_page_uri": link(0),
        "next_page_uri": more.then(|| link(page + 1)),
        "previous_page_uri": (page > 0).then(|| link(page - 1)),
        "uri": link(page),
    })
}

/// `StartTime`, `StartTime<`, `StartTime>`: a UTC day or an ISO time. `>` and `<` include the day or
/// the instant itself, since the SDK writes `StartTime>=` as `StartTime%3E=`.
#[derive(Debug, Default)]
pub(super) struct Times {
    on: Option<NaiveDate>,
    after: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
}

impl Times {
    pub fn of(query: &Form, name: &str) -> Self {
        let instant = |text: &str, end_of_day: bool| {
            let time = DateTime::parse_from_rfc3339(text)
                .ok()
                .map(|time| time.to_utc());
            let hms = if end_of_day { (23, 59, 59) } else { (0, 0, 0) };
            let day = || {
                text.parse::<NaiveDate>()
                    .ok()?
                    .and_hms_opt(hms.0, hms.1, hms.2)
                    .map(|time| time.and_utc())
            };
            time.or_else(day)
        };
        Self {
            on: query
                .get(name)
                .and_then(|text| text.get(..10)?.parse().ok()),
            after: query
                .get(&format!("{name}>"))
                .and_then(|text| instant(text, false)),
            before: query
                .get(&format!("{name}<"))
                .and_then(|text| instant(text, true)),
        }
    }

    /// Whether a time passes; an absent time passes only without filters.
    pub fn match_time(&self, time: Option<DateTime<Utc>>) -> bool {
        let Some(time) = time else {
            return self.on.is_none() && self.after.is_none() && self.before.is_none();
        };
        self.on.is_none_or(|day| time.date_naive() == day)
            && self
                .after
                .is_none_or(|after| time.timestamp() >= after.timestamp())
            && self
                .before
                .is_none_or(|before| time.timestamp() <= before.timestamp())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn query(text: &str) -> Form {
        Form(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    #[test]
    fn days_and_instants_filter() {
        let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        for (text, noon) in [
            ("StartTime%3E=2026-01-02T03:04:05Z", true),
            ("StartTime%3E=2026-01-02T13:00:00Z", false),
            ("StartTime%3E=2026-01-02", true),
            ("StartTime=2026-01-02", true),
            ("StartTime=2026-01-03", false),
            ("StartTime%3C=2026-01-02", true),
            ("StartTime%3C=2026-01-01", false),
            ("", true),
        ] {
            let times = Times::of(&query(text), "StartTime");
            assert_eq!(
                times.match_time(time("2026-01-02T12:00:00Z")),
                noon,
                "{text}"
            );
        }
    }

    #[test]
    fn pages_link_to_each_other() {
        let mut items: Vec<Value> = (0..5).map(Value::from).collect();
        let page = page(
            "calls",
            &mut items,
            "/x.json",
            &query("To=%2B1&PageSize=2&Page=1&PageToken=PA1"),
        );
        assert_eq!(page["calls"], json!([2, 3]));
        assert_eq!(
            page["next_page_uri"],
            "/x.json?To=%2B1&PageSize=2&Page=2&PageToken=PA2"
        );
        assert_eq!(
            page["previous_page_uri"],
            "/x.json?To=%2B1&PageSize=2&Page=0"
        );
        assert_eq!(
            (page["start"].as_u64(), page["end"].as_u64()),
            (Some(2), Some(3))
        );
    }
}
