//! Twilio's wire, for a [`FakeCarrier`](crate::carrier::FakeCarrier): REST, TwiML, webhooks, media messages and
//! signatures of wire-telephony.md §1.

mod rest;
pub mod signature;
mod twiml;
mod wire;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

pub(crate) use rest::routes;

use crate::{
    caller::AnsweredBy,
    carrier::{
        Call,
        call::Status,
        chance::sid,
        dialect::{Dialect, Form, News, Outgoing, StreamNews, Telling, Writer},
        document::{Stream, Verb},
        life::Ending,
        signing::Signer,
    },
    g711,
};

const ACCOUNT: &str = "AC11111111111111111111111111111111";
const TOKEN: &str = "12345678901234567890123456789012";
/// Ten minutes of audio wait at most (31931).
const BUFFER: u64 = 600 * g711::RATE;

/// Twilio's way to spell.
pub(crate) struct Twilio;

impl Dialect for Twilio {
    fn account(&self) -> &'static str {
        ACCOUNT
    }

    fn token(&self) -> &'static str {
        TOKEN
    }

    fn call_id(&self, chance: u128) -> String {
        sid("CA", chance)
    }

    fn stream_id(&self, chance: u128) -> String {
        sid("MZ", chance)
    }

    fn fetch_rules(&self) -> &'static str {
        "ct=5000&rt=15000&tt=15000&rc=1&rp=ct"
    }

    fn headers(&self, signer: &Signer<'_>, request: &Outgoing<'_>) -> Vec<(&'static str, String)> {
        let url = signer.page(request.url);
        let signature = signature::sign(signer.present(), &url, request.form);
        vec![
            ("X-Twilio-Signature", signature),
            ("I-Twilio-Idempotency-Token", request.token.to_owned()),
            ("User-Agent", "TwilioProxy/1.1".to_owned()),
        ]
    }

    fn upgrade_headers(&self, signer: &Signer<'_>, url: &str) -> Vec<(&'static str, String)> {
        let signature = signature::sign(signer.present(), &signer.socket(url), &[]);
        vec![("X-Twilio-Signature", signature)]
    }

    fn ask_form(
        &self,
        call: &Call,
        _what: &str,
        status: Status,
        failed: Option<(&str, &str)>,
    ) -> Form {
        let mut form = base_form(call, status);
        if let Some((code, url)) = failed {
            form.push(("ErrorCode".into(), code.to_owned()));
            form.push(("ErrorUrl".into(), url.to_owned()));
        }
        form
    }

    fn dialled_form(&self, leg: &Call, status: &str) -> Form {
        // Who hangs up before the two are connected did not answer, in Twilio's words for a `<Dial>`.
        let answered = status == "completed" && leg.is_connected();
        let status = match status {
            "completed" if !answered => "no-answer",
            other => other,
        };
        let mut form = vec![
            ("DialCallSid".to_owned(), leg.id.clone()),
            ("DialCallStatus".to_owned(), status.to_owned()),
            ("DialBridged".to_owned(), answered.to_string()),
        ];
        if answered {
            form.push(("DialCallDuration".to_owned(), leg.duration_s().to_string()));
        }
        form
    }

    fn read_document(&self, text: &str) -> Result<Vec<Verb>, String> {
        twiml::parse(text)
    }

    fn no_document(&self, url: &str, status: Option<u16>) -> String {
        format!("11200 {url} answered {status:?}")
    }

    fn news(&self, call: &Call, news: &News<'_>) -> Option<Telling> {
        let plan = call.plan();
        let asked = if plan.status_events.is_empty() {
            news.event == "completed"
        } else {
            plan.status_events.iter().any(|event| event == news.event)
        };
        let url = plan.status_callback.filter(|_| asked)?;
        let mut form = base_form(call, news.status);
        let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
        add("Timestamp", rfc2822(Utc::now()));
        add("CallbackSource", "call-progress-events".to_owned());
        add("SequenceNumber", news.sequence.to_string());
        if let Some(ending) = news.ending {
            add("SipResponseCode", sip_code(ending).to_string());
            if ending.status() == Status::Completed {
                let seconds = call.duration_s();
                add("CallDuration", seconds.to_string());
                add("Duration", seconds.div_ceil(60).to_string());
            }
        }
        Some(Telling {
            url,
            method: plan.status_method,
            form,
        })
    }

    fn machine_form(&self, call: &Call, by: AnsweredBy) -> Option<Form> {
        Some(pairs(&[
            ("CallSid", &call.id),
            ("AccountSid", ACCOUNT),
            ("AnsweredBy", by.word()),
            ("MachineDetectionDuration", "2400"),
        ]))
    }

    fn stream_form(
        &self,
        call: &Call,
        stream: &Stream,
        id: &str,
        news: &StreamNews,
    ) -> Option<Form> {
        let name = if stream.name.is_empty() {
            id
        } else {
            &stream.name
        };
        let (event, fault) = match news {
            StreamNews::Started => ("stream-started", None),
            StreamNews::Stopped => ("stream-stopped", None),
            StreamNews::Filled(_) => return None,
            StreamNews::Overflown => ("stream-error", Some("31931 Stream overflow")),
            StreamNews::Lost => ("stream-error", Some("31921 Stream closed by the peer")),
            StreamNews::Failed(fault) => ("stream-error", Some(fault.as_str())),
        };
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut form = pairs(&[
            ("AccountSid", ACCOUNT),
            ("CallSid", &call.id),
            ("StreamSid", id),
            ("StreamName", name),
            ("StreamEvent", event),
            ("Timestamp", &now),
        ]);
        if let Some(fault) = fault {
            form.push(("StreamError".into(), fault.to_owned()));
        }
        Some(form)
    }

    fn no_socket(&self, status: Option<u16>, why: &str) -> String {
        match status {
            Some(_) => format!("31920 {why}"),
            None => format!("31901 {why}"),
        }
    }

    fn upgrade_tries(&self) -> u32 {
        1
    }

    fn buffer(&self) -> u64 {
        BUFFER
    }

    fn writer(&self, call: &Call, stream_id: String) -> Box<dyn Writer> {
        Box::new(wire::Writer::new(ACCOUNT, &call.id, stream_id))
    }
}

/// `SipResponseCode` of the final callback.
fn sip_code(ending: Ending) -> u16 {
    match ending {
        Ending::Canceled | Ending::NoAnswer | Ending::NoDocument { answered: false } => 487,
        Ending::BadDocument { answered: false } => 487,
        Ending::Busy => 486,
        Ending::Rejected => 603,
        Ending::Invalid => 404,
        Ending::Congested | Ending::Full => 503,
        _ => 200,
    }
}

fn pairs(fields: &[(&str, &str)]) -> Form {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The fields of every voice webhook of a call.
fn base_form(call: &Call, status: Status) -> Form {
    let mut form = pairs(&[
        ("CallSid", &call.id),
        ("AccountSid", ACCOUNT),
        ("From", &call.from),
        ("To", &call.to),
        ("Caller", &call.from),
        ("Called", &call.to),
        ("CallStatus", status.word()),
        ("ApiVersion", "2010-04-01"),
        ("Direction", direction(call)),
    ]);
    for who in ["From", "To", "Caller", "Called"] {
        for what in ["City", "State", "Zip", "Country"] {
            let value = if what == "Country" { "US" } else { "" };
            form.push((format!("{who}{what}"), value.to_owned()));
        }
    }
    form
}

fn direction(call: &Call) -> &'static str {
    if call.inbound {
        "inbound"
    } else {
        "outbound-api"
    }
}

/// The REST Call object. `initiated` is spoken of in callbacks only; REST says `queued`.
fn call_json(call: &Call) -> Value {
    let times = call.times();
    let uri = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{}", call.id);
    let date = |date: Option<DateTime<Utc>>| date.map(rfc2822);
    let status = match call.status() {
        Status::Initiated => Status::Queued,
        status => status,
    };
    json!({
        "sid": call.id,
        "date_created": rfc2822(call.created),
        "date_updated": rfc2822(times.updated),
        "parent_call_sid": null,
        "account_sid": ACCOUNT,
        "to": call.to,
        "to_formatted": call.to,
        "from": call.from,
        "from_formatted": call.from,
        "phone_number_sid": null,
        "status": status.word(),
        "start_time": date(times.answered.or(times.ended)),
        "end_time": date(times.ended),
        "duration": status.is_over().then(|| call.duration_s().to_string()),
        "price": null,
        "price_unit": "USD",
        "direction": direction(call),
        "answered_by": null,
        "api_version": "2010-04-01",
        "forwarded_from": null,
        "group_sid": null,
        "caller_name": null,
        "queue_time": "0",
        "trunk_sid": null,
        "annotation": null,
        "uri": format!("{uri}.json"),
        "subresource_uris": {
            "notifications": format!("{uri}/Notifications.json"),
            "recordings": format!("{uri}/Recordings.json"),
            "streams": format!("{uri}/Streams.json"),
            "events": format!("{uri}/Events.json"),
        },
    })
}

/// `Tue, 31 Aug 2010 20:36:28 +0000`.
fn rfc2822(date: DateTime<Utc>) -> String {
    date.format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests;
