//! Plivo's wire, for a [`FakeCarrier`](crate::carrier::FakeCarrier): REST, XML, webhooks, stream messages and
//! signatures of wire-telephony.md §2. Vobiz speaks much of it too, see [`vobiz`](crate::vobiz).

mod document;
pub(crate) mod rest;
pub mod signature;
pub(crate) mod wire;

use chrono::{DateTime, Utc};

pub(crate) use rest::routes;

use crate::{
    caller::AnsweredBy,
    carrier::{
        Call,
        call::{Plan, Status},
        chance::uuid,
        dialect::{Dialect, Form, News, Outgoing, StreamNews, Telling, Writer},
        document::{Stream, Verb},
        life::Ending,
        signing::{Signer, Signing},
    },
    g711,
};

/// Plivo itself.
pub(crate) const PLIVO: Plivo = Plivo {
    account: "MA123456789012345678",
    token: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk",
    name: "Plivo",
    fetch_rules: "ct=2000&rt=40000&tt=55000&rc=1&rp=ct,rt",
    spelling: wire::Spelling::PLIVO,
    sign: signed,
    sign_upgrade: signed_upgrade,
};

type Headers = Vec<(&'static str, String)>;

/// 40 s of audio wait at most.
const BUFFER: u64 = 40 * g711::RATE;

/// Plivo's way to spell, and what others have of their own.
pub(crate) struct Plivo {
    pub account: &'static str,
    pub token: &'static str,
    /// The carrier, as it names itself among those who end a call.
    pub name: &'static str,
    pub fetch_rules: &'static str,
    pub spelling: wire::Spelling,
    pub sign: fn(&Signer<'_>, &str, &[(String, String)]) -> Headers,
    pub sign_upgrade: fn(&Signer<'_>, &str) -> Headers,
}

impl Dialect for Plivo {
    fn account(&self) -> &'static str {
        self.account
    }

    fn token(&self) -> &'static str {
        self.token
    }

    /// One destination: the dial's id is the call's.
    fn call_id(&self, chance: u128) -> String {
        uuid(chance)
    }

    fn fetch_rules(&self) -> &'static str {
        self.fetch_rules
    }

    fn headers(&self, signer: &Signer<'_>, request: &Outgoing<'_>) -> Vec<(&'static str, String)> {
        let mut headers = (self.sign)(signer, request.url, request.form);
        headers.push(("User-Agent", self.name.to_owned()));
        headers
    }

    fn upgrade_headers(&self, signer: &Signer<'_>, url: &str) -> Vec<(&'static str, String)> {
        (self.sign_upgrade)(signer, url)
    }

    fn ask_form(
        &self,
        call: &Call,
        what: &str,
        status: Status,
        _failed: Option<(&str, &str)>,
    ) -> Form {
        let event = if what == "redirect" {
            "Redirect"
        } else {
            "StartApp"
        };
        self.form(call, event, status.word())
    }

    fn dialled_form(&self, leg: &Call, status: &str) -> Form {
        let status = match status {
            "canceled" => "cancel",
            other => other,
        };
        let cause = self.cause(leg.ending().unwrap_or(Ending::NoAnswer), false);
        let mut form = leg_form(leg, None);
        form.extend(pairs(&[
            ("DialStatus", status),
            ("DialRingStatus", "true"),
            ("DialHangupCause", cause.word),
            ("DialBLegHangupCauseCode", &cause.code.to_string()),
        ]));
        form
    }

    fn keys_form(&self, keys: &str) -> Form {
        pairs(&[("InputType", "dtmf"), ("Digits", keys)])
    }

    fn connected(&self, leg: &Call) -> Option<Telling> {
        let plan = leg.plan();
        Some(Telling {
            url: plan.status_callback?,
            method: plan.status_method,
            form: leg_form(leg, Some("connected")),
        })
    }

    fn read_document(&self, text: &str) -> Result<Vec<Verb>, String> {
        document::parse(text)
    }

    fn no_document(&self, url: &str, status: Option<u16>) -> String {
        format!("7011 {url} answered {status:?}")
    }

    fn news(&self, call: &Call, news: &News<'_>) -> Option<Telling> {
        let plan = call.plan();
        if plan.leg_of.is_some() {
            return self.leg_news(call, plan, news);
        }
        let Some(ending) = news.ending else {
            let url = plan.ring_url.filter(|_| news.event == "ringing")?;
            return Some(Telling {
                url,
                method: "POST".to_owned(),
                form: self.form(call, "Ring", "ringing"),
            });
        };
        let cause = self.cause(ending, call.inbound);
        let times = call.times();
        let seconds = call.duration_s();
        let mut form = self.form(call, "Hangup", cause.status);
        form.extend(
            [
                ("HangupCause", cause.word.to_owned()),
                ("HangupCauseCode", cause.code.to_string()),
                ("HangupCauseName", cause.name.to_owned()),
                ("HangupSource", cause.source.to_owned()),
                ("Duration", seconds.to_string()),
                ("BillDuration", (seconds.div_ceil(60) * 60).to_string()),
                ("BillRate", "0.00500".to_owned()),
                ("TotalCost", "0.00000".to_owned()),
                ("StartTime", date(Some(call.created))),
                ("AnswerTime", date(times.answered)),
                ("EndTime", date(times.ended)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        // Without an address for it, the end is told to the one that gave the document.
        let (url, method) = match plan.status_callback {
            Some(url) => (url, plan.status_method),
            None => (plan.url?, plan.method),
        };
        Some(Telling { url, method, form })
    }

    /// No news of people, nor of what it can't tell.
    fn machine_form(&self, call: &Call, by: AnsweredBy) -> Option<Form> {
        let mut form = self.form(call, "MachineDetection", "in-progress");
        form.push(("Machine".to_owned(), "true".to_owned()));
        by.word().starts_with("machine").then_some(form)
    }

    fn stream_form(
        &self,
        call: &Call,
        stream: &Stream,
        id: &str,
        news: &StreamNews,
    ) -> Option<Form> {
        let full;
        let (event, fault) = match news {
            StreamNews::Started => ("StartStream", None),
            StreamNews::Stopped => ("StopStream", None),
            StreamNews::Filled(percent) => {
                full = format!("buffer {percent} % full");
                ("DegradedStream", Some(full.as_str()))
            }
            StreamNews::Overflown => ("DegradedStream", Some("buffer_overflow")),
            StreamNews::Lost => ("DroppedStream", Some("connection lost")),
            StreamNews::Failed(fault) => ("DroppedStream", Some(fault.as_str())),
        };
        let mut form = pairs(&[
            ("CallUUID", &call.id),
            ("StreamID", id),
            ("ServiceURL", &stream.url),
            ("Event", event),
            ("Timestamp", &date(Some(Utc::now()))),
            ("From", digits(&call.from)),
            ("To", digits(&call.to)),
            ("Direction", direction(call)),
        ]);
        if let Some(fault) = fault {
            form.push(("Error".into(), fault.to_owned()));
        }
        Some(form)
    }

    fn no_socket(&self, _status: Option<u16>, why: &str) -> String {
        format!("stream could not connect: {why}")
    }

    fn upgrade_tries(&self) -> u32 {
        3
    }

    fn buffer(&self) -> u64 {
        BUFFER
    }

    fn writer(&self, call: &Call, stream_id: String) -> Box<dyn Writer> {
        let writer = wire::Writer::new(self.account, &call.id, stream_id, self.spelling);
        Box::new(writer)
    }
}

fn leg_form(leg: &Call, action: Option<&str>) -> Form {
    let parent = leg.plan().leg_of.unwrap_or_default();
    let mut form = pairs(&[("DialALegUUID", &parent), ("DialBLegUUID", &leg.id)]);
    if let Some(action) = action {
        form.extend(pairs(&[("CallUUID", &parent), ("DialAction", action)]));
        form.extend(pairs(&[
            ("DialBLegFrom", digits(&leg.from)),
            ("DialBLegTo", digits(&leg.to)),
        ]));
    }
    form
}

/// Why a call ended, in Plivo's words.
pub(crate) struct Cause {
    /// `CallStatus`.
    pub status: &'static str,
    /// `HangupCause`.
    pub word: &'static str,
    pub code: u16,
    pub name: &'static str,
    pub source: &'static str,
}

impl Plivo {
    /// What a `<Dial>`'s callback is told of its other leg: nothing before somebody picks up.
    fn leg_news(&self, leg: &Call, plan: Plan, news: &News<'_>) -> Option<Telling> {
        let action = match news.ending {
            None if news.event == "answered" => "answer",
            Some(_) if leg.times().answered.is_some() => "hangup",
            _ => return None,
        };
        let mut form = leg_form(leg, Some(action));
        if let Some(ending) = news.ending {
            let cause = self.cause(ending, false);
            form.extend(pairs(&[
                ("DialBLegDuration", &leg.duration_s().to_string()),
                ("DialBLegHangupCause", cause.word),
                ("DialBLegHangupCauseCode", &cause.code.to_string()),
                ("DialBLegHangupSource", cause.source),
            ]));
        }
        Some(Telling {
            url: plan.status_callback?,
            method: plan.status_method,
            form,
        })
    }

    pub fn cause(&self, ending: Ending, inbound: bool) -> Cause {
        let far_end = if inbound { "Caller" } else { "Callee" };
        let (status, word, code, name, source) = match ending {
            Ending::FarEnd => (
                "completed",
                "NORMAL_CLEARING",
                4000,
                "Normal Hangup",
                far_end,
            ),
            Ending::Asked => (
                "completed",
                "NORMAL_CLEARING",
                4000,
                "Normal Hangup",
                "API Request",
            ),
            Ending::Hangup => (
                "completed",
                "NORMAL_CLEARING",
                4000,
                "Normal Hangup",
                "Answer XML",
            ),
            Ending::DocumentOver => (
                "completed",
                "NORMAL_CLEARING",
                4010,
                "End Of XML Instructions",
                self.name,
            ),
            Ending::TimeLimit => (
                "completed",
                "ALLOTTED_TIMEOUT",
                6000,
                "Scheduled Hangup",
                self.name,
            ),
            Ending::Canceled => (
                "cancel",
                "ORIGINATOR_CANCEL",
                1000,
                "Cancelled",
                "API Request",
            ),
            Ending::Busy => ("busy", "USER_BUSY", 3010, "Busy Line", "Carrier"),
            Ending::Rejected => ("busy", "CALL_REJECTED", 3020, "Rejected", "Callee"),
            Ending::NoAnswer => ("no-answer", "NO_ANSWER", 3000, "No Answer", "Carrier"),
            Ending::Invalid => (
                "failed",
                "UNALLOCATED_NUMBER",
                2000,
                "Invalid Destination Address",
                "Carrier",
            ),
            Ending::Congested => (
                "failed",
                "NORMAL_TEMPORARY_FAILURE",
                3090,
                "Network Congestion",
                "Carrier",
            ),
            Ending::Full => (
                "failed",
                "NORMAL_TEMPORARY_FAILURE",
                5030,
                "Concurrency Limit Breached",
                self.name,
            ),
            Ending::NoDocument { answered } => (
                if answered { "completed" } else { "failed" },
                "NORMAL_CLEARING",
                7011,
                "Error Reaching Answer URL",
                "Error",
            ),
            Ending::BadDocument { answered } => (
                if answered { "completed" } else { "failed" },
                "NORMAL_CLEARING",
                8011,
                "Invalid Answer XML",
                "Error",
            ),
        };
        Cause {
            status,
            word,
            code,
            name,
            source,
        }
    }

    /// The fields of every webhook of a call.
    fn form(&self, call: &Call, event: &str, status: &str) -> Form {
        let mut form = pairs(&[
            ("CallUUID", &call.id),
            ("From", digits(&call.from)),
            ("To", digits(&call.to)),
            ("CallerName", &call.from),
            ("Direction", direction(call)),
            ("CallStatus", status),
            ("Event", event),
            ("ParentAuthID", self.account),
            (
                "SessionStart",
                &call.created.format("%F %T%.6f").to_string(),
            ),
        ]);
        if !call.inbound {
            for name in ["RequestUUID", "ALegUUID", "ALegRequestUUID"] {
                form.push((name.to_owned(), call.id.clone()));
            }
        }
        form
    }
}

/// As a page's address, and in the other spellings that were seen.
fn signed_upgrade(signer: &Signer<'_>, url: &str) -> Headers {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let url = match signer.signing {
        Signing::OtherScheme => format!("wss://{rest}"),
        Signing::LongerPath => format!("http://{rest}/websocket"),
        _ => format!("http://{rest}"),
    };
    signed(signer, &url, &[])
}

fn signed(signer: &Signer<'_>, url: &str, form: &[(String, String)]) -> Headers {
    let nonce = signature::nonce(signer.nonce);
    let sign = |token: &str| signature::sign(token, url, form, &nonce);
    let own: Vec<String> = signer.tokens().into_iter().map(sign).collect();
    vec![
        ("X-Plivo-Signature-V3", own.join(", ")),
        ("X-Plivo-Signature-Ma-V3", sign(signer.main())),
        ("X-Plivo-Signature-V3-Nonce", nonce),
    ]
}

fn pairs(fields: &[(&str, &str)]) -> Form {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn direction(call: &Call) -> &'static str {
    if call.inbound { "inbound" } else { "outbound" }
}

/// As numbers stand on Plivo's wire.
pub(crate) fn digits(number: &str) -> &str {
    number.trim_start_matches('+')
}

/// With a `+`, whether it was sent with one or not.
pub(crate) fn e164(number: &str) -> String {
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("+{number}")
    } else {
        number.to_owned()
    }
}

fn date(date: Option<DateTime<Utc>>) -> String {
    date.map(|date| date.format("%F %T").to_string())
        .unwrap_or_default()
}
