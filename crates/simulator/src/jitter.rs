//! Chance from a seed: how the delays of a vendor scatter, and the ids that it makes up.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How the delays of a fake scatter. By default not at all, so that what is measured against known delays is
/// exact. The same seed gives the same delays, connection by connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Jitter {
    /// Where chance begins.
    pub seed: u64,
    /// So much may be added to a delay, or taken away, ms.
    pub around_ms: u64,
    /// One delay in a hundred is as long as this, ms; 0: none is.
    pub p99_ms: u64,
}

impl Jitter {
    /// The chance of the connection, or request, of this number.
    pub(crate) fn dice(self, number: u64) -> Dice {
        let seed = self.seed.rotate_left(32) ^ number;
        Dice {
            jitter: self,
            chance: StdRng::seed_from_u64(seed),
        }
    }
}

/// The chance of one connection.
#[derive(Debug)]
pub(crate) struct Dice {
    jitter: Jitter,
    chance: StdRng,
}

impl Dice {
    /// A delay that is usually as long as this.
    pub fn delay(&mut self, usual: Duration) -> Duration {
        let Jitter {
            around_ms, p99_ms, ..
        } = self.jitter;
        if around_ms == 0 && p99_ms == 0 {
            return usual;
        }
        let is_slow = self.chance.random_range(0..100) == 0;
        let around = Duration::from_millis(around_ms);
        let moved = Duration::from_micros(self.chance.random_range(0..=around_ms * 2000));
        match is_slow && p99_ms > 0 {
            true => usual.max(Duration::from_millis(p99_ms)),
            false => (usual + moved).saturating_sub(around),
        }
    }

    /// An id in the form of a UUID.
    pub fn id(&mut self) -> String {
        let bytes = self.chance.random();
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(100);

    fn drawn(jitter: Jitter, number: u64) -> (Vec<Duration>, String) {
        let mut dice = jitter.dice(number);
        let delays = (0..1000).map(|_| dice.delay(USUAL)).collect();
        (delays, dice.id())
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_others() {
        let jitter = Jitter {
            seed: 7,
            around_ms: 30,
            p99_ms: 900,
        };
        assert_eq!(drawn(jitter, 1), drawn(jitter, 1));
        assert_ne!(drawn(jitter, 1), drawn(jitter, 2));
        assert_ne!(drawn(jitter, 1), drawn(Jitter { seed: 8, ..jitter }, 1));
    }

    #[test]
    fn delays_lie_around_the_usual_one_but_for_one_in_a_hundred() {
        let jitter = Jitter {
            seed: 7,
            around_ms: 30,
            p99_ms: 900,
        };
        let (delays, _) = drawn(jitter, 1);
        let (slow, others): (Vec<&Duration>, Vec<&Duration>) =
            delays.iter().partition(|delay| delay.as_millis() == 900);
        assert!((1..50).contains(&slow.len()), "{}", slow.len());
        assert!(
            others
                .iter()
                .all(|delay| (70..=130).contains(&delay.as_millis()))
        );
        assert!(others.iter().any(|delay| **delay < USUAL));
        assert!(others.iter().any(|delay| **delay > USUAL));
    }

    #[test]
    fn without_jitter_delays_are_exact() {
        let (delays, _) = drawn(Jitter::default(), 1);
        assert!(delays.iter().all(|delay| *delay == USUAL));
    }
}
