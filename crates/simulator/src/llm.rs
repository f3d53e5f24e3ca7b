//! A fake of the vendors of models (wire-providers.md §3): OpenAI's chat completions, the same at Azure's
//! deployments, its Responses API, Anthropic's messages and Google's `streamGenerateContent`, each under its own path. Replies
//! from rules or from the demo model, with settable delays and faults, and a log of every request.
//!
//! ```no_run
//! use bolo_simulator::llm::{FakeLlm, Fault, Options, Reply};
//!
//! # async fn story() -> Result<(), bolo_simulator::Error> {
//! let llm = FakeLlm::start(Options::default()).await?;
//! llm.on("my order", Reply::text("Your order ships on Monday."));
//! llm.fail_next([Fault::too_many(1)]);
//! // the server under test is told `llm.base_url()`; what no rule fits is echoed
//! llm.requests_reach(2).await;
//! # Ok(())
//! # }
//! ```

mod anthropic;
mod chunks;
pub mod demo;
mod faults;
mod gemini;
mod http;
mod responses;
mod rules;
mod stream;
mod wire;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use faults::Fault;
pub use rules::{Reply, ToolCall};

use crate::{
    Error, Jitter, Observer,
    coming::Coming,
    outage::Outage,
    server::{self, Server},
};
use rules::Rules;

/// Requests kept for assertions; a load run beyond it keeps the count.
const ROOM: usize = 20_000;

/// How a fake model is set up; the defaults suit tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in; `None` = any, or none. The keys `bad-key`, `no-credit` and `busy`
    /// always meet the refusal they are named for.
    pub api_key: Option<String>,
    /// From the request to the first token. Default 0.
    pub first_token: Duration,
    /// Between tokens. Default 0.
    pub per_token: Duration,
    /// How both scatter, request by request. Default: not at all.
    pub jitter: Jitter,
    /// Answers by the demo's script instead of by rules.
    pub demo: bool,
    /// Is told of each streamed answer's first token.
    pub observer: Option<Observer>,
    /// How long [`FakeLlm::shows`] and [`FakeLlm::requests_reach`] wait.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: Some("openai-test-key".into()),
            first_token: Duration::ZERO,
            per_token: Duration::ZERO,
            jitter: Jitter::default(),
            demo: false,
            observer: None,
            deadline: Duration::from_secs(20),
        }
    }
}

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Still being sent.
    Running,
    /// Sent to its end.
    Finished,
    /// The client went away first.
    Aborted,
    /// Refused or broken off by a fault or a bad request, with the HTTP status.
    Failed(u16),
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Milliseconds since the fake's start.
    pub at_ms: u64,
    /// The body.
    pub body: Value,
    /// Text of the last user message.
    pub user: String,
    /// Tokens sent so far.
    pub tokens: usize,
    /// How it ended.
    pub outcome: Outcome,
}

impl Logged {
    /// Role and text of each message, for assertions on history.
    pub fn messages(&self) -> Vec<(String, String)> {
        let messages = self.body["messages"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        messages
            .iter()
            .map(|message| (text(&message["role"]), rules::content(message)))
            .collect()
    }

    /// Names of the offered tools.
    pub fn tools(&self) -> Vec<String> {
        http::tools(&self.body)
    }
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    coming: Coming<Fault>,
    requests: Vec<Logged>,
    outcomes: HashMap<Outcome, u64>,
    delays: (Duration, Duration),
}

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: Options,
    started: tokio::time::Instant,
    state: Mutex<State>,
    news: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request; its number is for [`Self::note`].
    fn enter(&self, body: Value, user: String) -> usize {
        let mut state = self.lock();
        let number = state.requests.len();
        if number < ROOM {
            let at_ms = self.started.elapsed().as_millis() as u64;
            state.requests.push(Logged {
                at_ms,
                body,
                user,
                tokens: 0,
                outcome: Outcome::Running,
            });
        }
        drop(state);
        self.tell();
        number
    }

    fn note_tokens(&self, number: usize, tokens: usize) {
        if let Some(logged) = self.lock().requests.get_mut(number) {
            logged.tokens = tokens;
        }
        self.tell();
    }

    fn note_outcome(&self, number: usize, outcome: Outcome) {
        let mut state = self.lock();
        *state.outcomes.entry(outcome).or_default() += 1;
        if let Some(logged) = state.requests.get_mut(number) {
            logged.outcome = outcome;
        }
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news += 1);
    }
}

/// A running fake model. Stops when dropped.
pub struct FakeLlm {
    shared: Arc<Shared>,
    server: Server,
}

impl fmt::Debug for FakeLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeLlm({})", self.server.addr)
    }
}

impl FakeLlm {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let state = State {
            delays: (options.first_token, options.per_token),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            started: tokio::time::Instant::now(),
            state: Mutex::new(state),
            news: watch::channel(0).0,
            stop: stop.clone(),
            options,
        });
        let server = Server::start(shared.options.addr, http::routes(shared.clone()), stop).await?;
        Ok(Self { shared, server })
    }

    /// The demo model on any free port, with a human pace (first token 150 ms, then 12 ms each), for
    /// agents whose provider is `demo`. Takes requests without a key.
    pub async fn demo() -> Result<Self, Error> {
        Self::demo_at(server::ANY).await
    }

    /// [`Self::demo`] at a given address.
    pub async fn demo_at(addr: SocketAddr) -> Result<Self, Error> {
        Self::start(Options {
            addr,
            api_key: None,
            demo: true,
            first_token: Duration::from_millis(150),
            per_token: Duration::from_millis(12),
            ..Options::default()
        })
        .await
    }

    /// `http://127.0.0.1:<port>/v1`: stands in for `https://api.openai.com/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.server.addr)
    }

    /// `http://127.0.0.1:<port>`: the endpoint of an Azure resource; with `/v1` Anthropic's address, with
    /// `/v1beta` Google's.
    pub fn address(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// Connections that clients have made so far.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// The key that is let in; empty when any is.
    pub fn api_key(&self) -> &str {
        self.shared.options.api_key.as_deref().unwrap_or_default()
    }

    /// When the last user text holds these words (case and punctuation don't matter), answer so. The
    /// newest rule that fits wins; without one the model repeats what it was told.
    pub fn on(&self, words: &str, reply: Reply) {
        self.shared.lock().rules.add(words, reply);
    }

    /// When a request ends with results of tools that hold these words, answer so. The newest rule that
    /// fits wins; without one the model repeats the results.
    pub fn on_result(&self, words: &str, reply: Reply) {
        self.shared.lock().rules.add_result(words, reply);
    }

    /// [`Self::on`] with a regular expression, case ignored. `Error::Script` if it is none.
    pub fn on_pattern(&self, pattern: &str, reply: Reply) -> Result<(), Error> {
        self.shared.lock().rules.add_pattern(pattern, reply)
    }

    /// Sets the delays from the next request on.
    pub fn delays(&self, first_token: Duration, per_token: Duration) {
        self.shared.lock().delays = (first_token, per_token);
    }

    /// The next requests meet these faults, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().coming.add(faults);
    }

    /// From now on every request of this number is refused with 429 `rate_limit_exceeded`; 0: none.
    pub fn rate_limit_every(&self, number: u64) {
        self.shared.lock().coming.rate_limit_every(number);
    }

    /// Faults that were to come do not.
    pub fn recover(&self) {
        self.shared.lock().coming.clear();
        self.outage().end();
    }

    /// The network before it.
    pub fn outage(&self) -> &Outage {
        &self.server.outage
    }

    /// Bodies of the requests, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.shared
            .lock()
            .requests
            .iter()
            .map(|logged| logged.body.clone())
            .collect()
    }

    /// The requests and how their answers went, oldest first.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.lock().requests.clone()
    }

    /// Answers sent to their end.
    pub fn answered(&self) -> u64 {
        self.count(&Outcome::Finished)
    }

    /// Answers that the client dropped on the way.
    pub fn aborted(&self) -> u64 {
        self.count(&Outcome::Aborted)
    }

    fn count(&self, outcome: &Outcome) -> u64 {
        let state = self.shared.lock();
        state.outcomes.get(outcome).copied().unwrap_or_default()
    }

    /// Waits until so many requests have come; gives them. `None` after the options' deadline.
    pub async fn requests_reach(&self, count: usize) -> Option<Vec<Logged>> {
        self.shows(|requests| (requests.len() >= count).then(|| requests.to_vec()))
            .await
    }

    /// Waits until `look` finds what it looks for among the requests. `None` after the deadline.
    pub async fn shows<T>(&self, mut look: impl FnMut(&[Logged]) -> Option<T>) -> Option<T> {
        let mut news = self.shared.news.subscribe();
        let watching = async {
            loop {
                news.borrow_and_update();
                if let Some(found) = look(&self.shared.lock().requests) {
                    return found;
                }
                // The sender is in `shared`, which `self` holds.
                let _changed = news.changed().await;
            }
        };
        tokio::time::timeout(self.shared.options.deadline, watching)
            .await
            .ok()
    }
}

#[cfg(test)]
mod tests;
