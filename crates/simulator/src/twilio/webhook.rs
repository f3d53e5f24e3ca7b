//! Webhooks as Twilio sends them: signed form posts with retries by the URL's fragment
//! (wire-telephony.md §1.5, §1.8, §1.10).

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use url::form_urlencoded;

use super::{
    Shared,
    call::{Call, Status, new_sid, rfc2822},
    faults::CallFaults,
    ledger::WebhookEntry,
    signature,
};

/// Largest document that is read.
const BODY: usize = 64 * 1024;

pub(crate) type Form = Vec<(String, String)>;

/// One request to send.
pub(crate) struct Webhook {
    /// For the ledger: `answer`, `status`, ….
    pub what: &'static str,
    pub url: String,
    pub method: String,
    pub form: Form,
    /// `I-Twilio-Idempotency-Token`, the same on each repetition.
    pub token: String,
    pub bad_signature: bool,
}

impl Webhook {
    pub fn new(what: &'static str, url: String, method: String, form: Form) -> Self {
        Self {
            what,
            url,
            method,
            form,
            token: uuid::Uuid::new_v4().to_string(),
            bad_signature: false,
        }
    }
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// `None` without an HTTP answer.
    pub status: Option<u16>,
    pub body: String,
}

impl Reply {
    pub fn is_ok(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// `#ct=2000&rt=4000&tt=15000&rc=2&rp=ct,rt,5xx` of a URL, with Twilio's defaults.
#[derive(Debug, PartialEq, Eq)]
struct Override {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u32,
    policy: Vec<String>,
}

impl Override {
    fn of(fragment: &str) -> Self {
        let mut it = Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            total: Duration::from_secs(15),
            retries: 1,
            policy: vec!["ct".into()],
        };
        for (name, value) in form_urlencoded::parse(fragment.as_bytes()) {
            let ms = || value.parse().map(Duration::from_millis);
            match &*name {
                "ct" => it.connect = ms().unwrap_or(it.connect),
                "rt" => it.read = ms().unwrap_or(it.read),
                "tt" => it.total = ms().unwrap_or(it.total),
                "rc" => it.retries = value.parse().unwrap_or(it.retries).min(5),
                "rp" => it.policy = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        it
    }

    fn retries_on(&self, failure: &str) -> bool {
        self.policy
            .iter()
            .any(|policy| policy == "all" || policy == failure)
    }
}

/// Sends a webhook, retries as its URL says, and enters it into the ledger.
pub(crate) async fn send(shared: &Shared, call_sid: &str, hook: &Webhook) -> Reply {
    let (url, fragment) = hook.url.split_once('#').unwrap_or((&hook.url, ""));
    let rules = Override::of(fragment);
    let at_ms = Utc::now().timestamp_millis();
    let mut tries = 0;
    let reply = loop {
        tries += 1;
        let (reply, failure) = attempt(shared, url, hook, &rules).await;
        match failure {
            Some(failure) if tries <= rules.retries && rules.retries_on(failure) => {}
            _ => break reply,
        }
    };
    shared.ledger.webhook(WebhookEntry {
        at_ms,
        sid: call_sid.to_owned(),
        what: hook.what.to_owned(),
        url: url.to_owned(),
        status: reply.status,
        tries,
        form: if shared.options.keep_forms {
            hook.form.clone()
        } else {
            Vec::new()
        },
    });
    reply
}

async fn attempt(
    shared: &Shared,
    url: &str,
    hook: &Webhook,
    rules: &Override,
) -> (Reply, Option<&'static str>) {
    let token = if hook.bad_signature {
        "not the token"
    } else {
        &*shared.options.auth_token
    };
    let request = if hook.method.eq_ignore_ascii_case("GET") {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&hook.form);
        let join = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{join}{}", query.finish());
        let signature = signature::sign(token, &url, &[]);
        shared.http.get(url).header("X-Twilio-Signature", signature)
    } else {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&hook.form);
        shared
            .http
            .post(url)
            .header(
                "X-Twilio-Signature",
                signature::sign(token, url, &hook.form),
            )
            .header(
                "Content-Type",
                "application/x-www-form-urlencoded; charset=UTF-8",
            )
            .body(body.finish())
    };
    let request = request
        .header("I-Twilio-Idempotency-Token", &hook.token)
        .header("User-Agent", "TwilioProxy/1.1")
        .header("Accept", "*/*");
    let limit = rules.total.min(rules.connect + rules.read);
    match tokio::time::timeout(limit, receive(request)).await {
        Ok(Ok(reply)) => {
            let failure = match reply.status {
                Some(400..500) => Some("4xx"),
                Some(500..600) => Some("5xx"),
                _ => None,
            };
            (reply, failure)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, what = hook.what, "webhook failed");
            (
                Reply::default(),
                Some(if error.is_connect() { "ct" } else { "rt" }),
            )
        }
        Err(_) => (Reply::default(), Some("rt")),
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        let room = (BODY + 1).saturating_sub(body.len());
        body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(Reply {
        status: Some(status),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The fields of every voice webhook of a call.
pub(crate) fn base_form(call: &Call, status: Status) -> Form {
    let fields = [
        ("CallSid", &*call.sid),
        ("AccountSid", &call.account_sid),
        ("From", &call.from),
        ("To", &call.to),
        ("Caller", &call.from),
        ("Called", &call.to),
        ("CallStatus", status.word()),
        ("ApiVersion", "2010-04-01"),
        ("Direction", call.direction()),
    ];
    let geography = ["From", "To", "Caller", "Called"]
        .into_iter()
        .flat_map(|who| {
            ["City", "State", "Zip", "Country"].map(move |what| {
                let value = if what == "Country" { "US" } else { "" };
                (format!("{who}{what}"), value.to_owned())
            })
        });
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(geography)
        .collect()
}

/// Sends the status callbacks of one call, one after the other, with the faults asked for.
#[derive(Debug)]
pub(crate) struct StatusCallbacks {
    queue: Option<mpsc::Sender<(String, Webhook)>>,
    events: Vec<String>,
    sequence: u64,
}

/// At most four events and a late one, so a full queue cannot happen.
const QUEUE: usize = 16;

impl StatusCallbacks {
    /// Without a callback address nothing is ever sent.
    pub fn start(shared: &Arc<Shared>, call: &Call, faults: &CallFaults) -> Self {
        let plan = call.plan();
        let events = if plan.status_events.is_empty() {
            vec!["completed".to_owned()]
        } else {
            plan.status_events
        };
        let queue = plan.status_callback.is_some().then(|| {
            let (queue, jobs) = mpsc::channel(QUEUE);
            let sender = Sender {
                shared: shared.clone(),
                sid: call.sid.clone(),
                faults: faults.clone(),
                held: None,
            };
            shared.spawn(sender.run(jobs));
            queue
        });
        Self {
            queue,
            events,
            sequence: 0,
        }
    }

    /// Fires an event if it was asked for. `extra` fields come last.
    pub fn fire(&mut self, call: &Call, event: &str, status: Status, extra: &[(&str, String)]) {
        let sequence = self.sequence;
        self.sequence += 1;
        let Some(queue) = &self.queue else { return };
        if !self.events.iter().any(|wanted| wanted == event) {
            return;
        }
        let plan = call.plan();
        let Some(url) = plan.status_callback else {
            return;
        };
        let mut form = base_form(call, status);
        form.push(("Timestamp".into(), rfc2822(Utc::now())));
        form.push(("CallbackSource".into(), "call-progress-events".into()));
        form.push(("SequenceNumber".into(), sequence.to_string()));
        form.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let hook = Webhook::new("status", url, plan.status_method, form);
        if queue.try_send((event.to_owned(), hook)).is_err() {
            tracing::debug!(event, "status callback dropped");
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    sid: String,
    faults: CallFaults,
    /// With `reversed_status`: the first of a pair, until the second has been sent.
    held: Option<Webhook>,
}

impl Sender {
    async fn run(mut self, mut jobs: mpsc::Receiver<(String, Webhook)>) {
        while let Some((event, mut hook)) = jobs.recv().await {
            hook.bad_signature = self.faults.bad_signature;
            if self.faults.lost_status.contains(&event) {
                continue;
            }
            if let Some(ms) = self.faults.late_status.get(&event) {
                let (shared, sid, wait) = (
                    self.shared.clone(),
                    self.sid.clone(),
                    Duration::from_millis(*ms),
                );
                self.shared.spawn(async move {
                    tokio::time::sleep(wait).await;
                    send(&shared, &sid, &hook).await;
                });
                continue;
            }
            self.send(&hook).await;
            if self.faults.doubled_status.contains(&event) {
                self.send(&hook).await;
            }
            if self.faults.reversed_status {
                // `send` has held the first of the pair back; now it follows the second.
                if let Some(first) = self.held.take_if(|held| held.token != hook.token) {
                    self.deliver(&first).await;
                }
            }
        }
        if let Some(last) = self.held.take() {
            self.deliver(&last).await;
        }
    }

    async fn send(&mut self, hook: &Webhook) {
        if self.faults.reversed_status && self.held.is_none() {
            self.held = Some(Webhook {
                what: hook.what,
                url: hook.url.clone(),
                method: hook.method.clone(),
                form: hook.form.clone(),
                token: hook.token.clone(),
                bad_signature: hook.bad_signature,
            });
            return;
        }
        self.deliver(hook).await;
    }

    async fn deliver(&self, hook: &Webhook) {
        tokio::time::sleep(self.shared.options.delays.callback()).await;
        send(&self.shared, &self.sid, hook).await;
    }
}

/// A `<Stream statusCallback>` event.
pub(crate) fn stream_form(
    call: &Call,
    stream_sid: &str,
    name: &str,
    event: &str,
    fault: Option<&str>,
) -> Form {
    let mut form = vec![
        ("AccountSid".into(), call.account_sid.clone()),
        ("CallSid".into(), call.sid.clone()),
        ("StreamSid".into(), stream_sid.to_owned()),
        (
            "StreamName".into(),
            if name.is_empty() {
                stream_sid.to_owned()
            } else {
                name.to_owned()
            },
        ),
        ("StreamEvent".into(), event.to_owned()),
        (
            "Timestamp".into(),
            Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        ),
    ];
    if let Some(fault) = fault {
        form.push(("StreamError".into(), fault.to_owned()));
    }
    form
}

/// A new `MZ…`.
pub(crate) fn stream_sid() -> String {
    new_sid("MZ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_overrides_times_and_retries() {
        let rules = Override::of("rc=2&rp=ct,rt,5xx&ct=2000&rt=4000");
        assert_eq!(rules.connect, Duration::from_secs(2));
        assert_eq!(rules.read, Duration::from_secs(4));
        assert_eq!(rules.retries, 2);
        assert!(rules.retries_on("5xx") && !rules.retries_on("4xx"));
        let default = Override::of("");
        assert_eq!(
            (
                default.retries,
                default.retries_on("ct"),
                default.retries_on("rt")
            ),
            (1, true, false)
        );
    }
}
