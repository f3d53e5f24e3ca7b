//! What a carrier holds back: echoes of marks, and messages of audio on a line that shakes.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::faults::CallFaults;

/// A mark on its way back.
pub(super) struct Echo {
    pub name: String,
    /// By a clear, not because it was reached.
    pub cleared: bool,
}

/// Marks on their way back.
pub(super) struct Echoes {
    late: Duration,
    reversed: bool,
    waiting: VecDeque<(Instant, Echo)>,
}

impl Echoes {
    pub fn new(faults: &CallFaults) -> Self {
        Self {
            late: Duration::from_millis(faults.late_echo_ms),
            reversed: faults.reversed_echo,
            waiting: VecDeque::new(),
        }
    }

    pub fn push(&mut self, name: String, cleared: bool) {
        let echo = Echo { name, cleared };
        self.waiting.push_back((Instant::now() + self.late, echo));
    }

    /// Those whose time has come.
    pub fn due(&mut self) -> Vec<Echo> {
        let now = Instant::now();
        let due = self.waiting.partition_point(|(at, _)| *at <= now);
        if self.reversed && due > 0 {
            return self.waiting.drain(..).rev().map(|(_, echo)| echo).collect();
        }
        self.waiting.drain(..due).map(|(_, echo)| echo).collect()
    }
}

/// When messages of audio leave: some late, none before an earlier one.
pub(super) struct Shaking<T> {
    seed: u64,
    jitter_ms: u64,
    bursts_ms: u64,
    /// Messages so far.
    count: u64,
    last_ms: u64,
    waiting: VecDeque<(u64, T)>,
}

impl<T> Shaking<T> {
    /// `None` on a line that does not shake.
    pub fn new(faults: &CallFaults) -> Option<Self> {
        (faults.jitter_ms > 0 || faults.bursts_ms > 0).then_some(Self {
            seed: faults.seed,
            jitter_ms: faults.jitter_ms,
            bursts_ms: faults.bursts_ms,
            count: 0,
            last_ms: 0,
            waiting: VecDeque::new(),
        })
    }

    /// A message that would leave then, milliseconds since the stream's start.
    pub fn push(&mut self, ms: u64, message: T) {
        let late = mixed(self.seed, self.count) % (self.jitter_ms + 1);
        self.count += 1;
        let mut ms = ms + late;
        if self.bursts_ms > 0 {
            ms = ms.next_multiple_of(self.bursts_ms);
        }
        self.last_ms = self.last_ms.max(ms);
        self.waiting.push_back((self.last_ms, message));
    }

    /// The next message, if its time has come.
    pub fn due(&mut self, now_ms: u64) -> Option<T> {
        let (_, message) = self.waiting.pop_front_if(|(ms, _)| *ms <= now_ms)?;
        Some(message)
    }
}

/// A number like any other, and always the same for a seed and a place (splitmix64).
fn mixed(seed: u64, place: u64) -> u64 {
    let mut number = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// When each of a hundred messages of 20 ms leaves.
    fn times(faults: &CallFaults) -> Vec<u64> {
        let mut line = Shaking::new(faults).unwrap();
        (0..100).for_each(|n| line.push(n * 20, ()));
        line.waiting.iter().map(|(ms, ())| *ms).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let faults = |seed| CallFaults {
            jitter_ms: 200,
            seed,
            ..CallFaults::default()
        };
        let shaken = times(&faults(1));
        assert_eq!(shaken, times(&faults(1)));
        assert_ne!(shaken, times(&faults(2)));
        assert!(shaken.is_sorted());
        let late: Vec<u64> = (0..).zip(&shaken).map(|(n, ms)| ms - n * 20).collect();
        assert!(late.iter().all(|ms| *ms <= 200) && late.iter().any(|ms| *ms > 100));
    }

    #[test]
    fn bursts_leave_together() {
        let faults = CallFaults {
            bursts_ms: 1000,
            ..CallFaults::default()
        };
        let mut burst = times(&faults);
        burst.dedup();
        assert_eq!(burst, [0, 1000, 2000]);
        assert!(Shaking::<()>::new(&CallFaults::default()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn echoes_come_late_and_in_reverse() {
        let faults = CallFaults {
            late_echo_ms: 300,
            reversed_echo: true,
            ..CallFaults::default()
        };
        let mut echoes = Echoes::new(&faults);
        let due = |echoes: &mut Echoes| -> Vec<String> {
            echoes.due().into_iter().map(|echo| echo.name).collect()
        };
        echoes.push("1".into(), false);
        tokio::time::advance(Duration::from_millis(200)).await;
        echoes.push("2".into(), false);
        assert_eq!(due(&mut echoes), [""; 0]);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(due(&mut echoes), ["2", "1"]);
        let mut prompt = Echoes::new(&CallFaults::default());
        prompt.push("3".into(), true);
        assert_eq!(due(&mut prompt), ["3"]);
    }
}
