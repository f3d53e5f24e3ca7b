//! Dials whose outcome nobody knows: the reply was lost, or the node that dialled died. They are looked
//! up at the carrier, bound or given up, and never repeated. Source: wire-telephony.md §6.1.

use std::sync::Arc;

use bolo_execution::Record;
use bolo_store::{Error, Intent};
use bolo_telephony::{CallState, CarrierAccount, LostDial};
use futures_util::{StreamExt, stream};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    Worker,
    clock::{ms, now_ms},
    sweep::CARRIER_AWAY,
};

/// Look-ups at once.
const LOOKUPS_AT_ONCE: usize = 8;
/// The carrier's clock may be this far behind ours.
const CLOCK_SLACK_MS: i64 = 5_000;

/// What a look-up comes to.
enum Search {
    Found(CarrierAccount, CallState),
    Nowhere,
    /// The carrier can't be asked.
    NotNow(String),
}

impl Worker {
    pub(crate) async fn reconcile_loop(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.timings.lookup_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                ticks.tick().await;
                self.reconcile().await;
            }
        };
        // Nothing is lost by leaving a look-up: the row waits for the next one.
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn reconcile(&self) {
        let before = now_ms() - ms(self.settings.timings.callback_wait);
        let intents = match self.store.unsettled_dials(before).await {
            Ok(intents) => intents,
            Err(error) => return tracing::error!(%error, "can't read the dials of unknown outcome"),
        };
        let look_up = async |intent: Intent| {
            let id = intent.record.id;
            if let Err(error) = self.look_up(&intent).await {
                tracing::error!(execution = %id, %error, "can't look up a dial of unknown outcome");
            }
        };
        stream::iter(intents)
            .for_each_concurrent(LOOKUPS_AT_ONCE, look_up)
            .await;
    }

    async fn look_up(&self, intent: &Intent) -> Result<(), Error> {
        let record = &intent.record;
        let age_ms = now_ms() - intent.since;
        match self.find(intent).await? {
            Search::Found(account, state) => {
                tracing::info!(execution = %record.id, call_id = state.id, "found a dial of unknown outcome");
                self.accepted(record, account.carrier.as_ref(), &state.id)
                    .await?;
                self.apply(record, &state).await
            }
            Search::Nowhere if age_ms >= ms(self.settings.lookup_for) => self.give_up(record).await,
            Search::Nowhere => Ok(()),
            Search::NotNow(why) => {
                tracing::warn!(execution = %record.id, why, "can't look up a dial of unknown outcome");
                if age_ms >= ms(CARRIER_AWAY) {
                    self.give_up(record).await
                } else {
                    Ok(())
                }
            }
        }
    }

    /// A callback that comes all the same finds the call over, and it is hung up.
    async fn give_up(&self, record: &Record) -> Result<(), Error> {
        self.fault(record, "dial outcome unknown".to_owned())
            .await?;
        self.settle(record).await
    }

    async fn find(&self, intent: &Intent) -> Result<Search, Error> {
        let record = &intent.record;
        let account = match self.carrier_of(record).await? {
            Ok(account) => account,
            Err(why) => return Ok(Search::NotNow(why)),
        };
        let (Ok(to), Ok(from)) = (record.to.parse(), record.from.parse()) else {
            return Ok(Search::Nowhere);
        };
        let since = intent.since - CLOCK_SLACK_MS;
        let bound = self
            .store
            .bound_calls(record.account, &record.to, &record.from, since)
            .await?;
        let lost = LostDial {
            reference: &self
                .callbacks
                .reference(&record.provider, record.id, record.attempt),
            to: &to,
            from: &from,
            since: intent.since,
            bound: &bound,
        };
        Ok(match account.carrier.find_dial(&lost).await {
            Ok(Some(state)) => Search::Found(account, state),
            Ok(None) => Search::Nowhere,
            Err(error) => Search::NotNow(error.to_string()),
        })
    }

    /// The carrier of a record with its account's keys, or why there is none.
    pub(crate) async fn carrier_of(
        &self,
        record: &Record,
    ) -> Result<Result<CarrierAccount, String>, Error> {
        let secrets = self.store.secrets(record.account).await?;
        Ok(self
            .carriers
            .for_account(&record.provider, &secrets)
            .map_err(|error| error.to_string()))
    }
}
