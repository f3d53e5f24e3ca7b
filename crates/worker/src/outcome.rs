//! What follows when the carrier turns out to have a call of ours.

use bolo_execution::{Change, Illegal, Record, Status};
use bolo_store::{Error, Facts};
use bolo_telephony::{CallState, Carrier};

use crate::{Worker, clock::now_ms, dial::unless_late};

impl Worker {
    /// The carrier took the call: binds it. One that was stopped, or given up, meanwhile is hung up. Gives the record of
    /// a call of which nothing else has been heard yet.
    pub(crate) async fn accepted(
        &self,
        record: &Record,
        carrier: &dyn Carrier,
        call_id: &str,
    ) -> Result<Option<Record>, Error> {
        if self.is_under_way(record).await {
            return Ok(None);
        }
        let facts = Facts {
            carrier_call_id: Some(call_id.to_owned()),
            ..Facts::default()
        };
        let accepted = self.change(record, Change::CarrierAccepted, facts.clone());
        match accepted.await {
            Ok(record) => Ok(Some(record)),
            // Its end was told before the dial's reply came, and another attempt is planned.
            Err(Error::Superseded) => {
                self.hang_up(record, carrier, call_id).await?;
                Ok(None)
            }
            Err(Error::Illegal(Illegal { from, .. })) => {
                if matches!(from, Status::Stopped | Status::Error) {
                    tracing::info!(execution = %record.id, call_id, status = %from, "hanging up a call nobody wants any more");
                    // Not noted when it fails, so that it is looked up and hung up again.
                    self.hang_up(record, carrier, call_id).await?;
                }
                // Else a callback was faster: the row is further on already.
                unless_late(self.note(record, facts).await.map(drop))?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a callback was faster than the dial's reply, as nearly always, and has bound the call.
    async fn is_under_way(&self, record: &Record) -> bool {
        // Whoever can't look asks for the change.
        let Ok(known) = self.store.execution_unscoped(record.id).await else {
            return false;
        };
        known.attempt == record.attempt
            && known.carrier_call_id.is_some()
            && matches!(
                known.status,
                Status::Initiated | Status::Ringing | Status::InProgress
            )
    }

    /// Ends a call at the carrier; failures are logged and returned as an unavailable store would be: to
    /// be tried again.
    pub(crate) async fn hang_up(
        &self,
        record: &Record,
        carrier: &dyn Carrier,
        call_id: &str,
    ) -> Result<(), Error> {
        match carrier.hang_up(call_id).await {
            Ok(()) | Err(bolo_telephony::Error::NotFound) => Ok(()),
            Err(error @ bolo_telephony::Error::Unsupported(_)) => {
                tracing::info!(execution = %record.id, call_id, %error, "not hung up by request");
                Ok(())
            }
            Err(error) => {
                tracing::error!(execution = %record.id, call_id, %error, "can't hang up at the carrier");
                Err(Error::Unavailable(format!("can't hang up: {error}")))
            }
        }
    }

    /// Applies what the carrier tells of a call.
    pub(crate) async fn apply(&self, record: &Record, state: &CallState) -> Result<(), Error> {
        let Some(change) = state.change else {
            return Ok(());
        };
        // Whatever word the carrier has for the end of an answered call, it is the end of its media.
        let change = match record.status {
            Status::InProgress if state.hangup.is_some() => Change::MediaEnded,
            _ => change,
        };
        let (change, facts) = match change {
            Change::Postponed => {
                let first = self.settings.timings.postponed;
                Facts::postponed(record, state.hangup.clone(), first, now_ms())
            }
            _ => {
                let facts = Facts {
                    hangup: state.hangup.clone(),
                    happened_at: ended_at(record, state),
                    ..Facts::default()
                };
                (change, facts)
            }
        };
        unless_late(self.change(record, change, facts).await.map(drop))
    }
}

/// When the call ended by the carrier's count of its seconds, if that is known.
fn ended_at(record: &Record, state: &CallState) -> Option<i64> {
    let seconds = i64::try_from(state.duration_s?).ok()?;
    Some(record.answered_at? + seconds * 1000)
}
