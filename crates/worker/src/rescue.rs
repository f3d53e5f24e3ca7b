//! Calls whose machine vanished without a word: their carrier still talks to a socket that nobody serves, so
//! it is told to ask for another one. Source: wire-telephony.md §6.2, "machine vanishes silently".

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bolo_store::{Error, Instance, Lost, Watch};
use bolo_telephony::CallbackKind;
use futures_util::{StreamExt, stream};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{Worker, clock::now_ms};

/// A silent node that has left nothing is forgotten after this long.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Carriers asked at once.
const AT_ONCE: usize = 32;
/// Who was told to move a call and did not has so many tries, one each [`Timings::rescue_again`].
///
/// [`Timings::rescue_again`]: crate::Timings
const TRIES: u64 = 100;

impl Worker {
    pub(crate) async fn rescue_loop(self: Arc<Self>, stop: CancellationToken) {
        let timings = &self.settings.timings;
        let mut ticks = tokio::time::interval(timings.watch_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        let mut looked = Instant::now();
        let work = async {
            if !self.store.signals().has_others() {
                match self.store.free_former_claims().await {
                    Ok(0) => {}
                    Ok(freed) => {
                        tracing::info!(freed, "calls claimed before this start are dialled")
                    }
                    Err(error) => tracing::warn!(%error, "calls claimed before this start wait"),
                }
            }
            loop {
                ticks.tick().await;
                // Whoever was stopped himself has seen nothing.
                if looked.elapsed() > timings.silent {
                    watch.forget();
                }
                looked = Instant::now();
                match self.rescue_all(&mut watch).await {
                    // Only what this node's former life has left, and that is seen at once.
                    Ok(0) if !self.store.signals().has_others() => {
                        tokio::time::sleep(timings.sweep_every).await;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        watch.forget();
                        tracing::warn!(%error, "can't look after the calls of other nodes");
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Tells how many other instances there are.
    async fn rescue_all(&self, watch: &mut Watch) -> Result<usize, Error> {
        let mut instances = self.store.instances().await?;
        instances.retain(|instance| instance.name != self.store.instance());
        let now = Instant::now();
        watch.look(&instances, now);
        for instance in &instances {
            let silence = watch.silence(&instance.name, now).unwrap_or_default();
            if silence < self.settings.timings.silent {
                continue;
            }
            let nth = silence.as_secs() / self.settings.timings.rescue_again.as_secs().max(1);
            let calls = self.rescue(instance, nth.min(TRIES - 1)).await?;
            let freed = self.store.free_lost_claims(instance).await?;
            if freed > 0 {
                tracing::warn!(freed, "a silent node had claimed calls: others dial them");
            }
            if calls == 0 && silence > FORGOTTEN {
                self.store.forget_instance(instance).await?;
            }
        }
        Ok(instances.len())
    }

    /// The calls of an instance that is silent, `nth` try; how many it still has.
    async fn rescue(&self, instance: &Instance, nth: u64) -> Result<usize, Error> {
        let lost = self.store.lost_calls(instance).await?;
        let calls = lost.len();
        let Some(one) = lost.first() else {
            return Ok(0);
        };
        // A database that keeps heartbeats waiting is no death.
        if self.store.signals().answers(one.record.id).await {
            return Ok(calls);
        }
        let redirect = async |lost: Lost| {
            let id = lost.record.id;
            if let Err(error) = self.redirect(&lost, nth).await {
                tracing::warn!(execution = %id, %error, "a call of a silent node can't be moved");
            }
        };
        stream::iter(lost)
            .for_each_concurrent(AT_ONCE, redirect)
            .await;
        Ok(calls)
    }

    async fn redirect(&self, lost: &Lost, nth: u64) -> Result<(), Error> {
        let record = &lost.record;
        // With whom a caller talks who was transferred is the carrier's to know.
        let is_away = record
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.is_pending() || transfer.is_answered());
        let Some(call_id) = record.carrier_call_id.as_deref().filter(|_| !is_away) else {
            return Ok(());
        };
        let Ok(account) = self.carrier_of(record).await? else {
            return Ok(()); // no carrier's call
        };
        let place = lost.epoch.unsigned_abs() * TRIES + nth;
        let first = self
            .store
            .first_callback(&record.provider, call_id, "rescue", place, now_ms())
            .await?;
        if !first {
            return Ok(()); // another node's worker was faster
        }
        let url = self.callbacks.url(
            CallbackKind::Resume,
            account.carrier.name(),
            record.id,
            record.attempt,
        );
        tracing::warn!(execution = %record.id, call_id, "the node of a call is silent: the carrier is told to ask another");
        match account.carrier.redirect(call_id, &url).await {
            // Over: whoever sweeps will find it.
            Ok(()) | Err(bolo_telephony::Error::NotFound) => Ok(()),
            Err(error) => Err(Error::Unavailable(error.to_string())),
        }
    }
}
