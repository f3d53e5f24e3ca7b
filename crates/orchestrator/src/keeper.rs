//! What has to be looked after once a second while anything is live: heartbeats of the calls this node
//! owns, what their rows say that no message told, and preparations whose media never came. Sleeps while
//! there is nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bolo_audio::Format;
use bolo_execution::{ExecutionId, Record, Status};
use bolo_store::{Command, Error, Instance, SILENT, Watch};
use dashmap::DashMap;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Inner, now,
    prepare::{PrepareError, Prepared},
};

/// A preparation is kept this long.
const KEPT: Duration = Duration::from_secs(60);
/// One whose transcriber is paid for meanwhile (wire-providers.md §10.1).
const KEPT_PAID: Duration = Duration::from_secs(25);
const BEAT: Duration = Duration::from_secs(1);
/// What carriers send until their socket says otherwise.
const USUAL: Format = Format::Mulaw8k;

struct Preparing {
    since: Instant,
    is_paid: Arc<AtomicBool>,
    task: AbortOnDropHandle<Result<Prepared, PrepareError>>,
}

/// Calls whose phone rings: bounded, and forgotten after a minute.
pub(crate) struct Waiting {
    calls: DashMap<ExecutionId, Preparing>,
    most: usize,
    kept: AtomicBool,
}

impl Waiting {
    /// For a node of so many calls: twice as many may ring.
    pub(crate) fn new(max_calls: usize) -> Self {
        Self {
            calls: DashMap::new(),
            most: max_calls.saturating_mul(2).max(16),
            kept: AtomicBool::new(false),
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.calls.clear();
    }

    /// Forgets those that nobody has answered.
    fn forget_old(&self) {
        self.calls.retain(|_, preparing| {
            let kept = match preparing.is_paid.load(Ordering::Relaxed) {
                true => KEPT_PAID,
                false => KEPT,
            };
            preparing.since.elapsed() < kept
        });
    }

    /// Forgets one.
    pub(crate) fn forget(&self, id: ExecutionId) {
        self.calls.remove(&id);
    }

    /// Puts a preparation of a test's own making.
    #[cfg(test)]
    pub(crate) fn put(&self, id: ExecutionId, prepared: Prepared) {
        let preparing = Preparing {
            since: Instant::now(),
            is_paid: Arc::new(prepared.bills_open_time.into()),
            task: AbortOnDropHandle::new(tokio::spawn(std::future::ready(Ok(prepared)))),
        };
        self.calls.insert(id, preparing);
    }

    /// Takes what was prepared for a call, once it is ready.
    pub(crate) async fn take(&self, id: ExecutionId) -> Option<Prepared> {
        let (_, preparing) = self.calls.remove(&id)?;
        match preparing.task.await {
            Ok(Ok(prepared)) => Some(prepared),
            Ok(Err(error)) => {
                tracing::warn!(execution_id = %id, %error, "a call could not be prepared");
                None
            }
            Err(_) => None,
        }
    }
}

/// Starts preparing a call, unless that was begun already.
pub(crate) fn prepare(inner: &Arc<Inner>, record: &Record) {
    let waiting = &inner.waiting;
    if waiting.calls.len() >= waiting.most {
        tracing::warn!("too many calls ring at once: this one is set up when it is answered");
        return;
    }
    waiting.calls.entry(record.id).or_insert_with(|| {
        let (owner, record) = (inner.clone(), record.clone());
        let is_paid = Arc::new(AtomicBool::default());
        let told = is_paid.clone();
        let task = tokio::spawn(async move {
            let prepared = owner.prepare(&record, USUAL).await?;
            told.store(prepared.bills_open_time, Ordering::Relaxed);
            Ok(prepared)
        });
        Preparing {
            since: Instant::now(),
            is_paid,
            task: AbortOnDropHandle::new(task),
        }
    });
    keep(inner);
}

/// Makes sure that somebody looks after this node.
pub(crate) fn keep(inner: &Arc<Inner>) {
    if inner.waiting.kept.swap(true, Ordering::AcqRel) {
        return;
    }
    let weak = Arc::downgrade(inner);
    inner.tasks.spawn(async move {
        let mut watch = Watch::default();
        let mut was_live = false;
        loop {
            tokio::time::sleep(BEAT).await;
            let Some(inner) = weak.upgrade() else { return };
            inner.waiting.forget_old();
            // Other nodes want to know of this one though it has no calls.
            let is_told = inner.store.signals().has_others() && !inner.draining.is_cancelled();
            let is_live = !inner.live.is_empty();
            // Once more after the last call: there is room again.
            if is_live || std::mem::replace(&mut was_live, is_live) || is_told {
                was_live = is_live;
                if let Err(error) = look_after(&inner, &mut watch).await {
                    watch.forget();
                    tracing::warn!(%error, "no heartbeat for this node's calls");
                }
            }
            if !is_told && inner.live.is_empty() && inner.waiting.calls.is_empty() {
                inner.waiting.kept.store(false, Ordering::Release);
                // Whoever came in between saw `kept` and relies on this task.
                if inner.live.is_empty() && inner.waiting.calls.is_empty() {
                    return;
                }
                if inner.waiting.kept.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    });
}

/// Tells that this node lives, and its calls what their rows say.
async fn look_after(inner: &Inner, watch: &mut Watch) -> Result<(), Error> {
    inner.store.heartbeat(now(), inner.room()).await?;
    if inner.store.signals().has_others() {
        let instances = inner.store.instances().await?;
        inner
            .room_elsewhere
            .store(room_elsewhere(inner, watch, &instances), Ordering::Relaxed);
    }
    // Before the rows are read: what is taken after that is not looked for in them.
    let calls: Vec<(ExecutionId, i64)> = inner
        .live
        .iter()
        .map(|call| (*call.key(), call.epoch.load(Ordering::Relaxed)))
        .filter(|(_, epoch)| *epoch > 0)
        .collect();
    let rows = inner.store.owned_calls().await?;
    for (id, epoch) in calls {
        let command = match rows.get(&id) {
            Some(row) if row.epoch == epoch && row.status == Status::Stopped => Command::Stop,
            Some(row) if row.epoch == epoch => continue,
            _ => Command::TakenOver { epoch: epoch + 1 },
        };
        inner.store.signals().tell_here(id, command);
    }
    // The other phone's answer may have come to a node that could not tell this one.
    if inner.store.signals().has_others() {
        for id in inner.store.taken_callers().await? {
            let signals = inner.store.signals();
            signals.tell_here(id, Command::TransferConnected);
        }
    }
    Ok(())
}

/// Calls that the other nodes that live may still take.
fn room_elsewhere(inner: &Inner, watch: &mut Watch, instances: &[Instance]) -> i64 {
    let now = std::time::Instant::now();
    watch.look(instances, now);
    let lives = |name: &str| {
        watch
            .silence(name, now)
            .is_some_and(|silence| silence < SILENT)
    };
    instances
        .iter()
        .filter(|other| other.name != inner.store.instance() && lives(&other.name))
        .fold(0, |sum, other| sum.saturating_add(other.room))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;

    use bolo_agent::Agent;
    use bolo_execution::Direction;
    use serde_json::json;

    use super::*;
    use crate::{bench, clips::Clips, prepare::assemble};

    #[tokio::test(start_paused = true)]
    async fn a_transcriber_that_is_paid_while_it_waits_is_let_go_sooner() {
        let waiting = Waiting::new(8);
        let ids: Vec<ExecutionId> = [false, true]
            .into_iter()
            .map(|bills_open_time| {
                let agent = Agent::parse(&bench::agent("Hi.", json!({}))).unwrap();
                let record = bench::record(Direction::Outbound);
                let prepared = assemble(
                    Arc::new(agent),
                    HashMap::new(),
                    &record,
                    USUAL,
                    bench::cast(&[]).1,
                    None,
                    &bolo_conversation::Rules::default(),
                    &Clips::new(1 << 20),
                );
                waiting.put(
                    record.id,
                    Prepared {
                        bills_open_time,
                        ..prepared
                    },
                );
                record.id
            })
            .collect();
        let kept = || ids.iter().map(|id| waiting.calls.contains_key(id));
        for (s, expected) in [(24, [true, true]), (1, [true, false]), (35, [false, false])] {
            tokio::time::advance(Duration::from_secs(s)).await;
            waiting.forget_old();
            assert!(kept().eq(expected), "{s}");
        }
    }
}
