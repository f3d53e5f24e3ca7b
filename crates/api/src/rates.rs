//! How many requests an account may send in a minute: a fixed window for each operation (api.md §5).
//! Counted on each node by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use bolo_execution::AccountId;
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
    pub fn admit(&self, account: AccountId, method: &Method, route: &str) -> Result<(), ApiError> {
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
        let window = self.windows.get_with((account, operation), || {
            Arc::new(Window {
                since: Instant::now(),
                used: AtomicU32::new(0),
            })
        });
        if window.used.fetch_add(1, Ordering::Relaxed) < limit {
            return Ok(());
        }
        let left = WINDOW.saturating_sub(window.since.elapsed());
        // Rounded up, so that who waits so long is let in.
        Err(ApiError::TooMany {
            retry_after_s: u64::from(left.subsec_nanos() > 0) + left.as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn account() -> AccountId {
        AccountId(uuid::Uuid::now_v7())
    }

    #[test]
    fn each_operation_has_its_window_and_its_spellings_share_it() {
        let rates = Rates::new(PerMinute { busy: 2, other: 3 });
        let (ours, theirs) = (account(), account());
        rates
            .admit(ours, &Method::GET, "/agent/{agent_id}")
            .unwrap();
        rates
            .admit(ours, &Method::GET, "/v2/agent/{agent_id}")
            .unwrap();
        let refused = rates
            .admit(ours, &Method::GET, "/v2/agent/{agent_id}")
            .unwrap_err();
        let ApiError::TooMany { retry_after_s } = refused else {
            panic!("{refused}");
        };
        assert!((1..=60).contains(&retry_after_s));
        rates
            .admit(theirs, &Method::GET, "/v2/agent/{agent_id}")
            .unwrap();
        for _ in 0..3 {
            rates
                .admit(ours, &Method::PUT, "/v2/agent/{agent_id}")
                .unwrap();
        }
        assert!(
            rates
                .admit(ours, &Method::PUT, "/v2/agent/{agent_id}")
                .is_err()
        );
    }

    #[test]
    fn zero_is_no_limit() {
        let rates = Rates::new(PerMinute { busy: 0, other: 0 });
        let account = account();
        for _ in 0..10_000 {
            rates.admit(account, &Method::POST, "/call").unwrap();
        }
    }
}
