//! The server beside a bare relay of the same sockets, both measured in one run.

use bolo_simulator::load::Report;
use serde::Serialize;

/// The object that `bolo simulate --beside-relay --json` prints.
#[derive(Serialize)]
pub(super) struct Compared {
    /// Calls of each.
    calls: usize,
    /// The server's CPU over the relay's.
    times_cpu: Option<f64>,
    /// What the server adds to a turn, less what the relay adds, ms.
    more_ms: Option<More>,
    relay: Report,
    pub(super) server: Report,
}

#[derive(Serialize)]
struct More {
    p50: f64,
    p99: f64,
}

impl Compared {
    pub(super) fn new(relay: Report, server: Report) -> Self {
        let round = |value: f64| (value * 100.0).round() / 100.0;
        let cpu = server
            .cpu_s_per_call_minute
            .zip(relay.cpu_s_per_call_minute);
        let added = server.added_ms.as_ref().zip(relay.added_ms.as_ref());
        Self {
            calls: server.calls,
            times_cpu: cpu.map(|(server, relay)| round(server / relay.max(f64::EPSILON))),
            more_ms: added.map(|(server, relay)| More {
                p50: round(server.p50 - relay.p50),
                p99: round(server.p99 - relay.p99),
            }),
            relay,
            server,
        }
    }

    /// In words.
    pub(super) fn show(&self) {
        if let Some(times) = self.times_cpu {
            println!("CPU            {times} times that of a bare relay");
        }
        if let Some(more) = &self.more_ms {
            println!(
                "added          {} ms more than the relay at p50, {} at p99",
                more.p50, more.p99
            );
        }
        if let Some(kib) = self.relay.kib_per_call {
            println!("relay's memory {kib:.0} KiB a call");
        }
    }
}
