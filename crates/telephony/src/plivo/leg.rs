//! What the carrier tells of the other leg of a `<Dial>`: its callbacks, and its action at the end. Source:
//! wire-telephony.md §2.4, §2.5; both speak of that leg in fields of their own (`Dial…`).

use bolo_execution::{Change, Direction, Hangup};

use super::{
    dialect::Dialect,
    outcome::{code_of, ended},
};
use crate::{RequestParts, StatusEvent, request::get};

type Fields = [(String, String)];

/// A callback: somebody picked up, the two are connected, or it is over.
pub(super) fn parse(dialect: Dialect, request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let (sequence, change, hangup) = match get(&fields, "DialAction")? {
        "answer" | "connected" => (1, Some(Change::Answered), None),
        // The action tells of those who were never connected; here it is the end of a talk.
        "hangup" => {
            let (change, hangup) = end(dialect, &fields, "completed");
            (2, Some(change), Some(hangup))
        }
        _ => (3, None, None),
    };
    Some(event(fields, sequence, change, hangup))
}

/// `answer`: somebody picked up; `connected`: they talk, with the key that takes the call pressed where one
/// is wanted.
pub(super) fn parse_taken(request: RequestParts<'_>) -> Option<bool> {
    let fields = request.fields();
    (get(&fields, "DialAction")? == "connected").then_some(true)
}

/// The action: what became of it all.
pub(super) fn parse_outcome(dialect: Dialect, request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let status = get(&fields, "DialStatus")?.to_owned();
    let (change, hangup) = end(dialect, &fields, &status);
    // Who ended a talk is told by the callback only.
    let is_known = status != "completed" || get(&fields, "DialBLegHangupSource").is_some();
    let hangup = Some(hangup).filter(|_| is_known);
    Some(event(fields, 3, Some(change), hangup))
}

fn end(dialect: Dialect, fields: &Fields, status: &str) -> (Change, Hangup) {
    let text = |name: &str| get(fields, name).unwrap_or_default().trim();
    let code = text("DialBLegHangupCauseCode").parse();
    let (change, hangup) = ended(
        dialect,
        code.unwrap_or_else(|_| code_of(text("DialHangupCause"), status)),
        text("DialBLegHangupSource"),
        Direction::Outbound,
        status == "completed",
    );
    // The word says whether they talked; the code may be that of a person who put the phone down.
    match status {
        "busy" => (Change::Busy, hangup),
        "no-answer" | "timeout" => (Change::NoAnswer, hangup),
        "cancel" => (Change::Canceled, hangup),
        "failed" => (Change::CarrierFailed, hangup),
        _ => (change, hangup),
    }
}

fn event(
    fields: Vec<(String, String)>,
    sequence: u64,
    change: Option<Change>,
    hangup: Option<Hangup>,
) -> StatusEvent {
    let text = |name: &str| get(&fields, name).unwrap_or_default().to_owned();
    StatusEvent {
        call_id: text("DialBLegUUID"),
        dial_id: None,
        sequence,
        change,
        duration_s: text("DialBLegDuration").trim().parse().ok(),
        hangup,
        raw: fields,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

    use super::*;

    fn read(
        body: &str,
        parse: fn(Dialect, RequestParts<'_>) -> Option<StatusEvent>,
    ) -> Option<StatusEvent> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        let request = RequestParts {
            method: "POST",
            url: "https://h.example/x",
            headers: &headers,
            body: body.as_bytes(),
        };
        parse(Dialect::Plivo, request)
    }

    #[test]
    fn callbacks_tell_of_the_other_leg() {
        let answered = read("CallUUID=a&DialBLegUUID=b&DialAction=answer", parse).unwrap();
        assert_eq!(
            (&*answered.call_id, answered.change),
            ("b", Some(Change::Answered))
        );
        let body = "CallUUID=a&DialBLegUUID=b&DialAction=hangup&DialBLegDuration=17\
            &DialBLegHangupCauseCode=4000&DialBLegHangupSource=Callee";
        let over = read(body, parse).unwrap();
        assert_eq!(
            (over.change, over.duration_s),
            (Some(Change::MediaEnded), Some(17))
        );
        assert_eq!(over.hangup.unwrap().code, 4000);
        let digits = read("DialBLegUUID=b&DialAction=digits", parse).unwrap();
        assert_eq!(digits.change, None);
        assert!(read("CallUUID=a", parse).is_none());
    }

    #[test]
    fn who_is_connected_took_the_call() {
        let taken = |action: &str| {
            let headers = HeaderMap::new();
            let url = format!("https://h.example/x?DialBLegUUID=b&DialAction={action}");
            let request = RequestParts {
                method: "GET",
                url: &url,
                headers: &headers,
                body: &[],
            };
            parse_taken(request)
        };
        assert_eq!(taken("connected"), Some(true));
        assert_eq!((taken("answer"), taken("hangup")), (None, None));
    }

    #[test]
    fn every_word_of_an_outcome() {
        for (word, change) in [
            ("completed", Change::MediaEnded),
            ("busy", Change::Busy),
            ("no-answer", Change::NoAnswer),
            ("timeout", Change::NoAnswer),
            ("cancel", Change::Canceled),
            ("failed", Change::CarrierFailed),
        ] {
            let body = format!("CallUUID=a&DialStatus={word}&DialBLegUUID=b");
            let event = read(&body, parse_outcome).unwrap();
            assert_eq!(event.change, Some(change), "{word}");
        }
        assert!(read("CallUUID=a", parse_outcome).is_none());
    }
}
