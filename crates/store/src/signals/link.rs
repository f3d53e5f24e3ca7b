//! The way to other nodes over Redis. A call's registration is a subscription to its channel, so Redis
//! forgets a node's calls when the node is gone, and a node tells them anew when Redis comes back.
//!
//! Whoever takes a command says so on the sender's own channel: a node that hangs counts as none.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bolo_execution::ExecutionId;
use dashmap::DashMap;
use futures_util::StreamExt;
use redis::{
    Client, Msg, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Command, Here, PATIENCE, Work, hand};
use crate::Error;

/// Workers of all nodes hear it.
const WORKERS: &str = "bolo:workers";
/// Wake-ups of one node are at least this far apart.
const BETWEEN_WAKES: Duration = Duration::from_millis(20);
/// Calls that have ended leave the subscriptions this often.
const TIDY: Duration = Duration::from_secs(1);
/// A connection is asked whether it lives.
const PING: Duration = Duration::from_secs(5);
/// What nobody waits for takes so long at most.
const HURRY: Duration = Duration::from_millis(200);
/// A process that runs answers within this.
const AT_ONCE_OR_NEVER: Duration = Duration::from_millis(500);
/// Pause after a failed connection; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Commands being handed to calls at once.
const AT_ONCE: usize = 256;

fn bit(work: Work) -> u8 {
    1 << work as u8
}

/// Who wakes the workers, and for what; one that does not say (an older node) may mean anything.
fn wake_up(payload: &[u8]) -> (&[u8], u8) {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    match text.rsplit_once(' ') {
        Some((from, works)) => (from.as_bytes(), works.parse().unwrap_or(u8::MAX)),
        None => (payload, u8::MAX),
    }
}

fn wake_for(here: &Here, works: u8) {
    for work in Work::ALL {
        if works & bit(work) != 0 {
            here.wake(work);
        }
    }
}

fn channel_of(id: ExecutionId) -> String {
    format!("bolo:call:{id}")
}

fn channel_of_node(instance: &str) -> String {
    format!("bolo:node:{instance}")
}

/// A command on its way.
#[derive(Serialize, Deserialize)]
struct Order {
    from: String,
    call: ExecutionId,
    /// `None` only asks whether the call is there.
    command: Option<Command>,
    /// The sender waits to hear under this number whether it was taken.
    answer: Option<u64>,
}

/// What became of an order at one node.
#[derive(Serialize, Deserialize)]
struct Answer {
    number: u64,
    taken: bool,
}

/// See the module. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Link {
    wire: Arc<Wire>,
    _task: AbortOnDropHandle<()>,
}

/// What the link's task and its users share.
#[derive(Debug)]
struct Wire {
    instance: String,
    publisher: Mutex<Option<MultiplexedConnection>>,
    /// The publisher failed: all is connected anew.
    broken: Notify,
    calls_changed: Notify,
    wake: Notify,
    /// What other workers are to be woken for: a bit each.
    wake_for: AtomicU8,
    asked: DashMap<u64, mpsc::Sender<bool>>,
    numbers: AtomicU64,
}

impl Link {
    pub(super) fn start(
        url: &SecretString,
        instance: &str,
        here: Arc<Here>,
    ) -> Result<Self, Error> {
        // The library's message may show the address, and that the password.
        let client = Client::open(url.expose_secret())
            .map_err(|_| Error::Unavailable("redis.url: not a Redis address".into()))?;
        let wire = Arc::new(Wire {
            instance: instance.to_owned(),
            publisher: Mutex::new(None),
            broken: Notify::new(),
            calls_changed: Notify::new(),
            wake: Notify::new(),
            wake_for: AtomicU8::new(0),
            asked: DashMap::new(),
            numbers: AtomicU64::new(0),
        });
        let task = tokio::spawn(keep_connected(client, wire.clone(), here));
        Ok(Self {
            wire,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) fn calls_changed(&self) {
        self.wire.calls_changed.notify_one();
    }

    pub(super) fn wake_workers(&self, work: Work) {
        self.wire.wake_for.fetch_or(bit(work), Ordering::AcqRel);
        self.wire.wake.notify_one();
    }

    /// `true` once a node has handed it to the call.
    pub(super) async fn send(&self, id: ExecutionId, command: Command) -> bool {
        self.ask(id, Some(command), PATIENCE).await
    }

    /// Whether a node says at once that it runs the call.
    pub(super) async fn answers(&self, id: ExecutionId) -> bool {
        self.ask(id, None, AT_ONCE_OR_NEVER).await
    }

    async fn ask(&self, id: ExecutionId, command: Option<Command>, limit: Duration) -> bool {
        let number = self.wire.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, mut answers) = mpsc::channel(8);
        self.wire.asked.insert(number, sender);
        let told = async {
            let nodes = self.wire.order(id, command, Some(number)).await;
            for _ in 0..nodes {
                if answers.recv().await == Some(true) {
                    return true;
                }
            }
            false
        };
        let taken = timeout(limit, told).await.unwrap_or(false);
        self.wire.asked.remove(&number);
        taken
    }

    pub(super) async fn tell(&self, id: ExecutionId, command: Command) {
        // A Redis that hangs holds nobody up.
        let _ = timeout(HURRY, self.wire.order(id, Some(command), None)).await;
    }

    pub(super) async fn count(&self, key: &str, window: Duration) -> Option<(u64, Duration)> {
        let mut count = redis::cmd("EVAL");
        count.arg(COUNT).arg(1).arg(format!("bolo:count:{key}"));
        count.arg(window.as_millis() as u64);
        // A Redis that hangs holds nobody up.
        let counted = timeout(HURRY, self.wire.run::<(u64, i64)>(&count)).await;
        let (used, left_ms) = counted.ok().flatten()?;
        Some((used, Duration::from_millis(left_ms.max(0) as u64)))
    }

    pub(super) async fn is_live(&self, id: ExecutionId) -> bool {
        let channel = channel_of(id);
        let mut question = redis::cmd("PUBSUB");
        question.arg("NUMSUB").arg(&channel);
        let found: Option<(String, u64)> = self.wire.run(&question).await;
        found.is_some_and(|(_, nodes)| nodes > 0)
    }
}

/// Counts in a window that begins with the first, in one step: what has no end would count for ever.
const COUNT: &str = "local count = redis.call('INCR', KEYS[1])
    if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return {count, redis.call('PTTL', KEYS[1])}";

impl Wire {
    /// How many nodes have got it.
    async fn order(&self, call: ExecutionId, command: Option<Command>, answer: Option<u64>) -> u64 {
        let order = Order {
            from: self.instance.clone(),
            call,
            command,
            answer,
        };
        self.publish(&channel_of(call), &order).await
    }

    async fn publish(&self, channel: &str, message: &impl Serialize) -> u64 {
        let Ok(text) = serde_json::to_string(message) else {
            return 0;
        };
        self.publish_text(channel, &text).await
    }

    async fn publish_text(&self, channel: &str, text: &str) -> u64 {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(text);
        self.run(&publish).await.unwrap_or_default()
    }

    /// `None` while Redis is away.
    async fn run<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Option<T> {
        let mut connection = self.publisher().clone()?;
        match timeout(PATIENCE, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, "Redis did not take a message");
                self.broken.notify_one();
                None
            }
            Err(_) => {
                self.broken.notify_one();
                None
            }
        }
    }

    fn publisher(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, again and again; tells once that Redis is away, and once that it is back.
async fn keep_connected(client: Client, wire: Arc<Wire>, here: Arc<Here>) {
    let mut pause = PAUSE;
    let mut away = false;
    loop {
        let why = match answered(connect(&client)).await {
            Ok((publisher, sink, stream)) => {
                *wire.publisher() = Some(publisher);
                if std::mem::take(&mut away) {
                    tracing::info!("Redis is back");
                }
                pause = PAUSE;
                let ended = serve(sink, stream, &wire, &here).await;
                *wire.publisher() = None;
                ended.map_or_else(|error| error.to_string(), |()| "it hung up".to_owned())
            }
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut away, true) {
            tracing::warn!(
                why,
                "Redis is away: other nodes are not told until it is back"
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(
    client: &Client,
) -> Result<(MultiplexedConnection, PubSubSink, PubSubStream), RedisError> {
    let publisher = client.get_multiplexed_async_connection().await?;
    let (sink, stream) = client.get_async_pubsub().await?.split();
    Ok((publisher, sink, stream))
}

/// A Redis that is silent is away: the library waits for ever.
async fn answered<T>(
    question: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let silent = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer").into());
    timeout(PATIENCE, question).await.unwrap_or_else(silent)
}

/// Runs until the connection breaks.
async fn serve(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    wire: &Arc<Wire>,
    here: &Arc<Here>,
) -> Result<(), RedisError> {
    let node = channel_of_node(&wire.instance);
    answered(sink.subscribe(&[WORKERS, &node])).await?;
    // What was due while nobody could be told.
    wake_for(here, u8::MAX);
    let mut subscribed = HashSet::new();
    let mut handing = JoinSet::new();
    let (mut tidy, mut ping) = (interval(TIDY), interval(PING));
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wake_owed = false;
    let mut wake_at = Instant::now();
    loop {
        tokio::select! {
            message = stream.next() => match message {
                None => return Ok(()),
                Some(message) => take(&message, wire, here, &mut handing),
            },
            Some(_) = handing.join_next() => {}
            () = wire.calls_changed.notified() => subscribe(&mut sink, &mut subscribed, here).await?,
            _ = tidy.tick() => {
                here.forget_ended();
                subscribe(&mut sink, &mut subscribed, here).await?;
            }
            () = wire.wake.notified(), if !wake_owed => wake_owed = true,
            () = sleep_until(wake_at), if wake_owed => {
                wake_owed = false;
                let works = wire.wake_for.swap(0, Ordering::AcqRel);
                wire.publish_text(WORKERS, &format!("{} {works}", wire.instance)).await;
                wake_at = Instant::now() + BETWEEN_WAKES;
            }
            () = wire.broken.notified() => return Ok(()),
            _ = ping.tick() => drop(answered(sink.ping::<redis::Value>()).await?),
        }
    }
}

/// Subscribes to the calls that are here and no others.
async fn subscribe(
    sink: &mut PubSubSink,
    subscribed: &mut HashSet<ExecutionId>,
    here: &Here,
) -> Result<(), RedisError> {
    let now: HashSet<ExecutionId> = here.calls.iter().map(|call| *call.key()).collect();
    let channels = |ids: std::collections::hash_set::Difference<'_, _, _>| -> Vec<String> {
        ids.map(|id| channel_of(*id)).collect()
    };
    let (new, old) = (
        channels(now.difference(subscribed)),
        channels(subscribed.difference(&now)),
    );
    if !new.is_empty() {
        answered(sink.subscribe(new)).await?;
    }
    if !old.is_empty() {
        answered(sink.unsubscribe(old)).await?;
    }
    *subscribed = now;
    Ok(())
}

/// A message of another node, or of our own.
fn take(message: &Msg, wire: &Arc<Wire>, here: &Arc<Here>, handing: &mut JoinSet<()>) {
    let (channel, payload) = (message.get_channel_name(), message.get_payload_bytes());
    if channel == WORKERS {
        let (from, works) = wake_up(payload);
        if from != wire.instance.as_bytes() {
            wake_for(here, works);
        }
        return;
    }
    if channel == channel_of_node(&wire.instance) {
        match serde_json::from_slice::<Answer>(payload) {
            Ok(answer) => {
                if let Some(asked) = wire.asked.get(&answer.number) {
                    // Full: enough have answered.
                    let _ = asked.try_send(answer.taken);
                }
            }
            Err(error) => tracing::warn!(%error, "an answer of another node is unreadable"),
        }
        return;
    }
    let order: Order = match serde_json::from_slice(payload) {
        Ok(order) => order,
        // A newer node may know commands that we don't.
        Err(error) => return tracing::warn!(%error, "a command of another node is unreadable"),
    };
    if handing.len() >= AT_ONCE {
        return tracing::warn!(execution = %order.call, "too many commands at once: one is dropped");
    }
    // Our own: the call was here a moment ago, or is since.
    let is_ours = order.from == wire.instance;
    let (wire, call) = (wire.clone(), here.call(order.call).filter(|_| !is_ours));
    handing.spawn(async move {
        let taken = match (call, order.command) {
            (Some(call), Some(command)) => hand(call, order.call, command).await,
            (call, _) => call.is_some(),
        };
        if let Some(number) = order.answer {
            let answer = Answer { number, taken };
            wire.publish(&channel_of_node(&order.from), &answer).await;
        }
    });
}
