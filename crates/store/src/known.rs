//! What was read of an account a moment ago: a call asks for the same some ten times as it begins and ends.

use std::time::Duration;

use bolo_execution::AccountId;
use moka::{ops::compute::Op, sync::Cache};
use tokio::time::Instant;

/// How long it is used without asking: what another process has changed is used from then on.
const FRESH: Duration = Duration::from_secs(1);
const ACCOUNTS: u64 = 1000;

/// By account what was read, and since when that is known; nothing, since it was changed.
pub(crate) struct Known<V>(Cache<AccountId, (Option<V>, Instant)>);

impl<V: Clone + Send + Sync + 'static> Known<V> {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(ACCOUNTS).time_to_live(FRESH);
        Self(cache.build())
    }

    pub(crate) fn get(&self, account: AccountId) -> Option<V> {
        let (value, since) = self.0.get(&account)?;
        value.filter(|_| since.elapsed() < FRESH)
    }

    /// What was asked for at that time.
    pub(crate) fn keep(&self, account: AccountId, value: &V, asked: Instant) {
        self.0.entry(account).and_compute_with(|known| match known {
            Some(known) if known.value().1 >= asked => Op::Nop,
            _ => Op::Put((Some(value.clone()), asked)),
        });
    }

    /// It is changed: whoever asked before does not know it.
    pub(crate) fn forget(&self, account: AccountId) {
        self.0.insert(account, (None, Instant::now()));
    }
}
