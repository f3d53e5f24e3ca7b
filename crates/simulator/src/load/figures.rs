//! What a load run found.

use serde::Serialize;

use super::Statuses;

/// The object that `bolo simulate --json` prints.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Calls placed.
    pub calls: usize,
    /// Turns that the transcriber ended; with a free script: lines that the callers said.
    pub turns: usize,
    /// Turns that were answered.
    pub turns_ok: usize,
    /// Calls that did not end, steps that did not come to pass, complaints of the carrier.
    pub errors: usize,
    /// The server's own time a turn: turn end sent by the transcriber → first audio of the answer at the
    /// carrier, less the vendors' delays and what their fakes came late themselves. Milliseconds. Not with a free
    /// script.
    pub added_ms: Option<Spread>,
    /// Barge-ins that cut the agent.
    pub barge_ins: usize,
    /// The caller's first sound into the agent → the text that cuts it left the transcriber, ms. Not with a
    /// free script, nor are the next three.
    pub barge_rule_ms: Option<Barge>,
    /// That text → the clear arrived at the carrier, ms.
    pub barge_clear_ms: Option<Barge>,
    /// That text → the agent is silent at the caller's ear, ms: with what the carrier had still to play.
    pub barge_quiet_ms: Option<Barge>,
    /// The caller's first sound into the agent → the agent is silent at the caller's ear, ms: the caller's
    /// words, the transcriber, the server, and what the carrier had still to play.
    pub cut_off_ms: Option<Barge>,
    /// With a free script: the end of a caller's line → first audio of the answer at the carrier, ms.
    /// The transcriber's wait for the end of the turn and the vendors' time are in it.
    pub answer_ms: Option<Spread>,
    /// Processor seconds of the server a minute of call. Not of a server that runs elsewhere.
    pub cpu_s_per_call_minute: Option<f64>,
    /// Share of this machine's processors' time that its host gave to others meanwhile, percent: turns come late by
    /// it, the server's as well as the relay's. Linux only.
    pub stolen_percent: Option<f64>,
    /// Memory of the server: (peak − before) / calls, KiB. Not of a server that runs elsewhere.
    pub kib_per_call: Option<f64>,
    /// What the carrier saw.
    pub dials: Dials,
    /// Final statuses of the executions.
    pub statuses: Statuses,
    /// How late the generator's own frames were, p99, ms: read the rest with care where it is large.
    pub lag_ms: f64,
}

/// Percentiles, ms.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)]
pub struct Spread {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// Percentiles of barge-ins, ms.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)]
pub struct Barge {
    pub p50: f64,
    pub p99: f64,
}

/// Dial requests that reached the carrier.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)]
pub struct Dials {
    pub placed: usize,
    pub duplicate: usize,
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = ((sorted.len() as f64 * share).ceil() as usize)
        .saturating_sub(1)
        .min(last);
    sorted
        .get(index)
        .map_or(0.0, |value| (value * 100.0).round() / 100.0)
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            p50: at(&values, 0.5),
            p95: at(&values, 0.95),
            p99: at(&values, 0.99),
            max: at(&values, 1.0),
        }
    }
}

impl Barge {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            p50: at(&values, 0.5),
            p99: at(&values, 0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            (spread.p50, spread.p95, spread.p99, spread.max),
            (50.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(Barge::of(Vec::new()).p99, 0.0);
    }
}
