//! Calls per second: a bucket of permits that fills evenly.

use std::time::Duration;

use tokio::time::Instant;

/// Permits to place a call. Holds a tenth of a second's worth, at least one: carriers count short windows.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    permits: f64,
    filled_at: Instant,
}

impl Pace {
    /// Zero counts as one.
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            permits: 1.0,
            filled_at: now,
        }
    }

    /// Permits there are now.
    pub fn ready(&mut self, now: Instant) -> usize {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let most = (self.per_second / 10.0).max(1.0);
        self.permits = (self.permits + elapsed * self.per_second).min(most);
        self.filled_at = now;
        // A hair less than a whole permit is one: the wait below ends on a rounded nanosecond.
        (self.permits + 1e-6) as usize
    }

    /// Uses up permits.
    pub fn take(&mut self, count: usize) {
        self.permits -= count as f64;
    }

    /// How long until there is one.
    pub fn wait(&self) -> Duration {
        Duration::from_secs_f64(((1.0 - self.permits) / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls placed within `seconds` when the queue is never empty.
    fn placed(per_second: u32, seconds: u64) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(per_second, start);
        let (mut now, mut placed) = (start, 0);
        while now < start + Duration::from_secs(seconds) {
            let ready = pace.ready(now);
            pace.take(ready);
            placed += ready;
            now += pace.wait().max(Duration::from_millis(1));
        }
        placed
    }

    #[test]
    fn calls_are_spread_over_time() {
        assert_eq!(placed(1, 10), 10);
        assert_eq!(placed(0, 10), 10);
        assert!((490..=510).contains(&placed(50, 10)), "{}", placed(50, 10));
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(20, start);
        assert_eq!(pace.ready(start + Duration::from_secs(3600)), 2);
        let mut slow = Pace::new(1, start);
        assert_eq!(slow.ready(start + Duration::from_secs(3600)), 1);
    }
}
