//! A fake carrier: REST, webhooks, answer documents, media sockets and signatures of one of the carriers of
//! wire-telephony.md, with callers that follow scripts and faults on demand. What carriers have in common is
//! here; each one's wire is a [`dialect`].
//!
//! ```no_run
//! use bolo_simulator::carrier::{FakeCarrier, Kind, Options};
//!
//! # async fn story() -> Result<(), Box<dyn std::error::Error>> {
//! let carrier = FakeCarrier::start(Kind::Twilio, Options::default()).await?;
//! // the server under test is told `carrier.base_url()` and dials +14155550199; then:
//! let call = carrier.dialled("+14155550199").await?;
//! call.hears("Your order ships").await?;
//! call.says("no wait").await?;
//! call.sees_clear().await?;
//! call.hangs_up().await?;
//! assert_eq!(carrier.ledger().duplicates(), 0);
//! # Ok(())
//! # }
//! ```

pub(crate) mod call;
pub(crate) mod chance;
pub(crate) mod dialect;
pub(crate) mod document;
mod faults;
mod held;
mod inventory;
mod ledger;
pub(crate) mod life;
mod options;
mod playout;
pub(crate) mod replay;
pub(crate) mod rest;
mod room;
mod session;
pub(crate) mod signing;
mod stream;
mod upgrade;
mod webhook;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use faults::{BadFrame, CallFaults, DialFault};
pub use ledger::{DialEntry, Ledger, WebhookEntry};
pub use options::{Delays, Number, Options};
pub use playout::Playout;
pub use replay::{Recorded, Side};
pub use signing::Signing;

pub(crate) use call::{Call, Command};
pub(crate) use inventory::Application;
pub(crate) use ledger::execution_in;

use crate::{
    Error, asterisk,
    caller::{CallHandle, CallerScript, Lines, Missed},
    exotel, plivo,
    server::Server,
    ticker::Ticker,
    twilio, vobiz,
};
use call::Plan;
use chance::Chance;
use dialect::Dialect;

/// Which carrier a fake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// wire-telephony.md §1.
    #[default]
    Twilio,
    /// wire-telephony.md §2.
    Plivo,
    /// wire-telephony.md §3.1.
    Vobiz,
    /// wire-telephony.md §3.2.
    Exotel,
    /// Behind an Asterisk, wire-telephony.md §3.3.
    SipTrunk,
}

impl Kind {
    /// `twilio`, as agents and settings name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Plivo => "plivo",
            Self::Vobiz => "vobiz",
            Self::Exotel => "exotel",
            Self::SipTrunk => "sip-trunk",
        }
    }

    fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Self::Twilio => Box::new(twilio::Twilio),
            Self::Plivo => Box::new(plivo::PLIVO),
            Self::Vobiz => Box::new(vobiz::VOBIZ),
            Self::Exotel => Box::new(exotel::Exotel),
            Self::SipTrunk => Box::new(asterisk::Asterisk),
        }
    }
}

/// All that a carrier's requests and calls share.
pub(crate) struct Shared {
    pub dialect: Box<dyn Dialect>,
    pub options: Options,
    pub http: reqwest::Client,
    pub ledger: Ledger,
    pub ticker: Ticker,
    pub lag: crate::lag::Lag,
    pub lines: Lines,
    /// Of the ids that answers to requests have.
    pub clerk: Chance,
    /// Of calls, in the order of their making.
    chance: Chance,
    state: Mutex<State>,
    news: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    calls: Vec<Arc<Call>>,
    by_id: HashMap<String, Arc<Call>>,
    scripts: HashMap<String, CallerScript>,
    default_script: CallerScript,
    numbers: Vec<Number>,
    for_sale: Vec<String>,
    applications: Vec<Application>,
    by_hand: String,
    purchase_faults: VecDeque<DialFault>,
    dial_faults: VecDeque<DialFault>,
    number_faults: HashMap<String, VecDeque<DialFault>>,
    request_faults: VecDeque<DialFault>,
    /// Calls that a test has already taken with [`FakeCarrier::dialled`].
    taken: HashSet<String>,
    next_slot: Option<Instant>,
    /// How long a call is not in lists yet.
    lists_lag: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task that ends with the fake.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // None = the fake is gone, and the work with it.
            let _finished = stop.run_until_cancelled(work).await;
        });
    }

    pub fn call(&self, id: &str) -> Option<Arc<Call>> {
        self.lock().by_id.get(id).cloned()
    }

    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.lock().calls.clone()
    }

    /// Those that lists have.
    pub fn listed(&self) -> Vec<Arc<Call>> {
        let lag = self.lock().lists_lag;
        let mut calls = self.calls();
        calls.retain(|call| call.began().elapsed() >= lag);
        calls
    }

    fn script_for(&self, number: &str) -> CallerScript {
        let state = self.lock();
        state
            .scripts
            .get(number)
            .unwrap_or(&state.default_script)
            .clone()
    }

    fn dial_fault(&self, to: &str) -> Option<DialFault> {
        let mut state = self.lock();
        let own = state
            .number_faults
            .get_mut(to)
            .and_then(VecDeque::pop_front);
        own.or_else(|| state.dial_faults.pop_front())
    }

    fn request_fault(&self) -> Option<DialFault> {
        self.lock().request_faults.pop_front()
    }

    /// How long a new call waits for the account's calls per second.
    fn queue_wait(&self) -> Duration {
        let Some(cps) = self.options.calls_per_second else {
            return Duration::ZERO;
        };
        let mut state = self.lock();
        let now = Instant::now();
        let slot = state.next_slot.map_or(now, |slot| slot.max(now));
        state.next_slot = Some(slot + Duration::from_secs_f64(1.0 / cps.max(0.001)));
        slot - now
    }

    /// Makes a call and starts its life.
    pub fn begin(
        self: &Arc<Self>,
        to: String,
        from: String,
        inbound: bool,
        plan: Plan,
        script: CallerScript,
    ) -> Arc<Call> {
        let chance = self.chance.part();
        let made_up = self.dialect.call_id(chance.draw());
        let id = plan.id.clone().unwrap_or(made_up);
        let (call, commands) = Call::new(id, to, from, inbound, plan, chance);
        let call = Arc::new(call);
        let mut state = self.lock();
        state.calls.push(call.clone());
        state.by_id.insert(call.id.clone(), call.clone());
        drop(state);
        self.news.send_modify(|count| *count += 1);
        let life = life::Life::new(self.clone(), call.clone(), script, commands);
        self.spawn(Box::pin(life.run()));
        call
    }
}

/// A running fake carrier. Stops with all its calls when dropped.
pub struct FakeCarrier {
    kind: Kind,
    shared: Arc<Shared>,
    server: Server,
}

impl FakeCarrier {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(kind: Kind, options: Options) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let addr = options.addr;
        let seed = options.seed.unwrap_or_else(rand::random);
        let shared = Arc::new(Shared {
            dialect: kind.dialect(),
            http: crate::http::client()?,
            ledger: Ledger::default(),
            clerk: Chance::new(!seed),
            chance: Chance::new(seed),
            ticker: Ticker::start(),
            lag: crate::lag::Lag::default(),
            lines: Lines {
                voice: options.voice.clone(),
                folder: options.clips.clone(),
            },
            state: Mutex::new(State {
                default_script: options.default_script.clone(),
                numbers: options.numbers.clone(),
                for_sale: options.for_sale.clone(),
                ..State::default()
            }),
            news: watch::channel(0).0,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            options,
        });
        let routes = match kind {
            Kind::Twilio => twilio::routes(shared.clone()),
            Kind::Plivo => plivo::routes(shared.clone()),
            Kind::Vobiz => vobiz::routes(shared.clone()),
            Kind::Exotel => exotel::routes(shared.clone()),
            Kind::SipTrunk => asterisk::routes(shared.clone()),
        };
        let server = Server::start(addr, routes, stop).await?;
        Ok(Self {
            kind,
            shared,
            server,
        })
    }

    /// Which carrier this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// User of its REST interface.
    pub fn account(&self) -> &'static str {
        self.shared.dialect.account()
    }

    /// Password of its REST interface, and key of its signatures.
    pub fn token(&self) -> &'static str {
        self.shared.dialect.token()
    }

    /// `http://127.0.0.1:<port>`: stands in for the carrier's REST address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// How it was set up.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Sets who answers at a number, from the next call on.
    pub fn script(&self, number: &str, script: CallerScript) {
        self.shared.lock().scripts.insert(number.to_owned(), script);
    }

    /// Sets who answers at every number without a script of its own.
    pub fn default_script(&self, script: CallerScript) {
        self.shared.lock().default_script = script;
    }

    /// The next dial requests meet these faults, one each, whatever the number.
    pub fn fail_next_dials(&self, faults: impl IntoIterator<Item = DialFault>) {
        self.shared.lock().dial_faults.extend(faults);
    }

    /// The next dial requests to a number meet these faults, one each.
    pub fn fail_dials_to(&self, number: &str, faults: impl IntoIterator<Item = DialFault>) {
        let mut state = self.shared.lock();
        state
            .number_faults
            .entry(number.to_owned())
            .or_default()
            .extend(faults);
    }

    /// The next requests that are no dials meet these faults, one each: hang-ups, look-ups, lists.
    pub fn fail_next_requests(&self, faults: impl IntoIterator<Item = DialFault>) {
        self.shared.lock().request_faults.extend(faults);
    }

    /// From now on, a call is in lists only so long after it was dialled; `Duration::MAX` = never.
    pub fn lists_lag(&self, lag: Duration) {
        self.shared.lock().lists_lag = lag;
    }

    /// Waits for the next outbound call to a number: each call is given once. Fails after the
    /// options' `deadline`.
    pub async fn dialled(&self, to: &str) -> Result<CallHandle, Missed> {
        let mut news = self.shared.news.subscribe();
        let waiting = async {
            loop {
                news.borrow_and_update();
                if let Some(call) = self.take_dialled(to) {
                    return CallHandle::new(self.shared.clone(), call);
                }
                // The sender is in `shared`, which `self` holds.
                let _changed = news.changed().await;
            }
        };
        tokio::time::timeout(self.shared.options.deadline, waiting)
            .await
            .map_err(|_| {
                let dials = self.shared.ledger.dials();
                let log = dials.iter().map(|dial| format!("{dial:?}\n")).collect();
                Missed::new(format!("no call to {to}"), log)
            })
    }

    fn take_dialled(&self, to: &str) -> Option<Arc<Call>> {
        let mut state = self.shared.lock();
        let call = state
            .calls
            .iter()
            .find(|call| !call.inbound && call.to == to && !state.taken.contains(&call.id))?
            .clone();
        state.taken.insert(call.id.clone());
        Some(call)
    }

    /// A handle of any call by its id.
    pub fn call(&self, id: &str) -> Option<CallHandle> {
        let call = self.shared.call(id)?;
        Some(CallHandle::new(self.shared.clone(), call))
    }

    /// Handles of all calls, oldest first.
    pub fn calls(&self) -> Vec<CallHandle> {
        let handle = |call| CallHandle::new(self.shared.clone(), call);
        self.shared.calls().into_iter().map(handle).collect()
    }

    /// What the carrier saw.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Waits until the ledger satisfies a condition, such as a number of dials or a webhook.
    /// `None` after the options' `deadline`.
    pub async fn ledger_shows<T>(&self, look: impl FnMut(&Ledger) -> Option<T>) -> Option<T> {
        let watching = self.shared.ledger.wait(look);
        tokio::time::timeout(self.shared.options.deadline, watching)
            .await
            .ok()
    }

    /// How late this carrier's own frames were sent, milliseconds: `(p50, p99, max)` since the start.
    pub fn lag_ms(&self) -> (f64, f64, f64) {
        self.shared.lag.figures()
    }

    /// Removes calls that are over from the carrier's lists, so that a long run stays small. Handles
    /// keep theirs.
    pub fn forget_finished(&self) {
        let mut state = self.shared.lock();
        state.calls.retain(|call| !call.status().is_over());
        state.by_id.retain(|_, call| !call.status().is_over());
        let kept: HashSet<String> = state.by_id.keys().cloned().collect();
        state.taken.retain(|id| kept.contains(id));
    }
}

/// Epoch milliseconds.
pub(crate) fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}
