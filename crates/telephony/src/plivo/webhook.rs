//! Webhooks that Plivo sends: answer, resume, inbound, ring, hang-up. Source: wire-telephony.md §2.4.
//!
//! Numbers come without `+`; names of fields that we don't know are kept.

use bolo_execution::{Change, Direction, Hangup};

use super::{
    dialect::Dialect,
    outcome::{code_of, ended},
};
use crate::{AnsweredBy, RequestParts, StatusEvent, Webhook, request::get};

type Fields = [(String, String)];

pub(super) fn parse(request: RequestParts<'_>) -> Option<Webhook> {
    let fields = request.fields();
    let text = |name: &str| get(&fields, name).unwrap_or_default();
    Some(Webhook {
        call_id: filled(&fields, "CallUUID")?,
        dial_id: filled(&fields, "RequestUUID"),
        account: text("ParentAuthID").to_owned(),
        from: number(text("From")),
        to: number(text("To")),
        direction: direction(&fields),
        over: is_over(text("CallStatus")) || text("Event") == "Hangup",
    })
}

pub(super) fn parse_status(dialect: Dialect, request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let call_id = filled(&fields, "CallUUID")?;
    let status = get(&fields, "CallStatus")?;
    // Plivo numbers nothing. Each event comes once, apart from repetitions.
    let (sequence, change, hangup) = match status {
        "ringing" => (0, Some(Change::Ringing), None),
        "in-progress" => (1, Some(Change::Answered), None),
        word if is_over(word) => {
            let (change, hangup) = end(dialect, &fields, word);
            (2, Some(change), Some(hangup))
        }
        // What we don't know must not change a call.
        _ => (3, None, None),
    };
    Some(StatusEvent {
        call_id,
        dial_id: filled(&fields, "RequestUUID"),
        sequence,
        change,
        duration_s: hangup
            .as_ref()
            .and_then(|_| get(&fields, "Duration")?.trim().parse().ok()),
        hangup,
        raw: fields,
    })
}

fn end(dialect: Dialect, fields: &Fields, status: &str) -> (Change, Hangup) {
    let text = |name: &str| get(fields, name).unwrap_or_default();
    let code = text("HangupCauseCode").trim().parse();
    ended(
        dialect,
        code.unwrap_or_else(|_| code_of(text("HangupCause"), status)),
        text("HangupSource").trim(),
        direction(fields),
        status == "completed",
    )
}

/// Plivo tells of machines only.
pub(super) fn parse_answered_by(request: RequestParts<'_>) -> Option<AnsweredBy> {
    let fields = request.fields();
    Some(AnsweredBy {
        call_id: filled(&fields, "CallUUID")?,
        is_machine: get(&fields, "Machine")?.eq_ignore_ascii_case("true"),
    })
}

/// The call is over by this `CallStatus`.
fn is_over(status: &str) -> bool {
    matches!(
        status,
        "completed" | "busy" | "failed" | "timeout" | "no-answer" | "cancel"
    )
}

fn direction(fields: &Fields) -> Direction {
    match get(fields, "Direction") {
        Some(word) if word.starts_with("outbound") => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

fn filled(fields: &Fields, name: &str) -> Option<String> {
    get(fields, name)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// `14155550100` → `+14155550100`; an address that is no number stays.
pub(super) fn number(text: &str) -> String {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("+{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    use bolo_execution::HangupBy;

    use super::*;

    const HANGUP: &str = "CallUUID=8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d&RequestUUID=8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d\
        &From=14155550100&To=14155550199&Direction=outbound&Event=Hangup&CallStatus=completed\
        &HangupCause=NORMAL_CLEARING&HangupCauseCode=4000&HangupCauseName=Normal+Hangup&HangupSource=Callee\
        &Duration=49&BillDuration=60&TotalCost=0.00000&SessionStart=2026-01-02+03%3A04%3A05.123456&New=x";

    fn form() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers
    }

    fn post<'a>(headers: &'a HeaderMap, body: &'a str) -> RequestParts<'a> {
        RequestParts {
            method: "POST",
            url: "https://h.example/x?CallUUID=other",
            headers,
            body: body.as_bytes(),
        }
    }

    #[test]
    fn a_hang_up_is_read_from_a_form_and_keeps_what_it_does_not_know() {
        let headers = form();
        let event = parse_status(Dialect::Plivo, post(&headers, HANGUP)).unwrap();
        assert_eq!(event.call_id, "8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d");
        assert_eq!(event.dial_id.as_deref(), Some(&*event.call_id));
        assert_eq!((event.sequence, event.duration_s), (2, Some(49)));
        assert_eq!(event.change, Some(Change::MediaEnded));
        assert_eq!(event.hangup.unwrap().by, HangupBy::Callee);
        assert!(event.raw.contains(&("New".into(), "x".into())));
    }

    #[test]
    fn a_hang_up_is_read_from_a_query() {
        let url = format!("https://h.example/status/7f/1/ab?{HANGUP}#rc=2");
        let request = RequestParts {
            method: "GET",
            url: &url,
            headers: &HeaderMap::new(),
            body: &[],
        };
        assert_eq!(
            parse_status(Dialect::Plivo, request).unwrap().change,
            Some(Change::MediaEnded)
        );
    }

    #[test]
    fn every_word_for_a_calls_state() {
        let headers = form();
        for (word, cause, change, code) in [
            ("ringing", "", Some(Change::Ringing), None),
            ("in-progress", "", Some(Change::Answered), None),
            ("busy", "USER_BUSY", Some(Change::Busy), Some(3010)),
            ("busy", "CALL_REJECTED", Some(Change::Busy), Some(3020)),
            ("no-answer", "NO_ANSWER", Some(Change::NoAnswer), Some(3000)),
            ("timeout", "", Some(Change::NoAnswer), Some(3000)),
            (
                "cancel",
                "ORIGINATOR_CANCEL",
                Some(Change::Canceled),
                Some(1000),
            ),
            (
                "failed",
                "UNALLOCATED_NUMBER",
                Some(Change::CarrierFailed),
                Some(2000),
            ),
            ("vanished", "", None, None),
        ] {
            let body =
                format!("CallUUID=u&Direction=outbound&CallStatus={word}&HangupCause={cause}");
            let event = parse_status(Dialect::Plivo, post(&headers, &body)).unwrap();
            let found = event.hangup.map(|hangup| hangup.code);
            assert_eq!((event.change, found), (change, code), "{word} {cause}");
        }
    }

    #[test]
    fn an_inbound_webhook_tells_who_calls() {
        let headers = form();
        let body = "CallUUID=u&ParentAuthID=MA1&From=14155550100&To=14155550199&CallStatus=ringing&Event=StartApp&Direction=inbound";
        let webhook = parse(post(&headers, body)).unwrap();
        assert_eq!(
            (webhook.from.as_str(), webhook.to.as_str()),
            ("+14155550100", "+14155550199")
        );
        assert_eq!(
            (webhook.account.as_str(), webhook.direction, webhook.over),
            ("MA1", Direction::Inbound, false)
        );
        assert_eq!(number("sip:a@b"), "sip:a@b");
    }

    #[test]
    fn an_end_told_to_the_answer_address_is_told_apart() {
        let headers = form();
        assert!(parse(post(&headers, HANGUP)).unwrap().over);
        assert!(
            !parse(post(
                &headers,
                "CallUUID=u&CallStatus=in-progress&Event=StartApp"
            ))
            .unwrap()
            .over
        );
    }

    #[test]
    fn a_machine_is_told() {
        let headers = form();
        let body = "CallUUID=u&Event=MachineDetection&Machine=true";
        let found = parse_answered_by(post(&headers, body)).unwrap();
        assert_eq!((&*found.call_id, found.is_machine), ("u", true));
        assert_eq!(parse_answered_by(post(&headers, "CallUUID=u")), None);
    }

    #[test]
    fn what_names_no_call_is_no_webhook() {
        let headers = form();
        for body in ["CallStatus=busy", "CallUUID=u", "CallUUID=&CallStatus=busy"] {
            assert!(
                parse_status(Dialect::Plivo, post(&headers, body)).is_none(),
                "{body}"
            );
        }
        assert!(parse(post(&headers, "From=1")).is_none());
        assert!(parse(post(&headers, "\u{0}&&==%ff")).is_none());
    }
}
