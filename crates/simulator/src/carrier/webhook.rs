//! Webhooks: signed form posts, tried again as the address' fragment says (wire-telephony.md §1.5, §2.4).

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use url::form_urlencoded;

use super::{
    Shared,
    call::{Call, Status},
    chance::uuid,
    dialect::{Form, News, Outgoing},
    faults::CallFaults,
    ledger::WebhookEntry,
    life::Ending,
    signing::{Signer, Signing},
};

/// Largest document that is read.
const BODY: usize = 64 * 1024;

/// One request to send.
#[derive(Clone)]
pub(crate) struct Webhook {
    /// For the ledger: `answer`, `status`, ….
    pub what: &'static str,
    pub url: String,
    pub method: String,
    pub form: Form,
    /// The same on each repetition.
    pub token: String,
    signing: Signing,
    /// Tries that find no connection.
    lost_tries: u32,
    http_1_0: bool,
    expect_continue: bool,
}

impl Webhook {
    pub fn new(call: &Call, what: &'static str, url: String, method: String, form: Form) -> Self {
        Self {
            what,
            url,
            method,
            form,
            token: uuid(call.chance.draw()),
            signing: Signing::Usual,
            lost_tries: 0,
            http_1_0: false,
            expect_continue: false,
        }
    }

    /// Used once, in this try.
    fn nonce(&self, tries: u32) -> u64 {
        let token = uuid::Uuid::try_parse(&self.token).unwrap_or_default();
        (token.as_u128() as u64).wrapping_add(tries.into())
    }

    /// What goes wrong with all of a call's.
    pub fn suffer(&mut self, faults: &CallFaults) {
        self.signing = faults.signing;
        self.lost_tries = faults
            .lost_tries
            .get(self.what)
            .copied()
            .unwrap_or_default();
        self.http_1_0 = faults.http_1_0;
        self.expect_continue = faults.expect_continue;
        if faults.get_webhooks {
            self.method = "GET".to_owned();
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

/// `#ct=2000&rt=4000&tt=15000&rc=2&rp=ct,rt,5xx` of a URL, over the carrier's defaults.
#[derive(Debug, Default, PartialEq, Eq)]
struct Override {
    connect: Duration,
    read: Duration,
    total: Duration,
    retries: u32,
    policy: Vec<String>,
}

impl Override {
    fn of(defaults: &str, fragment: &str) -> Self {
        let mut it = Self::default();
        it.apply(defaults);
        it.apply(fragment);
        it
    }

    fn apply(&mut self, fragment: &str) {
        let it = self;
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
    }

    fn retries_on(&self, failure: &str) -> bool {
        self.policy
            .iter()
            .any(|policy| policy == "all" || policy == failure)
    }
}

/// Sends a webhook, retries as its URL says, and enters it into the ledger.
pub(crate) async fn send(shared: &Shared, call_id: &str, hook: &Webhook) -> Reply {
    let (url, fragment) = hook.url.split_once('#').unwrap_or((&hook.url, ""));
    let rules = Override::of(shared.dialect.fetch_rules(), fragment);
    let at_ms = Utc::now().timestamp_millis();
    let mut tries = 0;
    let reply = loop {
        tries += 1;
        let (reply, failure) = match tries <= hook.lost_tries {
            true => (Reply::default(), Some("ct")),
            false => attempt(shared, url, hook, tries, &rules).await,
        };
        match failure {
            Some(failure) if tries <= rules.retries && rules.retries_on(failure) => {}
            _ => break reply,
        }
    };
    shared.ledger.webhook(WebhookEntry {
        at_ms,
        call: call_id.to_owned(),
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
    tries: u32,
    rules: &Override,
) -> (Reply, Option<&'static str>) {
    let dialect = &shared.dialect;
    let signer = Signer {
        token: dialect.token(),
        signing: hook.signing,
        nonce: hook.nonce(tries),
    };
    let get = hook.method.eq_ignore_ascii_case("GET");
    let fields = encoded(&hook.form);
    let (url, form): (_, &[_]) = if get {
        let join = if url.contains('?') { '&' } else { '?' };
        (format!("{url}{join}{fields}"), &[])
    } else {
        (url.to_owned(), &hook.form)
    };
    let outgoing = Outgoing {
        url: &url,
        form,
        token: &hook.token,
    };
    let mut request = if get {
        shared.http.get(&url)
    } else {
        let (kind, body) = if hook.what == "status" && dialect.tells_json() {
            ("application/json", object(&hook.form))
        } else {
            ("application/x-www-form-urlencoded; charset=UTF-8", fields)
        };
        let request = shared.http.post(&url).header("Content-Type", kind);
        request.body(body)
    };
    for (name, value) in dialect.headers(&signer, &outgoing) {
        request = request.header(name, value);
    }
    if hook.http_1_0 {
        request = request.version(reqwest::Version::HTTP_10);
    }
    if hook.expect_continue && !get {
        request = request.header("Expect", "100-continue");
    }
    let request = request.header("Accept", "*/*");
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

fn object(form: &[(String, String)]) -> String {
    let fields: serde_json::Map<_, _> = form
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    serde_json::Value::Object(fields).to_string()
}

fn encoded(form: &[(String, String)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(form);
    text.finish()
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

/// Sends the status callbacks of one call, one after the other, with the faults asked for.
pub(crate) struct StatusCallbacks {
    shared: Arc<Shared>,
    queue: mpsc::Sender<(String, Webhook)>,
    sequence: u64,
}

/// At most four events and a late one, so a full queue cannot happen.
const QUEUE: usize = 16;

impl StatusCallbacks {
    pub fn start(shared: &Arc<Shared>, call: &Call, faults: &CallFaults) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let sender = Sender {
            shared: shared.clone(),
            id: call.id.clone(),
            faults: faults.clone(),
            held: None,
        };
        shared.spawn(sender.run(jobs));
        Self {
            shared: shared.clone(),
            queue,
            sequence: 0,
        }
    }

    /// Fires an event, if the carrier tells it.
    pub fn fire(&mut self, call: &Call, event: &str, status: Status, ending: Option<Ending>) {
        let news = News {
            event,
            status,
            sequence: self.sequence,
            ending,
        };
        self.sequence += 1;
        let Some(telling) = self.shared.dialect.news(call, &news) else {
            return;
        };
        let hook = Webhook::new(call, "status", telling.url, telling.method, telling.form);
        if self.queue.try_send((event.to_owned(), hook)).is_err() {
            tracing::debug!(event, "status callback dropped");
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    id: String,
    faults: CallFaults,
    /// With `reversed_status`: the first of a pair, until the second has been sent.
    held: Option<Webhook>,
}

impl Sender {
    async fn run(mut self, mut jobs: mpsc::Receiver<(String, Webhook)>) {
        while let Some((event, mut hook)) = jobs.recv().await {
            hook.suffer(&self.faults);
            if self.faults.strange_status {
                hook.form.push(("Weather".to_owned(), "fine".to_owned()));
            }
            if self.faults.lost_status.contains(&event) {
                continue;
            }
            if let Some(ms) = self.faults.late_status.get(&event) {
                let (shared, id, wait) = (
                    self.shared.clone(),
                    self.id.clone(),
                    Duration::from_millis(*ms),
                );
                self.shared.spawn(async move {
                    tokio::time::sleep(wait).await;
                    send(&shared, &id, &hook).await;
                });
                continue;
            }
            self.send(&hook).await;
            if self.faults.doubled_status.contains(&event) {
                self.send(&hook).await;
            }
            if self.faults.strange_status && event != "completed" {
                self.send(&strange(&hook)).await;
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
            self.held = Some(hook.clone());
            return;
        }
        self.deliver(hook).await;
    }

    async fn deliver(&self, hook: &Webhook) {
        tokio::time::sleep(self.shared.options.delays.callback()).await;
        send(&self.shared, &self.id, hook).await;
    }
}

/// The same in words for a call's state that nobody knows.
fn strange(hook: &Webhook) -> Webhook {
    let mut strange = hook.clone();
    for (name, value) in &mut strange.form {
        if ["CallStatus", "Status", "EventType", "Event"].contains(&name.as_str()) {
            *value = "teleported".to_owned();
        }
    }
    strange
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_overrides_times_and_retries() {
        const DEFAULTS: &str = "ct=5000&rt=15000&tt=15000&rc=1&rp=ct";
        let rules = Override::of(DEFAULTS, "rc=2&rp=ct,rt,5xx&ct=2000&rt=4000");
        assert_eq!(rules.connect, Duration::from_secs(2));
        assert_eq!(rules.read, Duration::from_secs(4));
        assert_eq!(rules.retries, 2);
        assert!(rules.retries_on("5xx") && !rules.retries_on("4xx"));
        let default = Override::of(DEFAULTS, "");
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
