//! Calls that nobody drives any more are brought to their end: no row is stuck, whatever crashed.
//! Source: runtime.md R202, R203; wire-telephony.md §5.2.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bolo_execution::{
    Change, Direction, EndReason, ExecutionId, Hangup, HangupBy, Record, Status, Transfer,
};
use bolo_store::{Error, Facts, Live, Watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Worker,
    clock::{ms, now_ms},
    dial::unless_late,
};

/// `Bolna Error` in the code space that clients know (wire-telephony.md §5.1).
const OUR_FAULT: u16 = 8011;
/// A carrier that can't be asked for this long is not waited for.
pub(crate) const CARRIER_AWAY: Duration = Duration::from_secs(600);

/// An ended call that no node has taken by then will not be taken, ms.
const NEVER_TAKEN_MS: i64 = 5_000;

/// How often old idempotency keys and callbacks are removed.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// When a call that was asked for may be asked for again.
type AskedAgain = HashMap<ExecutionId, Instant>;

impl Worker {
    pub(crate) async fn sweep_loop(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.timings.sweep_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut asked, mut watch) = (AskedAgain::new(), Watch::default());
        let work = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.sweep(&mut asked, &mut watch).await {
                    watch.forget();
                    tracing::error!(%error, "can't look after open calls");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
            () = self.forget_old() => {}
            () = self.hand_in_recordings() => {}
        }
    }

    /// Idempotency keys live for a day, callbacks for two, give or take this.
    async fn forget_old(&self) {
        let mut ticks = tokio::time::interval(FORGET_EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = self.store.forget_keys(now_ms()).await {
                tracing::warn!(%error, "old idempotency keys stay");
            }
            if let Err(error) = self.store.purge_callbacks(now_ms()).await {
                tracing::warn!(%error, "old callbacks stay");
            }
        }
    }

    /// What this node, or its former life, recorded of calls that others went on with.
    async fn hand_in_recordings(&self) {
        let quiet = self.settings.timings.left_behind;
        let mut ticks = tokio::time::interval(quiet);
        let mut watch = Watch::default();
        // Who is silent is known after a while only.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.hand_in_left(quiet, &mut watch).await {
                watch.forget();
                tracing::warn!(%error, "recordings are left on this node's disk");
            }
        }
    }

    async fn hand_in_left(&self, quiet: Duration, watch: &mut Watch) -> Result<(), Error> {
        let left = self.store.recordings().left_behind(quiet).await?;
        watch.look(&self.store.instances().await?, std::time::Instant::now());
        if left.is_empty() {
            return Ok(());
        }
        let open = self.store.open_calls(i64::MAX).await?;
        for id in left {
            let call = open.iter().find(|live| live.record.id == id);
            // One that no other node drives may still go on here.
            let is_driven = |live: &Live| {
                let silence = |owner: &str| watch.silence(owner, std::time::Instant::now());
                let owner = live
                    .owner
                    .as_deref()
                    .filter(|owner| *owner != self.store.instance());
                owner
                    .and_then(silence)
                    .is_some_and(|silence| silence < self.settings.timings.silent)
            };
            if self.store.signals().is_here(id) || call.is_some_and(|live| !is_driven(live)) {
                continue;
            }
            self.store.hand_in_recording(id).await?;
        }
        Ok(())
    }

    async fn sweep(&self, asked: &mut AskedAgain, watch: &mut Watch) -> Result<(), Error> {
        self.store.set_clock().await?;
        let freed = self.store.free_expired_claims(now_ms()).await?;
        if freed > 0 {
            tracing::warn!(freed, "claims ran out before their calls were dialled");
        }
        let purged = self.store.purge_deleted(now_ms()).await?;
        if purged > 0 {
            tracing::info!(purged, "deleted sub-accounts are removed");
        }
        watch.look(&self.store.instances().await?, std::time::Instant::now());
        // What was heard of later is no orphan.
        let quiet_ms = ms(self.settings.timings.no_news).min(self.settings.orphan_ms);
        let open = self.store.open_calls(now_ms() - quiet_ms).await?;
        asked.retain(|id, _| open.iter().any(|live| live.record.id == *id));
        for live in open {
            let id = live.record.id;
            if asked.get(&id).is_some_and(|again| *again > Instant::now())
                || !self.is_orphan(&live, watch)
            {
                continue;
            }
            // A call of ours may just have ended, and be about to write that down.
            let is_ours = live.owner.as_deref() == Some(self.store.instance());
            if is_ours && !asked.contains_key(&id) {
                asked.insert(id, Instant::now());
                continue;
            }
            asked.insert(id, Instant::now() + self.settings.timings.ask_again);
            if let Err(error) = self.look_after(&live).await {
                tracing::error!(execution = %id, %error, "can't look after an open call");
            }
        }
        Ok(())
    }

    /// Whether nobody drives the call, and nothing has happened to it for a while.
    fn is_orphan(&self, live: &Live, watch: &Watch) -> bool {
        let record = &live.record;
        let quiet_ms = now_ms() - record.updated_at;
        match record.status {
            Status::Initiated | Status::Ringing => {
                return quiet_ms > ms(self.settings.timings.no_news);
            }
            // Its tasks are under way, and they have an end.
            Status::CallDisconnected if record.post_call_step.is_some() => {
                let since = record.ended_at.unwrap_or(record.updated_at);
                return now_ms() - since > ms(self.settings.timings.post_call);
            }
            // Nobody ever took it: it ended before its media came.
            Status::CallDisconnected if live.owner.is_none() && quiet_ms > NEVER_TAKEN_MS => {
                return true;
            }
            // Its owner may hang in a step of R181, which has an end.
            Status::CallDisconnected if quiet_ms > ms(self.settings.timings.post_call) => {
                return true;
            }
            _ => {}
        }
        // Another process that owns it and lives, or has been silent for a short while only, drives it.
        let silence = live
            .owner
            .as_deref()
            .and_then(|owner| watch.silence(owner, std::time::Instant::now()));
        let is_driven = match live.owner.as_deref() {
            Some(owner) if owner == self.store.instance() => false,
            _ => silence.is_some_and(|silence| ms(silence) <= self.settings.orphan_ms),
        };
        let is_here = self.store.signals().is_here(record.id);
        // Another phone may ring for the caller meanwhile.
        let rings = record.transfer.as_ref().filter(|it| it.is_pending());
        let rings_ms = rings.map_or(0, |it| ms(Duration::from_secs(it.limit_s())));
        !is_here && !is_driven && quiet_ms > self.settings.orphan_ms + rings_ms
    }

    async fn look_after(&self, live: &Live) -> Result<(), Error> {
        let record = &live.record;
        match record.status {
            Status::CallDisconnected => self.finish(record).await,
            Status::InProgress => self.end_orphan(live).await,
            _ => self.ask(record).await,
        }
    }

    /// A dialled call without news: what does the carrier say?
    async fn ask(&self, record: &Record) -> Result<(), Error> {
        let state = match (
            self.carrier_of(record).await?,
            record.carrier_call_id.as_deref(),
        ) {
            (Ok(account), Some(call_id)) => account.carrier.fetch(call_id).await,
            (Ok(_), None) => Err(bolo_telephony::Error::NotFound),
            (Err(why), _) => Err(bolo_telephony::Error::Account(why)),
        };
        match state {
            Ok(state) => self.apply(record, &state).await,
            Err(bolo_telephony::Error::NotFound) => {
                let message = "telephony provider didn't respond".to_owned();
                let facts = Facts {
                    error_message: Some(message),
                    ..Facts::default()
                };
                tracing::warn!(execution = %record.id, "the carrier does not know a call that it took");
                unless_late(
                    self.change(record, Change::StopAsked, facts)
                        .await
                        .map(drop),
                )
            }
            Err(error) if is_given_up(record) => self.fault(record, error.to_string()).await,
            Err(error) => {
                tracing::warn!(execution = %record.id, %error, "can't ask the carrier for a call without news");
                Ok(())
            }
        }
    }

    /// A call in progress that nobody drives: hung up if it is still up, then finished with what there is.
    async fn end_orphan(&self, live: &Live) -> Result<(), Error> {
        let record = &live.record;
        if record.transfer.as_ref().is_some_and(Transfer::is_answered) {
            return self.end_transferred(record).await;
        }
        // Whoever opens a call's media takes it.
        let is_unreached = live.owner.is_none();
        if let (Ok(account), Some(call_id)) = (
            self.carrier_of(record).await?,
            record.carrier_call_id.as_deref(),
        ) {
            match account.carrier.fetch(call_id).await {
                Ok(mut state) if state.hangup.is_some() => {
                    // A caller of ours may have hung up before it was opened.
                    if is_unreached && record.direction == Direction::Outbound {
                        state.hangup = Some(Hangup::unreached());
                    }
                    self.apply(record, &state).await?;
                    return self.finish_if_ended(record.id).await;
                }
                Ok(_) => {
                    // It may have found an owner while the carrier was asked.
                    if self.store.owner_epoch(record.id).await? != live.epoch {
                        return Ok(());
                    }
                    // No phone rings so long: it was answered, and nobody here was told.
                    let transfer = record.transfer.as_ref();
                    if transfer.is_some_and(|it| it.status == Status::Ringing) {
                        return self.end_transferred(record).await;
                    }
                    tracing::warn!(execution = %record.id, call_id, "hanging up a call that nobody drives");
                    self.hang_up(record, account.carrier.as_ref(), call_id)
                        .await?;
                }
                Err(bolo_telephony::Error::NotFound) => {}
                Err(error) if !is_given_up(record) => {
                    tracing::warn!(execution = %record.id, %error, "can't ask the carrier for a call without an owner");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(execution = %record.id, %error, "ending a call without asking its carrier")
                }
            }
        }
        let stopped = Hangup {
            by: HangupBy::Error,
            reason: EndReason::InternalError.as_str().to_owned(),
            code: OUR_FAULT,
        };
        let (hangup, why) = match is_unreached {
            true => (
                Hangup::unreached(),
                "the carrier never opened the call's media",
            ),
            false => (stopped, "the server that held the call stopped"),
        };
        let facts = Facts {
            hangup: Some(hangup),
            error_message: Some(why.to_owned()),
            ..Facts::default()
        };
        unless_late(
            self.change(record, Change::MediaEnded, facts)
                .await
                .map(drop),
        )?;
        self.finish_if_ended(record.id).await
    }

    /// The caller talks with somebody else, and goes on: only our part is over (R114).
    async fn end_transferred(&self, record: &Record) -> Result<(), Error> {
        let facts = Facts {
            hangup: Some(Hangup::transferred()),
            happened_at: Some(record.updated_at),
            ..Facts::default()
        };
        let ended = self.change(record, Change::MediaEnded, facts).await;
        unless_late(ended.map(drop))?;
        self.finish_if_ended(record.id).await
    }

    async fn finish_if_ended(&self, id: ExecutionId) -> Result<(), Error> {
        let record = self.store.execution_unscoped(id).await?;
        match record.status {
            Status::CallDisconnected => self.finish(&record).await,
            _ => Ok(()),
        }
    }

    /// The record of an ended call: recording stored, transcript as far as it was written, `completed`.
    /// A dialled call of which nothing was heard is an error instead (wire-telephony.md §5.2).
    async fn finish(&self, record: &Record) -> Result<(), Error> {
        let has_recording = match self.store.recordings().finish_joined(record.id).await {
            Ok(()) => true,
            Err(Error::NotFound) => record.has_recording,
            Err(error) if now_ms() - record.updated_at < ms(self.settings.timings.post_call) => {
                return Err(error);
            }
            Err(error) => {
                tracing::error!(execution = %record.id, %error, "a recording is not stored");
                record.has_recording
            }
        };
        // A caller of ours may hang up before anything was said; a callee who picked up should have heard.
        let may_be_silent = record.direction == Direction::Inbound;
        if !has_recording && record.transcript.is_none() && !may_be_silent {
            return self
                .fault(
                    record,
                    "the call ended before its media reached the server".to_owned(),
                )
                .await;
        }
        tracing::info!(execution = %record.id, has_recording, "finishing a call that nobody drives");
        let facts = Facts {
            has_recording: Some(has_recording),
            ..Facts::default()
        };
        if record.post_call_step.is_none() && !self.post_call_steps(record).await?.is_empty() {
            unless_late(self.note(record, facts).await.map(drop))?;
            return self.store.begin_post_call(record.id, now_ms()).await;
        }
        unless_late(self.change(record, Change::Recorded, facts).await.map(drop))
    }
}

fn is_given_up(record: &Record) -> bool {
    now_ms() - record.updated_at > ms(CARRIER_AWAY)
}
