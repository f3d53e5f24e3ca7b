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
const BEAT: Duration = Duration::from_secs(1);
/// What carriers send until their socket says otherwise.
const USUAL: Format = Format::Mulaw8k;

struct Preparing {
    since: Instant,
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

    /// Forgets one.
    pub(crate) fn forget(&self, id: ExecutionId) {
        self.calls.remove(&id);
    }

    /// Puts a preparation of a test's own making.
    #[cfg(test)]
    pub(crate) fn put(&self, id: ExecutionId, prepared: Prepared) {
        let task = AbortOnDropHandle::new(tokio::spawn(std::future::ready(Ok(prepared))));
        let since = Instant::now();
        self.calls.insert(id, Preparing { since, task });
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
        let task = tokio::spawn(async move { owner.prepare(&record, USUAL).await });
        Preparing {
            since: Instant::now(),
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
            inner
                .waiting
                .calls
                .retain(|_, preparing| preparing.since.elapsed() < KEPT);
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
