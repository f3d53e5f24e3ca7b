//! Which processes live, told from their heartbeats as this one sees them come. No clock of another machine
//! is believed: an instance is silent since its last heartbeat changed before our eyes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::Instance;

/// A process that was not seen for this long is dead (wire-telephony.md §6.2).
pub const SILENT: Duration = Duration::from_secs(3);

/// Who was seen when. Empty after anything that kept this process from looking: then nobody counts as silent.
#[derive(Debug, Default)]
pub struct Watch {
    seen: HashMap<String, (i64, Instant)>,
}

impl Watch {
    /// Takes in what the store says now.
    pub fn look(&mut self, instances: &[Instance], now: Instant) {
        self.seen
            .retain(|name, _| instances.iter().any(|instance| instance.name == *name));
        for Instance { name, seen_at, .. } in instances {
            match self.seen.get_mut(name) {
                Some((known, _)) if known == seen_at => {}
                Some(entry) => *entry = (*seen_at, now),
                None => {
                    self.seen.insert(name.clone(), (*seen_at, now));
                }
            }
        }
    }

    /// The store could not be asked: who was silent meanwhile is not known.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// For how long an instance has not been heard of; `None` = it has signed off, or never signed on.
    pub fn silence(&self, name: &str, now: Instant) -> Option<Duration> {
        let (_, since) = self.seen.get(name)?;
        Some(now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(name: &str, seen_at: i64) -> Instance {
        Instance {
            name: name.into(),
            seen_at,
            room: 1,
        }
    }

    #[test]
    fn silence_counts_from_the_last_change_whatever_the_other_clock_says() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        watch.look(&[beat("a", 9_000_000), beat("b", 5)], at(0));
        watch.look(&[beat("a", 1), beat("b", 5)], at(2));
        assert_eq!(watch.silence("a", at(3)), Some(Duration::from_secs(1)));
        assert_eq!(watch.silence("b", at(3)), Some(Duration::from_secs(3)));
        assert_eq!(watch.silence("c", at(3)), None);
        watch.look(&[beat("a", 1)], at(4));
        assert_eq!(watch.silence("b", at(4)), None, "it has signed off");
        watch.forget();
        watch.look(&[beat("a", 1)], at(60));
        assert_eq!(watch.silence("a", at(61)), Some(Duration::from_secs(1)));
    }
}
