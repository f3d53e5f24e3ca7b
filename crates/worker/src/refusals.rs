//! Accounts that their carrier refuses: a key is wrong, or the account is suspended (wire-telephony.md §1.3). One call is
//! told so. The others wait in the queue instead of meeting the same end, and one at a time finds out whether the
//! carrier takes them again.
//!
//! Each node finds it out by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bolo_execution::Record;
use bolo_store::Held;
use tokio::time::Instant;

/// The longest of the waits, which double.
const LONGEST: Duration = Duration::from_secs(60);
/// After this long without a call to find out with, an account begins anew.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Account and carrier.
type Key = (String, String);

/// What this node knows of them.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// The first wait.
    first: Duration,
    accounts: Mutex<HashMap<Key, Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    /// Until then no call is dialled, then one.
    until: Instant,
    wait: Duration,
    /// That one is on its way.
    is_probed: bool,
}

impl Refusals {
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            first,
            accounts: Mutex::default(),
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Key, Refusal>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls may be claimed of those that are refused.
    pub(crate) fn held(&self, now: Instant) -> Vec<Held> {
        let held = |((account, carrier), refusal): (&Key, &Refusal)| Held {
            account: account.clone(),
            carrier: carrier.clone(),
            calls: i64::from(refusal.until <= now),
        };
        self.accounts().iter().map(held).collect()
    }

    /// The call is about to be dialled: of a refused account it is the one that finds out.
    pub(crate) fn claimed(&self, record: &Record, now: Instant) {
        if let Some(refusal) = self.accounts().get_mut(&key(record)) {
            refusal.until = now + refusal.wait;
            refusal.is_probed = true;
        }
    }

    /// The carrier refuses the call's account. Whether that was known.
    pub(crate) fn refused(&self, record: &Record, now: Instant) -> bool {
        let mut accounts = self.accounts();
        accounts.retain(|_, refusal| now < refusal.until + FORGOTTEN);
        if let Some(refusal) = accounts.get_mut(&key(record)) {
            // Calls that were on their way together tell it once.
            if std::mem::take(&mut refusal.is_probed) {
                refusal.wait = (refusal.wait * 2).min(LONGEST);
                refusal.until = now + refusal.wait;
            }
            return true;
        }
        let refusal = Refusal {
            until: now + self.first,
            wait: self.first,
            is_probed: false,
        };
        accounts.insert(key(record), refusal);
        false
    }

    /// The carrier looked into a call of the account: it does not refuse it. Whether it did before.
    pub(crate) fn accepted(&self, record: &Record) -> bool {
        self.accounts().remove(&key(record)).is_some()
    }
}

fn key(record: &Record) -> Key {
    (record.account.to_string(), record.provider.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_at_a_time_finds_out_and_ever_more_seldom() {
        let first = Duration::from_secs(5);
        let (refusals, mut now) = (Refusals::new(first), Instant::now());
        let record = crate::tests::record();
        let most = |now| {
            refusals
                .held(now)
                .iter()
                .map(|held| held.calls)
                .sum::<i64>()
        };
        assert!(refusals.held(now).is_empty());
        assert!(!refusals.refused(&record, now));
        // Those that left together with it.
        assert!(refusals.refused(&record, now));
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(most(now), 0);
            now += Duration::from_secs(wait);
            assert_eq!(most(now), 1);
            refusals.claimed(&record, now);
            assert_eq!(most(now), 0, "until its outcome is known");
            assert!(refusals.refused(&record, now));
        }
        assert!(refusals.accepted(&record));
        assert!(refusals.held(now).is_empty());
        assert!(!refusals.accepted(&record));
    }
}
