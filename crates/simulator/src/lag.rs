//! How late the load generator itself runs, cheaply: a histogram in half milliseconds.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const BUCKETS: usize = 1000;

/// Lateness of frames against their schedule.
#[derive(Debug)]
pub(crate) struct Lag {
    buckets: Vec<AtomicU64>,
    max_us: AtomicU64,
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Lag {
    pub fn note(&self, late: Duration) {
        let us = late.as_micros() as u64;
        let bucket = (us / 500).min(BUCKETS as u64 - 1) as usize;
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    /// p50, p99 and maximum, milliseconds; zeros when nothing was noted.
    pub fn figures(&self) -> (f64, f64, f64) {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        let at = |share: f64| {
            let mut left = (total as f64 * share) as u64;
            for (n, count) in counts.iter().enumerate() {
                if *count > left {
                    return n as f64 * 0.5;
                }
                left -= count;
            }
            0.0
        };
        (
            at(0.5),
            at(0.99),
            self.max_us.load(Ordering::Relaxed) as f64 / 1000.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_lateness() {
        let lag = Lag::default();
        assert_eq!(lag.figures(), (0.0, 0.0, 0.0));
        for ms in 0..100 {
            lag.note(Duration::from_millis(ms));
        }
        assert_eq!(lag.figures(), (50.0, 99.0, 99.0));
    }
}
