//! An Asterisk with a SIP trunk, for a [`FakeCarrier`](crate::carrier::FakeCarrier): ARI, the dialplan that this
//! server wants (docs/carriers.md) and `chan_websocket`, of wire-telephony.md §3.3.
//!
//! The dialplan asks with `CURL`, takes the line that it gets apart with `CUT`, dials the socket, asks again when
//! that is over, and its hang-up handler tells of the end.

mod rest;
mod wire;

pub(crate) use rest::routes;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    caller::AnsweredBy,
    carrier::{
        Call,
        call::Status,
        dialect::{Dialect, Form, News, Outgoing, StreamNews, Telling, Writer},
        document::{Stream, Verb},
        life::Ending,
        signing::Signer,
    },
    g711,
};

/// The trunk's name among Asterisk's endpoints.
pub const TRUNK: &str = "acme";
const USER: &str = "bolo";
const PASSWORD: &str = "correct horse battery staple";
/// A thousand frames wait at most.
const BUFFER: u64 = 1000 * g711::FRAME as u64;

/// Asterisk's way to spell.
pub(crate) struct Asterisk;

impl Dialect for Asterisk {
    fn account(&self) -> &'static str {
        USER
    }

    fn token(&self) -> &'static str {
        PASSWORD
    }

    /// Of a call that comes in; a dial brings its own.
    fn call_id(&self, chance: u128) -> String {
        format!("1761245643.{}", chance as u32)
    }

    /// `CURL` tries once.
    fn fetch_rules(&self) -> &'static str {
        "ct=5000&rt=10000&tt=10000&rc=0&rp=ct"
    }

    fn headers(&self, signer: &Signer<'_>, _: &Outgoing<'_>) -> Vec<(&'static str, String)> {
        vec![
            ("Authorization", basic(signer.present())),
            ("User-Agent", "asterisk-libcurl-agent/1.0".to_owned()),
        ]
    }

    fn upgrade_headers(&self, signer: &Signer<'_>, _: &str) -> Vec<(&'static str, String)> {
        vec![("Authorization", basic(signer.present()))]
    }

    fn ask_form(
        &self,
        call: &Call,
        _what: &str,
        _status: Status,
        _failed: Option<(&str, &str)>,
    ) -> Form {
        form(call, "asks")
    }

    fn dialled_form(&self, _: &Call, _: &str) -> Form {
        Form::new() // the dialplan dials nobody else
    }

    fn read_document(&self, text: &str) -> Result<Vec<Verb>, String> {
        let pieces: Vec<&str> = text.trim().split('|').collect();
        match pieces[..] {
            ["stream", query, resume] => {
                let spelt = |c: char| c.is_ascii_alphanumeric() || "-._=".contains(c);
                if !query.chars().all(spelt) {
                    return Err(format!("v({query}) is no parameter of a socket"));
                }
                let stream = Stream {
                    url: format!("?{query}"),
                    ..Stream::default()
                };
                let redirect = Verb::Redirect {
                    url: resume.to_owned(),
                    method: "POST".to_owned(),
                };
                Ok(vec![Verb::Stream(stream), redirect])
            }
            // An unanswered call is turned away by that.
            _ => Ok(vec![Verb::Reject { busy: false }, Verb::Hangup]),
        }
    }

    fn no_document(&self, url: &str, status: Option<u16>) -> String {
        format!("CURL({url}): {status:?}")
    }

    fn news(&self, call: &Call, news: &News<'_>) -> Option<Telling> {
        let ending = news.ending?;
        let (status, cause) = cause(ending);
        let mut form = form(call, "over");
        form.extend(pairs(&[
            ("dialstatus", status),
            ("cause", &cause.to_string()),
            ("seconds", &call.duration_s().to_string()),
        ]));
        let plan = call.plan();
        Some(Telling {
            url: plan.status_callback.or(plan.url)?,
            method: "POST".to_owned(),
            form,
        })
    }

    fn machine_form(&self, _: &Call, _: AnsweredBy) -> Option<Form> {
        None
    }

    fn stream_form(&self, _: &Call, _: &Stream, _: &str, _: &StreamNews) -> Option<Form> {
        None // nobody is told
    }

    fn no_socket(&self, _status: Option<u16>, why: &str) -> String {
        format!("WebSocket connection failed: {why}")
    }

    fn upgrade_tries(&self) -> u32 {
        1
    }

    fn buffer(&self) -> u64 {
        BUFFER
    }

    fn writer(&self, _: &Call, stream_id: String) -> Box<dyn Writer> {
        Box::new(wire::Writer::new(stream_id))
    }
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")))
}

/// `DIALSTATUS` and `HANGUPCAUSE`.
fn cause(ending: Ending) -> (&'static str, u16) {
    match ending {
        Ending::FarEnd | Ending::Asked | Ending::Hangup => ("ANSWER", 16),
        Ending::DocumentOver | Ending::TimeLimit => ("ANSWER", 16),
        Ending::Canceled => ("CANCEL", 0),
        Ending::Busy => ("BUSY", 17),
        Ending::Rejected => ("BUSY", 21),
        Ending::NoAnswer => ("NOANSWER", 19),
        Ending::Invalid => ("CHANUNAVAIL", 1),
        Ending::Congested | Ending::Full => ("CONGESTION", 34),
        Ending::NoDocument { answered } | Ending::BadDocument { answered } => {
            if answered {
                ("ANSWER", 16)
            } else {
                ("NOANSWER", 0)
            }
        }
    }
}

/// The fields of every question and of the news.
fn form(call: &Call, state: &str) -> Form {
    let direction = if call.inbound { "inbound" } else { "outbound" };
    pairs(&[
        ("channel", &call.id),
        ("state", state),
        ("direction", direction),
        ("from", &call.from),
        ("to", &call.to),
    ])
}

fn pairs(fields: &[(&str, &str)]) -> Form {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
