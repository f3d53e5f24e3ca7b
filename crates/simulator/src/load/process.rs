//! CPU and memory of the server's process, and what the machine had of its processors, from `/proc`.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

use crate::Error;

/// Clock ticks a second of `/proc/PID/stat` on Linux.
const TICKS: f64 = 100.0;

/// One look at a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub cpu_s: f64,
    pub rss_kib: u64,
    pub threads: u64,
}

pub(super) fn sample(pid: u32) -> Result<Sample, Error> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|source| Error::Io { what: path, source })
    };
    let stat = read("stat")?;
    // The second field, the name, may hold blanks; it ends with the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or_default()
    };
    let status = read("status")?;
    let count = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.split_whitespace().next()?.parse().ok()
    };
    Ok(Sample {
        cpu_s: (ticks(11) + ticks(12)) / TICKS,
        rss_kib: count("VmRSS:").unwrap_or_default(),
        threads: count("Threads:").unwrap_or_default(),
    })
}

/// What all processors of this machine did since it started, in clock ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    all: u64,
    stolen: u64,
}

impl Machine {
    /// None on systems without `/proc/stat`.
    pub fn sample() -> Option<Self> {
        Some(Self::parse(&fs::read_to_string("/proc/stat").ok()?))
    }

    /// The first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal; guests' time, behind them,
    /// is in the first two (proc_stat(5)).
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let fields = line.split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        Self {
            all: ticks.iter().sum(),
            stolen: ticks.get(7).copied().unwrap_or_default(),
        }
    }

    /// The share of the processors' time that the machine's host gave to others since `before`, percent: time in
    /// which somebody here would have run.
    pub fn stolen_percent(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        let share = self.stolen.saturating_sub(before.stolen) as f64 / all as f64;
        (share * 1000.0).round() / 10.0
    }
}

/// Open file descriptors.
pub(super) fn descriptors(pid: u32) -> Result<usize, Error> {
    let path = format!("/proc/{pid}/fd");
    let open = fs::read_dir(&path).map_err(|source| Error::Io { what: path, source })?;
    Ok(open.count())
}

/// Watches a process for its peak of memory, until dropped.
pub(super) struct Watch {
    peak: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    pub fn start(pid: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let seen = peak.clone();
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(200));
            loop {
                beat.tick().await;
                // The process may be gone by now; its peak stays.
                let Ok(sample) = sample(pid) else { return };
                seen.fetch_max(sample.rss_kib, Ordering::Relaxed);
            }
        });
        Self {
            peak,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn peak_kib(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn what_the_host_took_is_a_share_of_all_time_and_guests_count_once() {
        let before =
            Machine::parse("cpu  100 0 100 700 0 0 0 100 50 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        let after = Machine::parse("cpu  200 0 150 1500 0 10 15 125 90 0\n");
        assert_eq!(after.stolen_percent(before), 2.5);
        assert_eq!(before.stolen_percent(before), 0.0);
        assert_eq!(Machine::parse("").stolen_percent(Machine::parse("")), 0.0);
    }
}
