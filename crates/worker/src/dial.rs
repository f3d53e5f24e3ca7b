//! The dial queue: claims what is due, at the pace that is set, and places each call once.
//! Source: wire-telephony.md §6.1.

use std::{sync::Arc, time::Duration};

use bolo_execution::{Change, Component, Entry, EntryKind, Record, comes_back};
use bolo_store::{Error, Facts, Watch, Work};
use bolo_telephony::{CallbackKind, Dial, Dialled, NotPlaced};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Worker,
    clock::{ms, now_ms},
    ledger::persist,
    pace::Pace,
    plan::{Agents, NoPlan},
    refusals::Refusals,
};

/// Dial requests on their way at once, of this node.
const DIALS_AT_ONCE: usize = 64;
/// A call that nothing is wrong with but that can't be dialled this moment.
const SOON: Duration = Duration::from_secs(5);

/// What the dial loop has under way.
struct Dialling {
    pace: Pace,
    dials: JoinSet<()>,
    watch: Watch,
    refusals: Arc<Refusals>,
    agents: Agents,
    /// Calls may be claimed that nobody here dials: the answer to a claim did not come, or did not in a former life.
    is_in_doubt: bool,
}

impl Worker {
    pub(crate) async fn dial_loop(
        self: Arc<Self>,
        drain: CancellationToken,
        stop: CancellationToken,
    ) {
        let mut dialling = Dialling {
            pace: Pace::new(self.settings.dials_per_second, Instant::now()),
            dials: JoinSet::new(),
            watch: Watch::default(),
            refusals: Arc::new(Refusals::new(self.settings.timings.refused)),
            agents: Agents::default(),
            is_in_doubt: true,
        };
        while !drain.is_cancelled() && !stop.is_cancelled() {
            let again = Instant::now() + self.dial_due(&mut dialling).await;
            let dials = &mut dialling.dials;
            let was_full = dials.len() == DIALS_AT_ONCE;
            loop {
                tokio::select! {
                    biased;
                    () = drain.cancelled() => break,
                    () = stop.cancelled() => break,
                    Some(ended) = dials.join_next(), if !dials.is_empty() => {
                        report(ended);
                        // Whatever else is over by now makes room in the same claim.
                        while let Some(ended) = dials.try_join_next() {
                            report(ended);
                        }
                        if was_full {
                            break;
                        }
                    }
                    () = self.store.signals().worker_woken(Work::Dials) => break,
                    () = tokio::time::sleep_until(again) => break,
                }
            }
        }
        // Whoever drops a request that has left doesn't know whether it rings.
        while let Some(ended) = dialling.dials.join_next().await {
            report(ended);
        }
    }

    /// Starts what may be started; tells how long to wait for more.
    async fn dial_due(self: &Arc<Self>, dialling: &mut Dialling) -> Duration {
        let poll = self.settings.timings.poll;
        if !self.knows_its_claims(dialling).await {
            return poll;
        }
        let Dialling {
            pace,
            dials,
            watch,
            refusals,
            agents,
            is_in_doubt,
        } = dialling;
        let limit = pace.ready(Instant::now()).min(DIALS_AT_ONCE - dials.len());
        if limit == 0 {
            return if dials.len() < DIALS_AT_ONCE {
                pace.wait()
            } else {
                poll
            };
        }
        // Mostly nothing is due, and room need not be known; but who of several nodes lives is told by looking on.
        let now = now_ms();
        let due = match self.store.due(now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "can't tell which calls are due");
                return poll;
            }
        };
        if due.is_empty() && !self.store.signals().has_others() {
            return until(due.next, poll);
        }
        let limit = match self.room(watch).await {
            Ok(0) => return poll,
            Ok(room) => limit.min(room),
            Err(error) => {
                tracing::error!(%error, "can't tell whether a node has room for a call");
                return poll;
            }
        };
        let lease = ms(self.settings.timings.claim);
        let held = refusals.held(Instant::now());
        let claimed = self.store.claim_from(due, &held, now, lease, limit as i64);
        let claimed = match claimed.await {
            Ok(claimed) => claimed,
            Err(error) => {
                *is_in_doubt = true;
                tracing::error!(%error, "can't claim due calls");
                return poll;
            }
        };
        let count = claimed.len();
        pace.take(count);
        for claimed in claimed {
            refusals.claimed(&claimed.record, Instant::now());
            let (worker, refusals, agents) = (self.clone(), refusals.clone(), agents.clone());
            dials.spawn(async move {
                let id = claimed.record.id;
                if let Err(error) = worker.dial(claimed.record, &agents, &refusals).await {
                    // The row tells what is left to do: its claim runs out, or its dial is looked up.
                    tracing::error!(execution = %id, %error, "a dial could not be carried through");
                }
            });
        }
        if count == limit {
            return pace.wait();
        }
        self.until_next(poll).await
    }

    /// Whether all that this process has claimed is being dialled. What it may have claimed unheard is freed once nothing
    /// else is, or it would wait until the claim runs out.
    async fn knows_its_claims(&self, dialling: &mut Dialling) -> bool {
        if dialling.is_in_doubt && dialling.dials.is_empty() {
            match self.store.free_own_claims().await {
                Ok(_) => dialling.is_in_doubt = false,
                Err(error) => tracing::warn!(%error, "calls that may be claimed wait"),
            }
        }
        !dialling.is_in_doubt
    }

    /// How long until another call is due, `poll` at most.
    async fn until_next(&self, poll: Duration) -> Duration {
        match self.store.next_due(now_ms()).await {
            Ok(next) => until(next, poll),
            Err(error) => {
                tracing::error!(%error, "can't tell when the next call is due");
                poll
            }
        }
    }

    /// One attempt: the intent is committed, then one request leaves.
    async fn dial(
        &self,
        mut record: Record,
        agents: &Agents,
        refusals: &Refusals,
    ) -> Result<(), Error> {
        let id = record.id;
        let plan = match self.plan(&record, agents).await {
            Ok(plan) => plan,
            Err(NoPlan::Faulty(message)) => return self.fault(&record, message).await,
            Err(NoPlan::OutsideHours(opens)) => {
                let facts = Facts {
                    due_at: Some(opens),
                    ..Facts::default()
                };
                let waits = self.change(&record, Change::OutsideHours, facts).await;
                return unless_late(waits.map(drop));
            }
            Err(NoPlan::WalletEmpty) => {
                let facts = Facts {
                    error_message: Some("the wallet is empty".to_owned()),
                    ..Facts::default()
                };
                let ended = self.change(&record, Change::WalletEmpty, facts).await;
                return unless_late(ended.map(drop));
            }
            Err(NoPlan::Store(error)) => {
                self.put_back(&record, SOON).await?;
                return Err(error);
            }
        };
        let since = now_ms();
        record.attempt = match self.store.intend_dial(id, plan.from.as_str(), since).await {
            Ok(attempt) => attempt,
            // Stopped meanwhile, or another dial of these numbers is of unknown outcome.
            Err(Error::Conflict(why)) => {
                tracing::debug!(execution = %id, why, "not dialled now");
                return self.put_back(&record, SOON).await;
            }
            // It may be written all the same. Nothing has left, so nothing is to be looked up.
            Err(error) => {
                let due_at = now_ms() + ms(SOON);
                let withdraw = || self.store.withdraw_dial(id, since, due_at, now_ms());
                given_back(persist(withdraw).await)?;
                return Err(error);
            }
        };
        let (carrier, attempt) = (plan.carrier.name(), record.attempt);
        let url = |kind| self.callbacks.url(kind, carrier, id, attempt);
        let dial = Dial {
            reference: self.callbacks.reference(carrier, id, attempt),
            to: plan.to,
            from: plan.from,
            answer_url: url(CallbackKind::Answer),
            fallback_url: url(CallbackKind::Answer),
            status_url: url(CallbackKind::Status),
            machine_url: plan.seeks_machines.then(|| url(CallbackKind::AnsweredBy)),
            ring: Duration::from_secs(self.settings.ring_s),
            limit: plan.limit,
            trunk: plan.trunk,
        };
        let outcome = plan.carrier.dial(&dial).await;
        metrics::counter!("bolo_dials_total", "carrier" => carrier, "outcome" => name_of(&outcome))
            .increment(1);
        let is_looked_into = match &outcome {
            Dialled::Accepted(_) => true,
            Dialled::Refused(why) => matches!(why, NotPlaced::Number(_) | NotPlaced::Account(_)),
            Dialled::Unknown(_) => false,
        };
        if is_looked_into && refusals.accepted(&record) {
            tracing::info!(account = %record.account, carrier, "the carrier takes the account's calls again");
        }
        match outcome {
            Dialled::Accepted(call_id) => {
                tracing::info!(execution = %id, account = %record.account, attempt, carrier, call_id, "dialled");
                let carrier = plan.carrier.as_ref();
                let rings = self.accepted(&record, carrier, &call_id).await?;
                if let Some(record) = rings.filter(|_| !carrier.tells_ringing()) {
                    (self.rings)(&record);
                }
                Ok(())
            }
            Dialled::Refused(NotPlaced::Later(wait)) => self.postpone(&record, wait).await,
            Dialled::Refused(NotPlaced::Number(hangup)) => {
                let facts = Facts {
                    error_message: Some(hangup.reason.clone()),
                    hangup: Some(hangup),
                    ..Facts::default()
                };
                let failed = self.change(&record, Change::CarrierFailed, facts).await;
                unless_late(failed.map(drop))?;
                self.settle(&record).await
            }
            Dialled::Refused(NotPlaced::Account(message)) => {
                self.fault(&record, message).await?;
                self.settle(&record).await
            }
            Dialled::Refused(NotPlaced::Credentials(message)) => {
                let is_known = refusals.refused(&record, Instant::now());
                if is_known && record.batch.is_some() {
                    return self.wait_for_account(&record, message).await;
                }
                if !is_known {
                    tracing::error!(account = %record.account, carrier, reason = message, "the carrier refuses an account: its other calls wait");
                }
                self.fault(&record, message).await?;
                self.settle(&record).await
            }
            Dialled::Unknown(why) => {
                // A callback or `reconcile_loop` finds out. Never dialled again.
                tracing::warn!(execution = %id, account = %record.account, attempt, why, "outcome of the dial unknown");
                Ok(())
            }
        }
    }

    /// The carrier refuses the account, and one call has been told so: this one waits in the queue.
    async fn wait_for_account(&self, record: &Record, message: String) -> Result<(), Error> {
        let message = format!("{message}; the call waits");
        tracing::warn!(execution = %record.id, account = %record.account, reason = message, "not dialled now");
        self.settle(record).await?;
        self.put_back(record, Duration::ZERO).await?;
        let entry = Entry::new(Component::System, EntryKind::Error, "", message);
        let log = self
            .store
            .append_log(record.account, record.id, entry, now_ms());
        log.await
    }

    /// The carrier asks to come back: nothing was placed.
    async fn postpone(&self, record: &Record, wait: Duration) -> Result<(), Error> {
        let tries = record.dials();
        let Some(doubled) = comes_back(tries, self.settings.timings.postponed) else {
            let message = format!(
                "{}: the call was not taken in {tries} attempts",
                record.provider
            );
            self.fault(record, message).await?;
            return self.settle(record).await;
        };
        self.settle(record).await?;
        self.put_back(record, wait.max(doubled)).await
    }

    /// Back into the queue, if it is still ours to put there.
    async fn put_back(&self, record: &Record, wait: Duration) -> Result<(), Error> {
        let due_at = now_ms() + ms(wait);
        given_back(persist(|| self.store.release(record.id, due_at, now_ms())).await)
    }
}

/// How long until then, `most` at most.
fn until(next: Option<i64>, most: Duration) -> Duration {
    match next.map(|at| at - now_ms()) {
        Some(wait) if wait > 0 => most.min(Duration::from_millis(wait as u64)),
        _ => most,
    }
}

/// What is no longer ours to give back is given back.
fn given_back(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Conflict(_)) => Ok(()),
        other => other,
    }
}

/// A change that came too late is no error: the first cause of an end stays, and so does another attempt.
pub(crate) fn unless_late(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(late @ (Error::Illegal(_) | Error::Superseded)) => {
            tracing::debug!(%late, "came too late");
            Ok(())
        }
        other => other,
    }
}

fn name_of(outcome: &Dialled) -> &'static str {
    match outcome {
        Dialled::Accepted(_) => "accepted",
        Dialled::Refused(NotPlaced::Later(_)) => "later",
        Dialled::Refused(NotPlaced::Number(_)) => "number",
        Dialled::Refused(NotPlaced::Account(_)) => "account",
        Dialled::Refused(NotPlaced::Credentials(_)) => "credentials",
        Dialled::Unknown(_) => "unknown",
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a dial task failed");
    }
}
