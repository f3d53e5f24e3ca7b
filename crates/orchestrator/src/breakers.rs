//! Vendors that fail call after call are left alone for a while, where another can take their place
//! (R197). Kept apart by account: one's wrong key or own server says nothing about another's.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bolo_execution::AccountId;
use bolo_providers::{Error, ErrorKind, llm::Gate};
use tokio::time::Instant;

/// So many calls that failed within [`WITHIN`] shut a vendor out for [`SHUT`].
const CALLS: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);
const SHUT: Duration = Duration::from_secs(30);
/// Vendors of accounts that are watched at once; beyond it the quiet ones are forgotten.
const WATCHED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    role: &'static str,
    vendor: &'static str,
}

#[derive(Debug, Default)]
struct State {
    failed: VecDeque<Instant>,
    shut_until: Option<Instant>,
}

/// What this process knows of its vendors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breakers(Arc<Mutex<HashMap<Key, State>>>);

impl Breakers {
    /// The view of one call on the vendors of one role: it counts each of them once.
    pub(crate) fn for_call(&self, account: AccountId, role: &'static str) -> Arc<CallGate> {
        Arc::new(CallGate {
            breakers: self.clone(),
            account,
            role,
            counted: Mutex::default(),
        })
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self, key: &Key, now: Instant) -> bool {
        let states = self.states();
        let shut = states.get(key).and_then(|state| state.shut_until);
        shut.is_none_or(|until| now >= until)
    }

    fn failed(&self, key: Key, now: Instant) {
        let mut states = self.states();
        if states.len() >= WATCHED {
            states.retain(|_, state| state.is_busy(now));
        }
        let vendor = key.vendor;
        let state = states.entry(key).or_default();
        state.forget(now);
        state.failed.push_back(now);
        // After a time shut out the first failure is enough.
        if state.failed.len() >= CALLS || state.shut_until.is_some() {
            state.failed.clear();
            state.shut_until = Some(now + SHUT);
            metrics::counter!(crate::figures::VENDOR_SHUT_OUT, "vendor" => vendor).increment(1);
            tracing::warn!(vendor, "fails call after call: shut out for a while");
        }
    }

    fn worked(&self, key: &Key, now: Instant) {
        let mut states = self.states();
        if let Some(state) = states.get_mut(key)
            && state.shut_until.is_some_and(|until| now >= until)
        {
            states.remove(key);
        }
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self
            .failed
            .front()
            .is_some_and(|at| now.duration_since(*at) > WITHIN)
        {
            self.failed.pop_front();
        }
    }

    fn is_busy(&mut self, now: Instant) -> bool {
        self.forget(now);
        !self.failed.is_empty() || self.shut_until.is_some_and(|until| now < until + WITHIN)
    }
}

/// See [`Breakers::for_call`].
#[derive(Debug)]
pub(crate) struct CallGate {
    breakers: Breakers,
    account: AccountId,
    role: &'static str,
    counted: Mutex<HashSet<&'static str>>,
}

impl CallGate {
    fn key(&self, vendor: &'static str) -> Key {
        Key {
            account: self.account,
            role: self.role,
            vendor,
        }
    }
}

impl Gate for CallGate {
    fn is_open(&self, vendor: &'static str) -> bool {
        self.breakers.is_open(&self.key(vendor), Instant::now())
    }

    fn note(&self, vendor: &'static str, outcome: Result<(), &Error>) {
        let now = Instant::now();
        let error = match outcome {
            Ok(()) => return self.breakers.worked(&self.key(vendor), now),
            Err(error) => error,
        };
        if is_of_one_agent(error.kind) {
            return;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.insert(vendor) {
            self.breakers.failed(self.key(vendor), now);
        }
    }
}

/// What an agent asks for or says is refused; those that ask for something else are served.
fn is_of_one_agent(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BadRequest | ErrorKind::NotFound | ErrorKind::Content
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use tokio::time::advance;

    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error {
            kind,
            vendor: "one",
            role: "llm",
            cause: "down".into(),
            retry_after: None,
        }
    }

    /// A call of this account in which the vendor fails twice.
    fn fails(breakers: &Breakers, of: AccountId) {
        let call = breakers.for_call(of, "llm");
        call.note("one", Err(&error(ErrorKind::Server)));
        call.note("one", Err(&error(ErrorKind::Server)));
    }

    fn is_open(breakers: &Breakers, of: AccountId) -> bool {
        breakers.for_call(of, "llm").is_open("one")
    }

    #[tokio::test(start_paused = true)] // R197
    async fn five_failing_calls_shut_a_vendor_out_for_half_a_minute() {
        let (breakers, one) = (Breakers::default(), AccountId::new());
        for _ in 0..4 {
            fails(&breakers, one);
        }
        assert!(is_open(&breakers, one));
        fails(&breakers, one);
        assert!(!is_open(&breakers, one));
        assert!(
            is_open(&breakers, AccountId::new()),
            "another account's calls go on"
        );
        let other_role = breakers.for_call(one, "synthesizer");
        assert!(other_role.is_open("one"));
        advance(SHUT).await;
        assert!(is_open(&breakers, one));
        // One more failure and it is shut again; one success and all is forgotten.
        fails(&breakers, one);
        assert!(!is_open(&breakers, one));
        advance(SHUT).await;
        breakers.for_call(one, "llm").note("one", Ok(()));
        fails(&breakers, one);
        assert!(is_open(&breakers, one));
    }

    #[tokio::test(start_paused = true)] // R197
    async fn an_agent_that_asks_for_what_is_not_there_shuts_nobody_out() {
        let (breakers, one) = (Breakers::default(), AccountId::new());
        for kind in [
            ErrorKind::BadRequest,
            ErrorKind::NotFound,
            ErrorKind::Content,
        ] {
            for _ in 0..5 {
                let call = breakers.for_call(one, "llm");
                call.note("one", Err(&error(kind)));
            }
        }
        assert!(is_open(&breakers, one));
    }

    #[tokio::test(start_paused = true)] // R197
    async fn failures_far_apart_are_no_pattern() {
        let (breakers, one) = (Breakers::default(), AccountId::new());
        for _ in 0..10 {
            fails(&breakers, one);
            advance(Duration::from_secs(16)).await;
        }
        assert!(is_open(&breakers, one));
    }
}
