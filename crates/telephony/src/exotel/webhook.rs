//! What Exotel asks and tells: applets with a GET, the state of a call with JSON. Source: wire-telephony.md §3.2.

use bolo_execution::{Change, Direction, Hangup, HangupBy};

use crate::{RequestParts, StatusEvent, Webhook, request::get};

type Fields = [(String, String)];

pub(super) fn parse(request: RequestParts<'_>) -> Option<Webhook> {
    let fields = request.fields();
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| get(&fields, name));
        found.unwrap_or_default().to_owned()
    };
    Some(Webhook {
        call_id: filled(&fields, "CallSid")?,
        dial_id: None,
        account: text(["AccountSid", "account_sid"]),
        from: number(&text(["CallFrom", "From"])),
        to: number(&text(["CallTo", "To"])),
        direction: direction(&fields),
        over: false,
    })
}

pub(super) fn parse_status(request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let status = get(&fields, "Status")?;
    let (change, hangup) = outcome(status, direction(&fields));
    // Exotel numbers nothing. Each event comes once, apart from repetitions.
    let sequence = match change {
        Some(Change::Ringing) => 0,
        Some(Change::Answered) => 1,
        Some(_) => 2,
        None => 3,
    };
    Some(StatusEvent {
        call_id: filled(&fields, "CallSid")?,
        dial_id: None,
        sequence,
        change,
        duration_s: hangup
            .as_ref()
            .and_then(|_| get(&fields, "ConversationDuration")?.trim().parse().ok()),
        hangup,
        raw: fields,
    })
}

/// What Exotel's word for a call's state amounts to (§5.2). Who hung up is not told: the far end, unless the
/// caller of this knows better.
pub(super) fn outcome(status: &str, direction: Direction) -> (Option<Change>, Option<Hangup>) {
    use HangupBy::{ApiRequest, Callee, Caller, Carrier, Error};
    let (change, by, reason, code) = match (status, direction) {
        ("ringing", _) => return (Some(Change::Ringing), None),
        ("in-progress", _) => return (Some(Change::Answered), None),
        ("completed", Direction::Outbound) => {
            (Change::MediaEnded, Callee, "Call recipient hung up", 4000)
        }
        ("completed", Direction::Inbound) => (Change::MediaEnded, Caller, "Call ended", 4000),
        ("busy", _) => (Change::Busy, Carrier, "Call recipient was busy", 3010),
        ("no-answer", _) => (Change::NoAnswer, Carrier, "Call unanswered", 3000),
        ("canceled", _) => (Change::Canceled, ApiRequest, "Call canceled", 4000),
        ("failed", _) => (Change::CarrierFailed, Error, "failed", 5020),
        // What we don't know must not change a call.
        _ => return (None, None),
    };
    let reason = reason.to_owned();
    (Some(change), Some(Hangup { by, reason, code }))
}

fn direction(fields: &Fields) -> Direction {
    match get(fields, "Direction") {
        Some(word) if word.starts_with("in") => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

fn filled(fields: &Fields, name: &str) -> Option<String> {
    get(fields, name)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// `09876543210` → `+919876543210`: numbers come as Indians dial them, or whole.
pub(super) fn number(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    match (text.strip_prefix('0'), text.len()) {
        (Some(rest), 11) => format!("+91{rest}"),
        (None, 10) => format!("+91{text}"),
        (None, _) => format!("+{text}"),
        (Some(_), _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

    use super::*;

    #[test]
    fn every_row_of_the_table() {
        let code = |status| {
            let (change, hangup) = outcome(status, Direction::Outbound);
            (change, hangup.map(|hangup| hangup.code))
        };
        for (status, change, expected) in [
            ("queued", None, None),
            ("teleported", None, None),
            ("ringing", Some(Change::Ringing), None),
            ("in-progress", Some(Change::Answered), None),
            ("completed", Some(Change::MediaEnded), Some(4000)),
            ("busy", Some(Change::Busy), Some(3010)),
            ("no-answer", Some(Change::NoAnswer), Some(3000)),
            ("failed", Some(Change::CarrierFailed), Some(5020)),
        ] {
            assert_eq!(code(status), (change, expected), "{status}");
        }
        let by = |direction| outcome("completed", direction).1.unwrap().by;
        assert_eq!(by(Direction::Outbound), HangupBy::Callee);
        assert_eq!(by(Direction::Inbound), HangupBy::Caller);
    }

    #[test]
    fn a_status_is_json() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = r#"{"CallSid":"c1","EventType":"terminal","Status":"completed","Direction":"outbound-api","ConversationDuration":17,"CustomField":"x","RecordingUrl":null}"#;
        let request = RequestParts {
            method: "POST",
            url: "https://h/s",
            headers: &headers,
            body: body.as_bytes(),
        };
        let event = parse_status(request).unwrap();
        assert_eq!(
            (&*event.call_id, event.change),
            ("c1", Some(Change::MediaEnded))
        );
        assert_eq!(event.duration_s, Some(17));
        let broken = RequestParts {
            body: b"{",
            ..request
        };
        assert!(parse_status(broken).is_none());
    }

    #[test]
    fn an_applet_asks_with_numbers_as_indians_dial_them() {
        let headers = HeaderMap::new();
        let url = "https://h/inbound_call?agent_id=1&CallSid=c1&CallFrom=09876543210&CallTo=08047491899&Direction=incoming";
        let request = RequestParts {
            method: "GET",
            url,
            headers: &headers,
            body: b"",
        };
        let asked = parse(request).unwrap();
        assert_eq!(
            (&*asked.from, &*asked.to),
            ("+919876543210", "+918047491899")
        );
        assert_eq!((asked.direction, asked.over), (Direction::Inbound, false));
        for (text, whole) in [
            ("9876543210", "+919876543210"),
            ("919876543210", "+919876543210"),
            ("+14155550100", "+14155550100"),
            ("sip:a@b", "sip:a@b"),
            ("", ""),
        ] {
            assert_eq!(number(text), whole, "{text}");
        }
    }
}
