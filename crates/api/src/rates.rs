//! How many requests an account may send in a minute: a fixed window for each operation (api.md §5).
//! Counted over all nodes where they have a Redis, else and while that is away on each node by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use bolo_execution::AccountId;
use bolo_store::Signals;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::error::ApiError;

const WINDOW: Duration = Duration::from_secs(60);
/// Windows that are kept: accounts times operations in use. More are forgotten early, which errs on the
/// client's side.
const WINDOWS: u64 = 100_000;

/// Requests a minute; 0 = as many as come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMinute {
    /// Of reading an agent, reading its executions, placing a call: each.
    pub busy: u32,
    /// Of every other operation.
    pub other: u32,
}

/// Counts requests.
pub struct Rates {
    limits: PerMinute,
    windows: Cache<(AccountId, String), Arc<Window>>,
}

struct Window {
    since: Instant,
    used: AtomicU32,
}

/// Operations whose limit is `busy`; the spellings of one share their window.
const BUSY: [(Method, &str, &str); 5] = [
    (Method::GET, "/v2/agent/{agent_id}", "agent"),
    (Method::GET, "/agent/{agent_id}", "agent"),
    (Method::GET, "/v2/agent/{agent_id}/executions", "executions"),
    (Method::GET, "/agent/{agent_id}/executions", "executions"),
    (Method::POST, "/call", "call"),
];

impl Rates {
    /// With these limits.
    pub fn new(limits: PerMinute) -> Self {
        let windows = Cache::builder()
            .max_capacity(WINDOWS)
            .time_to_live(WINDOW)
            .build();
        Self { limits, windows }
    }

    /// Counts a request of this account (a sub-account's counts for its parent).
    pub async fn admit(
        &self,
        nodes: &Signals,
        account: AccountId,
        method: &Method,
        route: &str,
    ) -> Result<(), ApiError> {
        let busy = BUSY
            .iter()
            .find(|(of, path, _)| of == method && *path == route);
        let (limit, operation) = match busy {
            Some((_, _, name)) => (self.limits.busy, (*name).to_owned()),
            None => (self.limits.other, format!("{method} {route}")),
        };
        if limit == 0 {
            return Ok(());
        }
        let key = format!("{account} {operation}");
        let (used, left) = match nodes.count(&key, WINDOW).await {
            Some(counted) => counted,
            None => self.count_here(account, operation),
        };
        if used <= u64::from(limit) {
            return Ok(());
        }
        // Rounded up, so that who waits so long is let in.
        Err(ApiError::TooMany {
            retry_after_s: u64::from(left.subsec_nanos() > 0) + left.as_secs(),
        })
    }
}

impl Rates {
    /// How many there are in this node's window with this one, and how long it lasts.
    fn count_here(&self, account: AccountId, operation: String) -> (u64, Duration) {
        let window = self.windows.get_with((account, operation), || {
            Arc::new(Window {
                since: Instant::now(),
                used: AtomicU32::new(0),
            })
        });
        let used = u64::from(window.used.fetch_add(1, Ordering::Relaxed)) + 1;
        (used, WINDOW.saturating_sub(window.since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn account() -> AccountId {
        AccountId(uuid::Uuid::now_v7())
    }

    /// A request at a node that has no others.
    async fn ask(
        rates: &Rates,
        account: AccountId,
        method: Method,
        route: &str,
    ) -> Result<(), ApiError> {
        rates
            .admit(&Signals::default(), account, &method, route)
            .await
    }

    #[tokio::test]
    async fn each_operation_has_its_window_and_its_spellings_share_it() {
        const AGENT: &str = "/v2/agent/{agent_id}";
        let rates = Rates::new(PerMinute { busy: 2, other: 3 });
        let (ours, theirs) = (account(), account());
        ask(&rates, ours, Method::GET, "/agent/{agent_id}")
            .await
            .unwrap();
        ask(&rates, ours, Method::GET, AGENT).await.unwrap();
        let refused = ask(&rates, ours, Method::GET, AGENT).await.unwrap_err();
        let ApiError::TooMany { retry_after_s } = refused else {
            panic!("{refused}");
        };
        assert!((1..=60).contains(&retry_after_s));
        ask(&rates, theirs, Method::GET, AGENT).await.unwrap();
        for _ in 0..3 {
            ask(&rates, ours, Method::PUT, AGENT).await.unwrap();
        }
        assert!(ask(&rates, ours, Method::PUT, AGENT).await.is_err());
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let rates = Rates::new(PerMinute { busy: 0, other: 0 });
        let account = account();
        for _ in 0..10_000 {
            ask(&rates, account, Method::POST, "/call").await.unwrap();
        }
    }
}
