//! Many short calls, a bounded number at once: what the server still holds when it is idle again, after
//! the first of them and after all (lessons.md §4.2, figure 5).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{Api, Load, Target, number, process};
use crate::{
    Error,
    caller::{CallerScript, Line, Step, Then},
};

/// Calls before the first look: caches, pools and the allocator are warm then.
const WARM: usize = 1000;
/// The fakes forget finished calls this often.
const FORGET: usize = 500;
/// Longer than either side keeps unused connections (the server: 180 s).
const REST: Duration = Duration::from_secs(200);
/// The idle server's CPU is taken over this time.
const WATCHED: Duration = Duration::from_secs(10);

/// The object that `bolo simulate --at-once N --json` prints.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Soaked {
    /// Calls placed.
    pub calls: usize,
    /// Calls that did not end, steps that did not come to pass, complaints of the carrier.
    pub errors: usize,
    /// Processor seconds of the server a call, set-up and end included.
    pub cpu_s_per_call: f64,
    /// The idle server after the first calls.
    pub early: Idle,
    /// The idle server after all of them.
    pub late: Idle,
}

/// What an idle server holds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Idle {
    /// Calls so far.
    pub calls: usize,
    /// Memory, KiB.
    pub rss_kib: u64,
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
    /// Tasks of its runtime, as `/metrics` tells; absent where it doesn't.
    pub tasks: Option<u64>,
    /// Share of one core, percent.
    pub cpu_percent: f64,
}

impl Load {
    /// Places the plan's calls, `at_once` at a time; each caller hears the welcome, says a line, hears
    /// the answer and hangs up.
    pub async fn soak(&self, target: &Target, at_once: usize) -> Result<Soaked, Error> {
        let pid = target
            .pid
            .ok_or_else(|| Error::Peer("the server's process is not known".into()))?;
        let api = self.reach(target)?;
        let agent = api.create_agent(&self.agent()).await?;
        self.carrier.default_script(short());
        let warm = WARM.min(self.plan.calls / 2);
        let begun = process::sample(pid)?.cpu_s;
        let mut soaked = Soaked {
            calls: self.plan.calls,
            ..Soaked::default()
        };
        soaked.errors += self.place(&api, &agent, 0..warm, at_once).await;
        let used = process::sample(pid)?.cpu_s - begun;
        soaked.early = idle(&api, pid, warm).await?;
        let begun = process::sample(pid)?.cpu_s - used;
        soaked.errors += self
            .place(&api, &agent, warm..self.plan.calls, at_once)
            .await;
        let used = process::sample(pid)?.cpu_s - begun;
        soaked.cpu_s_per_call = used / self.plan.calls.max(1) as f64;
        soaked.late = idle(&api, pid, self.plan.calls).await?;
        Ok(soaked)
    }

    /// Errors of these calls.
    async fn place(
        &self,
        api: &Api,
        agent: &str,
        calls: std::ops::Range<usize>,
        at_once: usize,
    ) -> usize {
        let each = stream::iter(calls).map(|call| async move {
            let body = json!({"agent_id": agent, "recipient_phone_number": number(call)});
            if let Err(error) = api.post("/call", &body).await {
                tracing::warn!(%error, call, "not placed");
                return (call, 1);
            }
            let Ok(handle) = self.carrier.dialled(&number(call)).await else {
                return (call, 1);
            };
            let complaints = match handle.ended().await {
                Ok(_) => [handle.failures(), handle.warnings()].concat(),
                Err(missed) => vec![missed.to_string()],
            };
            for complaint in &complaints {
                tracing::warn!(call, complaint, "not as it should be");
            }
            (call, complaints.len())
        });
        let mut ended = std::pin::pin!(each.buffer_unordered(at_once.max(1)));
        let mut errors = 0;
        while let Some((call, failed)) = ended.next().await {
            errors += failed;
            if call % FORGET == 0 {
                self.carrier.forget_finished();
                self.told.forget();
            }
        }
        errors
    }
}

fn short() -> CallerScript {
    CallerScript {
        steps: vec![
            Step::WaitForAgent { silence_ms: 200 },
            Step::Say(Line::Tone("here is a note".into())),
            Step::WaitForAgent { silence_ms: 200 },
        ],
        then: Then::HangUp,
        patience_ms: 60_000,
        ..CallerScript::default()
    }
}

async fn idle(api: &Api, pid: u32, calls: usize) -> Result<Idle, Error> {
    tokio::time::sleep(REST).await;
    let before = process::sample(pid)?;
    tokio::time::sleep(WATCHED).await;
    let after = process::sample(pid)?;
    Ok(Idle {
        calls,
        rss_kib: after.rss_kib,
        descriptors: process::descriptors(pid)?,
        threads: after.threads,
        tasks: api.tasks().await,
        cpu_percent: (after.cpu_s - before.cpu_s) / WATCHED.as_secs_f64() * 100.0,
    })
}

impl Api {
    /// The server's own count of its tasks, if it tells it.
    async fn tasks(&self) -> Option<u64> {
        let url = format!("{}/metrics", self.target.base_url);
        let text = self.http.get(url).send().await.ok()?.text().await.ok()?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("bolo_tasks "))?;
        value.trim().parse::<f64>().ok().map(|count| count as u64)
    }
}
