//! Vendors that fail call after call are left alone for a while, where another can take their place, until
//! one call finds that they work again (R197). Kept apart by account: one's wrong key or own server says
//! nothing about another's.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bolo_execution::AccountId;
use bolo_providers::{Error, ErrorKind, llm::Gate};
use tokio::time::Instant;

/// So many calls that failed within [`WITHIN`] shut a vendor out for [`SHUT`].
const CALLS: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);
const SHUT: Duration = Duration::from_secs(30);
/// What became of a call that tries a vendor should be known by then; else another tries.
const TRIAL: Duration = Duration::from_secs(15);
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
    trial: Option<Trial>,
}

/// A call that tries, after a time shut out, whether a vendor works again: it alone.
#[derive(Debug)]
struct Trial {
    /// Dead once that call is over.
    call: Weak<()>,
    until: Instant,
}

impl Trial {
    fn is_of(&self, call: &Arc<()>) -> bool {
        std::ptr::eq(self.call.as_ptr(), Arc::as_ptr(call))
    }

    fn is_lost(&self, now: Instant) -> bool {
        now >= self.until || self.call.strong_count() == 0
    }
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
            call: Arc::default(),
            counted: Mutex::default(),
        })
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Key, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self, key: &Key, call: &Arc<()>, now: Instant) -> bool {
        let mut states = self.states();
        let Some((state, until)) = states
            .get_mut(key)
            .and_then(|state| state.shut_until.map(|until| (state, until)))
        else {
            return true;
        };
        let is_anothers = |trial: &Trial| !trial.is_of(call) && !trial.is_lost(now);
        if now < until || state.trial.as_ref().is_some_and(is_anothers) {
            return false;
        }
        state.trial = Some(Trial {
            call: Arc::downgrade(call),
            until: now + TRIAL,
        });
        true
    }

    /// Ends the call's trial of a vendor; whether there was one.
    fn tried(&self, key: &Key, call: &Arc<()>) -> bool {
        let mut states = self.states();
        let state = states.get_mut(key);
        let trial = state.and_then(|state| state.trial.take_if(|trial| trial.is_of(call)));
        trial.is_some()
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
            state.trial = None;
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
    /// Tells the call from others.
    call: Arc<()>,
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
        self.breakers
            .is_open(&self.key(vendor), &self.call, Instant::now())
    }

    fn note(&self, vendor: &'static str, outcome: Result<(), &Error>) {
        let now = Instant::now();
        let error = match outcome {
            Ok(()) => return self.breakers.worked(&self.key(vendor), now),
            Err(error) => error,
        };
        let has_tried = self.breakers.tried(&self.key(vendor), &self.call);
        if is_of_one_agent(error.kind) {
            return;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.insert(vendor) || has_tried {
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

    /// A vendor that was shut out for its time.
    async fn shut_out(of: AccountId) -> Breakers {
        let breakers = Breakers::default();
        for _ in 0..CALLS {
            fails(&breakers, of);
        }
        advance(SHUT).await;
        breakers
    }

    #[tokio::test(start_paused = true)] // R197
    async fn after_the_time_shut_out_one_call_tries_and_the_others_wait_for_it() {
        let one = AccountId::new();
        let breakers = shut_out(one).await;
        let trial = breakers.for_call(one, "llm");
        assert!(trial.is_open("one"));
        assert!(!is_open(&breakers, one));
        assert!(trial.is_open("one"), "it goes on");
        trial.note("one", Err(&error(ErrorKind::Timeout)));
        assert!(!trial.is_open("one"));
        advance(SHUT - Duration::from_millis(1)).await;
        assert!(!is_open(&breakers, one));
        advance(Duration::from_millis(1)).await;
        let trial = breakers.for_call(one, "llm");
        assert!(trial.is_open("one"));
        assert!(!is_open(&breakers, one));
        trial.note("one", Ok(()));
        assert!(is_open(&breakers, one));
        assert!(is_open(&breakers, one));
    }

    #[tokio::test(start_paused = true)] // R197
    async fn a_trial_that_comes_to_nothing_is_left_to_the_next_call() {
        let one = AccountId::new();
        let breakers = shut_out(one).await;
        // The call ends.
        let trial = breakers.for_call(one, "llm");
        assert!(trial.is_open("one"));
        drop(trial);
        // Nothing is heard of it.
        let trial = breakers.for_call(one, "llm");
        assert!(trial.is_open("one"));
        advance(TRIAL).await;
        let next = breakers.for_call(one, "llm");
        assert!(next.is_open("one"));
        assert!(!trial.is_open("one"));
        // What this call asks for can't be had.
        next.note("one", Err(&error(ErrorKind::BadRequest)));
        assert!(trial.is_open("one"));
        assert!(!next.is_open("one"));
    }

    #[tokio::test(start_paused = true)] // R197
    async fn a_call_that_saw_the_vendor_fail_before_can_be_the_one_that_tries() {
        let one = AccountId::new();
        let breakers = Breakers::default();
        let old = breakers.for_call(one, "llm");
        old.note("one", Err(&error(ErrorKind::Server)));
        for _ in 1..CALLS {
            fails(&breakers, one);
        }
        advance(SHUT).await;
        assert!(old.is_open("one"));
        old.note("one", Err(&error(ErrorKind::Server)));
        assert!(!is_open(&breakers, one));
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
