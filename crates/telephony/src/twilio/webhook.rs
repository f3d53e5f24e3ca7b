//! Webhooks that Twilio sends: answer, resume, inbound, status. Source: wire-telephony.md §1.5, §1.8.
//!
//! Names of fields that we don't know are kept: Twilio adds some at any time.

use bolo_execution::Direction;

use super::outcome::outcome;
use crate::{AnsweredBy, RequestParts, StatusEvent, Webhook, carrier::TAKE_KEY, request::get};

pub(super) fn parse(request: RequestParts<'_>) -> Option<Webhook> {
    let fields = request.fields();
    let get = |name: &str| get(&fields, name).map(str::to_owned);
    Some(Webhook {
        call_id: get("CallSid").filter(|id| !id.is_empty())?,
        account: get("AccountSid").unwrap_or_default(),
        from: get("From").unwrap_or_default(),
        to: get("To").unwrap_or_default(),
        direction: direction(&fields),
        dial_id: None,
        over: false,
    })
}

pub(super) fn parse_status(request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let number = |name: &str| get(&fields, name).and_then(|text| text.trim().parse::<u64>().ok());
    let small = |name: &str| number(name).and_then(|value| value.try_into().ok());
    let call_id = get(&fields, "CallSid")
        .filter(|id| !id.is_empty())?
        .to_owned();
    let (change, hangup) = outcome(
        get(&fields, "CallStatus")?,
        small("SipResponseCode"),
        number("ErrorCode").and_then(|code| code.try_into().ok()),
        direction(&fields),
    );
    Some(StatusEvent {
        call_id,
        dial_id: None,
        sequence: number("SequenceNumber").unwrap_or_default(),
        change,
        // `Duration` is billed minutes.
        duration_s: hangup.as_ref().and_then(|_| number("CallDuration")),
        hangup,
        raw: fields,
    })
}

/// Source: wire-telephony.md §1.11.
pub(super) fn parse_answered_by(request: RequestParts<'_>) -> Option<AnsweredBy> {
    let fields = request.fields();
    let word = get(&fields, "AnsweredBy")?;
    Some(AnsweredBy {
        call_id: get(&fields, "CallSid")
            .filter(|id| !id.is_empty())?
            .to_owned(),
        is_machine: word.starts_with("machine_") || word == "fax",
    })
}

/// The request of a `<Gather>`'s action.
pub(super) fn parse_keys(request: RequestParts<'_>) -> Option<String> {
    get(&request.fields(), "Digits").map(str::to_owned)
}

/// The same of an offer; no key is no answer.
pub(super) fn parse_taken(request: RequestParts<'_>) -> Option<bool> {
    parse_keys(request).map(|keys| keys == TAKE_KEY)
}

/// The request of a `<Dial>`'s action, which speaks of the other leg in fields of its own.
pub(super) fn parse_outcome(request: RequestParts<'_>) -> Option<StatusEvent> {
    let fields = request.fields();
    let status = match get(&fields, "DialCallStatus")? {
        // Two words for the same: the legs had been connected.
        "answered" => "completed",
        other => other,
    };
    let (change, hangup) = outcome(status, None, None, Direction::Outbound);
    let duration = get(&fields, "DialCallDuration").and_then(|text| text.trim().parse().ok());
    Some(StatusEvent {
        call_id: get(&fields, "DialCallSid").unwrap_or_default().to_owned(),
        dial_id: None,
        sequence: 0,
        change,
        duration_s: duration,
        hangup,
        raw: fields,
    })
}

/// `inbound`, else one of `outbound-api` and `outbound-dial`.
fn direction(fields: &[(String, String)]) -> Direction {
    match get(fields, "Direction") {
        Some(word) if word.starts_with("outbound") => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    use bolo_execution::{Change, HangupBy};

    use super::*;

    const STATUS: &str = "Called=%2B5511999990000&ToState=SP&CallerCountry=US&Direction=outbound-api\
        &Timestamp=Sun%2C%2025%20Mar%202018%2009%3A53%3A19%20%2B0000&CallbackSource=call-progress-events\
        &SequenceNumber=3&CallSid=CA1234567890abcdef1234567890abcdef&CallStatus=completed&Duration=1\
        &CallDuration=49&SipResponseCode=200&To=%2B5511999990000&From=%2B14155550100&FromCity=&NewField=x";

    fn form() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8"),
        );
        headers
    }

    fn post<'a>(headers: &'a HeaderMap, body: &'a str) -> RequestParts<'a> {
        RequestParts {
            method: "POST",
            url: "https://h.example/x?CallSid=CAother",
            headers,
            body: body.as_bytes(),
        }
    }

    #[test]
    fn a_status_is_read_from_a_form_and_keeps_what_it_does_not_know() {
        let headers = form();
        let event = parse_status(post(&headers, STATUS)).unwrap();
        assert_eq!(event.call_id, "CA1234567890abcdef1234567890abcdef");
        assert_eq!((event.sequence, event.duration_s), (3, Some(49)));
        assert_eq!(event.change, Some(Change::MediaEnded));
        assert_eq!(event.hangup.unwrap().by, HangupBy::Callee);
        assert!(event.raw.contains(&("NewField".into(), "x".into())));
        assert!(event.raw.contains(&("FromCity".into(), String::new())));
    }

    #[test]
    fn a_status_is_read_from_a_query() {
        let url = format!("https://h.example/status/7f/1/ab?{STATUS}#rc=2");
        let request = RequestParts {
            method: "GET",
            url: &url,
            headers: &HeaderMap::new(),
            body: &[],
        };
        let event = parse_status(request).unwrap();
        assert_eq!(
            (event.sequence, event.change),
            (3, Some(Change::MediaEnded))
        );
    }

    #[test]
    fn a_busy_call_has_its_sip_code_told() {
        let headers = form();
        let event = parse_status(post(
            &headers,
            "CallSid=CA1&CallStatus=busy&SipResponseCode=603&Direction=outbound-api",
        ));
        assert_eq!(event.unwrap().hangup.unwrap().code, 3020);
    }

    #[test]
    fn initiated_and_unknown_words_change_nothing() {
        let headers = form();
        for word in ["initiated", "queued", "vanished"] {
            let event =
                parse_status(post(&headers, &format!("CallSid=CA1&CallStatus={word}"))).unwrap();
            assert_eq!((event.change, event.hangup), (None, None), "{word}");
        }
    }

    #[test]
    fn machines_and_faxes_are_told_from_people() {
        let headers = form();
        for (word, machine) in [
            ("human", false),
            ("machine_start", true),
            ("machine_end_beep", true),
            ("fax", true),
            ("unknown", false),
        ] {
            let body = format!("CallSid=CA1&AnsweredBy={word}&MachineDetectionDuration=2400");
            let found = parse_answered_by(post(&headers, &body)).unwrap();
            assert_eq!((&*found.call_id, found.is_machine), ("CA1", machine));
        }
        assert_eq!(parse_answered_by(post(&headers, "CallSid=CA1")), None);
    }

    #[test]
    fn what_names_no_call_is_no_webhook() {
        let headers = form();
        assert!(parse_status(post(&headers, "CallStatus=busy")).is_none());
        assert!(parse_status(post(&headers, "CallSid=CA1")).is_none());
        assert!(parse(post(&headers, "From=%2B1")).is_none());
        assert!(parse(post(&headers, "\u{0}&&==%ff")).is_none());
    }

    #[test]
    fn the_outcome_of_a_dial_is_the_other_legs() {
        let headers = form();
        let read = |status: &str| {
            let body = format!(
                "CallSid=CA1&CallStatus=in-progress&DialCallSid=CA2&DialCallStatus={status}&DialCallDuration=9"
            );
            parse_outcome(post(&headers, &body)).unwrap()
        };
        let busy = read("busy");
        assert_eq!(
            (busy.call_id.as_str(), busy.change),
            ("CA2", Some(Change::Busy))
        );
        for word in ["completed", "answered"] {
            let talked = read(word);
            assert_eq!(
                (talked.change, talked.duration_s),
                (Some(Change::MediaEnded), Some(9))
            );
        }
        assert!(parse_outcome(post(&headers, "CallSid=CA1&CallStatus=completed")).is_none());
    }

    #[test]
    fn one_key_takes_a_call() {
        let headers = form();
        for (body, taken) in [
            ("CallSid=CA2&Digits=1", Some(true)),
            ("CallSid=CA2&Digits=2", Some(false)),
            ("CallSid=CA2&Digits=", Some(false)),
            ("CallSid=CA2&CallStatus=in-progress", None),
        ] {
            assert_eq!(parse_taken(post(&headers, body)), taken, "{body}");
        }
    }

    #[test]
    fn an_inbound_webhook_tells_who_calls() {
        let headers = form();
        let body = "CallSid=CA1&AccountSid=AC1&From=%2B14155550100&To=%2B14155550199&CallStatus=ringing&Direction=inbound";
        let webhook = parse(post(&headers, body)).unwrap();
        assert_eq!(
            (webhook.from.as_str(), webhook.to.as_str()),
            ("+14155550100", "+14155550199")
        );
        assert_eq!(
            (webhook.account.as_str(), webhook.direction),
            ("AC1", Direction::Inbound)
        );
    }
}
