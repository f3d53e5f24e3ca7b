//! CPU and memory of the server's process, from `/proc`.

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
