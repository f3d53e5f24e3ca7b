//! Settings of the worker.

use std::time::Duration;

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a call may ring, s.
    pub ring_s: u64,
    /// Calls placed per second at most, by this node.
    pub dials_per_second: u32,
    /// An open call without an owner for this long is looked into, ms (R203).
    pub orphan_ms: i64,
    /// How long a dial of unknown outcome is looked up before it counts as an error.
    pub lookup_for: Duration,
    /// The rest of its clocks.
    pub timings: Timings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_s: 45,
            dials_per_second: 1,
            orphan_ms: 30_000,
            lookup_for: Duration::from_secs(60),
            timings: Timings::default(),
        }
    }
}

/// Clocks that only tests set otherwise.
#[derive(Debug, Clone)]
pub struct Timings {
    /// How often the queues are looked at without being woken.
    pub poll: Duration,
    /// How long a claimed call may wait to be dialled.
    pub claim: Duration,
    /// The first wait before a call is dialled again that the carrier asked to come back with; it doubles.
    pub postponed: Duration,
    /// The first wait before an account that its carrier refuses is tried again; it doubles.
    pub refused: Duration,
    /// How long a callback may take to tell what became of a dial of unknown outcome (wire-telephony.md §6.1).
    pub callback_wait: Duration,
    /// How often such a dial is looked up at the carrier.
    pub lookup_every: Duration,
    /// How often open calls are looked at.
    pub sweep_every: Duration,
    /// How often it is looked who lives.
    pub watch_every: Duration,
    /// A node that was not seen for this long is dead.
    pub silent: Duration,
    /// A carrier that was told to move a call and did not is told again after this long.
    pub rescue_again: Duration,
    /// A dialled call without news for this long is asked for at the carrier.
    pub no_news: Duration,
    /// How soon a call that was asked for may be asked for again.
    pub ask_again: Duration,
    /// How long an ended call's record may take, R181; then it is finished without what is missing.
    pub post_call: Duration,
    /// How long a webhook's receiver may take (api.md §21).
    pub webhook_limit: Duration,
    /// How long an ended call's record waits for the receiver of what was extracted.
    pub webhook_task: Duration,
    /// A recording on this node's disk that nobody has written to for so long is looked into, as often.
    pub left_behind: Duration,
    /// How long whoever takes a document in may be silent before another begins again.
    pub knowledge_lease: Duration,
    /// Waits before the second and each further try of a webhook.
    pub webhook_retries: Vec<Duration>,
}

impl Default for Timings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        Self {
            poll: Duration::from_secs(1),
            claim: Duration::from_secs(60),
            postponed: bolo_execution::FIRST_WAIT,
            refused: Duration::from_secs(5),
            callback_wait: Duration::from_secs(10),
            lookup_every: Duration::from_secs(10),
            sweep_every: Duration::from_secs(5),
            watch_every: Duration::from_millis(500),
            silent: bolo_store::SILENT,
            rescue_again: Duration::from_secs(10),
            no_news: Duration::from_secs(120),
            ask_again: Duration::from_secs(30),
            post_call: Duration::from_secs(300),
            webhook_limit: Duration::from_secs(15),
            webhook_task: Duration::from_secs(20),
            left_behind: Duration::from_secs(MINUTE),
            knowledge_lease: Duration::from_secs(3 * MINUTE),
            webhook_retries: [
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                10 * HOUR,
            ]
            .map(Duration::from_secs)
            .into(),
        }
    }
}
