//! Exotel's wire, for a [`FakeCarrier`](crate::carrier::FakeCarrier): REST, the applets of one flow, status
//! callbacks and stream messages of wire-telephony.md §3.2. Nothing is signed.
//!
//! The flow is a row of Voicebot applets with one address, and the end: each applet asks that address for a
//! socket, and an answer without one ends the call.

mod rest;
mod wire;

use chrono::{DateTime, FixedOffset, Utc};
use serde_json::Value;

pub(crate) use rest::routes;

use crate::{
    caller::AnsweredBy,
    carrier::{
        Call,
        call::Status,
        dialect::{Dialect, Form, News, Outgoing, StreamNews, Telling, Writer},
        document::{Stream, Verb},
        signing::Signer,
    },
    g711,
};

/// User of REST.
pub const API_KEY: &str = "9f2d4b7c1e3a";
/// The flow that leads outbound calls.
pub const APP: &str = "29281";
const ACCOUNT: &str = "bolo1";
const TOKEN: &str = "c0ffee00c0ffee00";
/// Not documented; a minute of audio.
const BUFFER: u64 = 60 * g711::RATE;

/// Exotel's way to spell.
pub(crate) struct Exotel;

impl Dialect for Exotel {
    fn account(&self) -> &'static str {
        ACCOUNT
    }

    fn token(&self) -> &'static str {
        TOKEN
    }

    /// 32 hex digits.
    fn call_id(&self, chance: u128) -> String {
        format!("{chance:032x}")
    }

    fn fetch_rules(&self) -> &'static str {
        "ct=5000&rt=10000&tt=15000&rc=2&rp=ct,rt,5xx"
    }

    fn tells_json(&self) -> bool {
        true
    }

    fn headers(&self, _: &Signer<'_>, _: &Outgoing<'_>) -> Vec<(&'static str, String)> {
        vec![("User-Agent", "Exotel".to_owned())]
    }

    fn upgrade_headers(&self, _: &Signer<'_>, _: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn ask_form(
        &self,
        call: &Call,
        _what: &str,
        _status: Status,
        _failed: Option<(&str, &str)>,
    ) -> Form {
        let (from, to) = ends(call);
        let direction = if call.inbound {
            "incoming"
        } else {
            "outbound-dial"
        };
        let mut form = pairs(&[
            ("CallSid", &call.id),
            ("CallFrom", &national(from)),
            ("CallTo", &national(to)),
            ("Direction", direction),
            (
                "Created",
                &call.created.format("%a, %d %b %Y %T").to_string(),
            ),
            ("flow_id", APP),
            ("tenant_id", "1"),
            ("CurrentTime", &time(Utc::now())),
        ]);
        let custom = call.plan().custom;
        if !custom.is_empty() {
            form.push(("CustomField".to_owned(), custom));
        }
        form
    }

    fn dialled_form(&self, _: &Call, _: &str) -> Form {
        Form::new() // no document dials
    }

    fn read_document(&self, text: &str) -> Result<Vec<Verb>, String> {
        let answer: Value =
            serde_json::from_str(text).map_err(|fault| format!("applet: {fault}"))?;
        let Some(url) = answer["url"].as_str().filter(|url| !url.is_empty()) else {
            return Ok(vec![Verb::Hangup]);
        };
        if !(url.starts_with("ws://") || url.starts_with("wss://")) {
            return Err(format!("applet: {url} is no socket"));
        }
        let stream = Stream {
            url: url.to_owned(),
            ..Stream::default()
        };
        Ok(vec![Verb::Stream(stream), Verb::Again])
    }

    fn no_document(&self, url: &str, status: Option<u16>) -> String {
        format!("applet: {url} answered {status:?}")
    }

    fn news(&self, call: &Call, news: &News<'_>) -> Option<Telling> {
        let event = match news.event {
            "answered" => "answered",
            "completed" => "terminal",
            _ => return None,
        };
        let plan = call.plan();
        let url = plan.status_callback?;
        if !plan.status_events.iter().any(|asked| asked == event) {
            return None;
        }
        let times = call.times();
        let (from, to) = ends(call);
        let mut form = pairs(&[
            ("CallSid", &call.id),
            ("EventType", event),
            ("Status", news.status.word()),
            ("Direction", direction(call)),
            ("From", &national(from)),
            ("To", &national(to)),
            ("PhoneNumberSid", &national(ours(call))),
            ("DateCreated", &time(call.created)),
            ("DateUpdated", &time(times.updated)),
            ("StartTime", &time(call.created)),
            ("CustomField", &plan.custom),
        ]);
        if news.ending.is_some() {
            form.push(("EndTime".to_owned(), time(Utc::now())));
            let seconds = call.duration_s().to_string();
            form.push(("ConversationDuration".to_owned(), seconds));
        }
        Some(Telling {
            url,
            method: "POST".to_owned(),
            form,
        })
    }

    fn machine_form(&self, _: &Call, _: AnsweredBy) -> Option<Form> {
        None
    }

    fn stream_form(&self, _: &Call, _: &Stream, _: &str, _: &StreamNews) -> Option<Form> {
        None // told by a Passthru applet, which this flow has not
    }

    fn no_socket(&self, _status: Option<u16>, why: &str) -> String {
        format!("voicebot could not connect: {why}")
    }

    fn upgrade_tries(&self) -> u32 {
        2
    }

    fn buffer(&self) -> u64 {
        BUFFER
    }

    fn writer(&self, call: &Call, stream_id: String) -> Box<dyn Writer> {
        Box::new(wire::Writer::new(ACCOUNT, call, stream_id))
    }
}

fn pairs(fields: &[(&str, &str)]) -> Form {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// `From` and `To` as Exotel sees them: whom it dials first is "from".
fn ends(call: &Call) -> (&str, &str) {
    if call.inbound {
        (&call.from, &call.to)
    } else {
        (&call.to, &call.from)
    }
}

fn ours(call: &Call) -> &str {
    if call.inbound { &call.to } else { &call.from }
}

fn direction(call: &Call) -> &'static str {
    if call.inbound {
        "inbound"
    } else {
        "outbound-api"
    }
}

/// As Indians dial it; other numbers whole.
fn national(number: &str) -> String {
    match number.strip_prefix("+91") {
        Some(rest) => format!("0{rest}"),
        None => number.to_owned(),
    }
}

/// Indian time.
fn time(time: DateTime<Utc>) -> String {
    let zone = FixedOffset::east_opt(19_800).unwrap_or_else(|| chrono::Offset::fix(&Utc));
    time.with_timezone(&zone).format("%F %T").to_string()
}
