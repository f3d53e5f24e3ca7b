//! What all fakes of vendors have in common: a server, one key, faults in turn, and counters.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{
        Request,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    middleware::{self, Next},
    response::Response,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    coming::{Coming, TooMany},
    jitter::{Dice, Jitter},
    outage::Outage,
    server::Server,
};

/// The first token or audio of an answer that a fake is about to send, whatever fault then breaks it.
#[derive(Debug, Clone)]
pub struct Begun {
    /// When.
    pub at: Instant,
    /// What it answers: what the user said to a model, what a synthesizer is to speak.
    pub text: Arc<str>,
    /// How much later than the fake's options say: its own doing.
    pub late: Duration,
}

/// Is told of each answer that a fake begins.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Begun) + Send + Sync>);

impl Observer {
    /// Must be quick: the fake waits for it.
    pub fn new(tell: impl Fn(Begun) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// An answer that was due then leaves now.
    pub(crate) fn tell(&self, text: &Arc<str>, due: tokio::time::Instant) {
        let (text, late) = (text.clone(), due.elapsed());
        (self.0)(Begun {
            at: Instant::now(),
            text,
            late,
        });
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A running fake of a vendor, set up by `O`, that can be told to fail in the ways of `F`. Stops with
/// its sessions when dropped.
pub struct FakeVendor<O, F> {
    desk: Arc<Desk<O, F>>,
    server: Server,
}

/// What a fake's handle and its sessions share.
pub(crate) struct Desk<O, F> {
    pub options: O,
    coming: Mutex<Coming<F>>,
    sessions: AtomicU64,
    open: AtomicU64,
    billed: AtomicU64,
    /// Those that had chance of their own.
    rolled: AtomicU64,
    struck: watch::Sender<Option<F>>,
    stop: CancellationToken,
}

/// What strikes a session in its life.
pub(crate) type Struck<F> = watch::Receiver<Option<F>>;

/// The next fault that strikes. Pending for ever once the fake is gone.
pub(crate) async fn strike<F: Clone>(struck: &mut Struck<F>) -> F {
    loop {
        if struck.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if let Some(fault) = struck.borrow_and_update().clone() {
            return fault;
        }
    }
}

impl<O, F> fmt::Debug for FakeVendor<O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeVendor({})", self.server.addr)
    }
}

impl<O, F> FakeVendor<O, F> {
    /// Serves `routes` on `addr`. `Error::Listen` if the address is taken.
    pub(crate) async fn serve(
        addr: SocketAddr,
        options: O,
        routes: impl FnOnce(Arc<Desk<O, F>>) -> Router,
    ) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let desk = Arc::new(Desk {
            options,
            coming: Mutex::default(),
            sessions: AtomicU64::new(0),
            open: AtomicU64::new(0),
            billed: AtomicU64::new(0),
            rolled: AtomicU64::new(0),
            struck: watch::channel(None).0,
            stop: stop.clone(),
        });
        let routes = routes(desk.clone()).layer(middleware::from_fn(ask_for_patience));
        let server = Server::start(addr, routes, stop).await?;
        Ok(Self { desk, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// How it was set up.
    pub fn options(&self) -> &O {
        &self.desk.options
    }

    /// The next connections or requests meet these faults, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = F>) {
        self.desk.coming().add(faults);
    }

    /// From now on every connection or request of this number is refused with 429, as the vendor does; 0: none.
    pub fn rate_limit_every(&self, number: u64) {
        self.desk.coming().rate_limit_every(number);
    }

    /// Faults that were to come do not.
    pub fn recover(&self) {
        self.desk.coming().clear();
        self.outage().end();
    }

    /// The sessions open now meet this fault from here on, where they are vendors' sockets.
    pub fn strike(&self, fault: F) {
        self.desk.struck.send_replace(Some(fault));
    }

    /// The network before it.
    pub fn outage(&self) -> &Outage {
        &self.server.outage
    }

    /// TCP connections that clients have made so far.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// Connections or requests let in so far.
    pub fn sessions(&self) -> u64 {
        self.desk.sessions.load(Ordering::Relaxed)
    }

    /// Connections or requests open now.
    pub fn open_sessions(&self) -> u64 {
        self.desk.open.load(Ordering::Relaxed)
    }

    /// What the vendor would bill, in its unit (characters spoken, ms of audio heard).
    pub(crate) fn billed(&self) -> u64 {
        self.desk.billed.load(Ordering::Relaxed)
    }
}

impl<O, F> Desk<O, F> {
    /// The fault that the connection or request at hand meets.
    pub fn next_fault(&self) -> Option<F>
    where
        F: TooMany,
    {
        self.coming().next()
    }

    fn coming(&self) -> MutexGuard<'_, Coming<F>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a session of faults that strike while it lives.
    pub fn struck(&self) -> Struck<F> {
        self.struck.subscribe()
    }

    /// The chance of the connection or request at hand.
    pub fn dice(&self, jitter: Jitter) -> Dice {
        jitter.dice(self.rolled.fetch_add(1, Ordering::Relaxed))
    }

    /// Adds to the bill.
    pub fn bill(&self, amount: u64) {
        self.billed.fetch_add(amount, Ordering::Relaxed);
    }

    /// Runs one piece of work, counted as a session; it ends with the fake.
    pub async fn session(&self, work: impl Future<Output = ()>) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let _closed = Open(&self.open);
        // None = the fake is gone.
        let _ended = self.stop.run_until_cancelled(work).await;
    }
}

impl<O: Send + Sync + 'static, F: Send + Sync + 'static> Desk<O, F> {
    /// Lets a socket in; `run` is its session.
    pub fn upgrade<W>(
        self: &Arc<Self>,
        upgrade: WebSocketUpgrade,
        run: impl FnOnce(WebSocket) -> W + Send + 'static,
    ) -> Response
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let desk = self.clone();
        upgrade
            .read_buffer_size(8 << 10)
            .write_buffer_size(0)
            .on_upgrade(move |socket| async move { desk.session(run(socket)).await })
    }
}

/// Headers that carry keys.
const KEYS: [&str; 6] = [
    "authorization",
    "x-api-key",
    "xi-api-key",
    "api-subscription-key",
    "x-gladia-key",
    "ocp-apim-subscription-key",
];

/// The keys `no-credit` and `busy` always meet the refusal they are named for: its HTTP status.
pub(crate) fn refusal_of(key: &str) -> Option<u16> {
    match key {
        "no-credit" => Some(402),
        "busy" => Some(429),
        _ => None,
    }
}

/// That of the key that these headers carry.
pub(crate) fn refusal(headers: &HeaderMap) -> Option<u16> {
    let given = KEYS
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok());
    // Behind `Bearer` and the like; Amazon's between other parts.
    let mut keys = given.flat_map(|value| value.split([' ', '=', '/']));
    keys.find_map(refusal_of)
}

/// Says how long a busy vendor wants to be left alone.
async fn ask_for_patience(request: Request, next: Next) -> Response {
    let is_busy = refusal(request.headers()) == Some(429);
    let mut response = next.run(request).await;
    if is_busy && response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// Counts a session as closed however it ends.
struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes a socket with a code and its reason.
pub(crate) async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let frame = CloseFrame {
        code,
        reason: reason.to_owned().into(),
    };
    if let Err(error) = socket.send(Message::Close(Some(frame))).await {
        tracing::debug!(%error, "the client left before the close");
    }
}
