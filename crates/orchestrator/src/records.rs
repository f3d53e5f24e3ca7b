//! A call's row in the store, and the carrier's side of its end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bolo_execution::{Change, Direction, EndReason, ExecutionId, Status, Transfer};
use bolo_store::{CallLog, Error, Facts, Store};
use bolo_telephony::{Carrier, Carriers};
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::SecretString;

use crate::{
    desk::{Leg, Records},
    ending::End,
    ledger::Ledger,
    now,
};

/// Waits before the store is asked again, ms.
const AGAIN: [u64; 3] = [50, 250, 1000];

/// See the module.
pub(crate) struct StoreRecords {
    pub(crate) store: Store,
    pub(crate) log: CallLog,
    pub(crate) carriers: Carriers,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) id: ExecutionId,
    /// The attempt that this call is.
    pub(crate) attempt: i64,
    /// Since when the call is ours: what is written counts for this owner only.
    pub(crate) epoch: i64,
    /// How the record stood when it became ours.
    pub(crate) standing: Status,
    /// It knew the carrier's call by then.
    pub(crate) is_bound: bool,
    pub(crate) direction: Direction,
    pub(crate) provider: String,
    /// Transfers call from it.
    pub(crate) our_number: String,
    /// The carrier's id of the call, as its media socket told it.
    pub(crate) carrier_call_id: Option<String>,
    pub(crate) secrets: HashMap<String, SecretString>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is written.
    Yes,
    /// The call stands elsewhere already.
    Already(Status),
    /// Another attempt of the call is planned.
    Past,
    /// Another node has the call.
    TakenOver,
    /// The store could not be reached.
    No,
}

impl StoreRecords {
    /// Writes a change, again where the store is away for a moment. Where the change is not possible any
    /// more the facts are noted all the same.
    pub(crate) async fn change(&self, change: Change, facts: Facts) -> Changed {
        let facts = self.of_attempt(facts);
        for wait in AGAIN.into_iter().map(Some).chain([None]) {
            match self
                .store
                .change_as(self.epoch, self.id, change, facts.clone(), now())
                .await
            {
                Ok(_) => return Changed::Yes,
                Err(Error::TakenOver) => {
                    self.ledger.books().superseded();
                    return Changed::TakenOver;
                }
                Err(Error::Illegal(illegal)) => {
                    self.note_facts(facts).await;
                    return Changed::Already(illegal.from);
                }
                Err(Error::Superseded) => return Changed::Past,
                Err(error) => {
                    let Some(wait) = wait else {
                        tracing::error!(%error, ?change, "the call's record could not be changed");
                        break;
                    };
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
            }
        }
        Changed::No
    }

    /// Writes facts alone.
    pub(crate) async fn note_facts(&self, facts: Facts) {
        let noted = self
            .store
            .note_as(self.epoch, self.id, self.of_attempt(facts), now())
            .await;
        if let Err(error) = noted {
            tracing::error!(%error, "the call's record could not be completed");
        }
    }

    fn of_attempt(&self, facts: Facts) -> Facts {
        Facts {
            of_attempt: Some(self.attempt),
            ..facts
        }
    }

    /// What a complete record makes of the call. A fault before the caller heard anything of the agent: the
    /// call never was one (R181).
    pub(crate) fn outcome(&self) -> Change {
        let books = self.ledger.books();
        match &books.end {
            Some(end) if end.is_fault() && !books.agent_heard => Change::Faulted,
            _ => Change::Recorded,
        }
    }

    /// The carrier's id of the call, if the record does not have it.
    fn unbound_call_id(&self) -> Option<String> {
        (self.carrier_call_id.clone()).filter(|_| !self.is_bound)
    }

    /// What is known of the end.
    fn end_facts(&self) -> Facts {
        let books = self.ledger.books();
        let fault = books.end.as_ref().filter(|end| end.is_fault());
        let message = fault.map(|end| {
            books
                .fault
                .clone()
                .unwrap_or_else(|| end.label().to_owned())
        });
        Facts {
            hangup: books.hangup(self.direction),
            error_message: message,
            transcript: Some(books.transcript.clone()),
            carrier_call_id: self.unbound_call_id(),
            standing: Some(Status::InProgress),
            ..Facts::default()
        }
    }
}

impl Records for StoreRecords {
    fn answered(&self) -> BoxFuture<'_, bool> {
        async {
            // Mostly the carrier's callback was first. What has come of the call since, it is told.
            if self.standing == Status::InProgress && self.is_bound {
                return true;
            }
            let facts = Facts {
                carrier_call_id: self.unbound_call_id(),
                standing: Some(self.standing),
                ..Facts::default()
            };
            match self.change(Change::Answered, facts).await {
                Changed::Already(status) => status == Status::InProgress,
                Changed::Past => false,
                Changed::Yes | Changed::No => true,
                Changed::TakenOver => false,
            }
        }
        .boxed()
    }

    /// With the call's log, whose commits all calls share.
    fn note(&self, transcript: String) -> BoxFuture<'_, ()> {
        if let Err(error) = self.log.transcript(transcript, now()) {
            tracing::warn!(%error, "the transcript so far could not be noted");
        }
        std::future::ready(()).boxed()
    }

    fn transfer(&self, leg: Leg) -> BoxFuture<'_, bool> {
        async move {
            let account = self.carriers.for_account(&self.provider, &self.secrets);
            let can = |carrier: &dyn Carrier| match leg.offer {
                Some(_) => carrier.offers(),
                None => carrier.transfers(),
            };
            if !account.is_ok_and(|account| can(&*account.carrier)) {
                tracing::info!(
                    provider = self.provider,
                    warm = leg.offer.is_some(),
                    "calls of this carrier can't be transferred so"
                );
                return false;
            }
            let transfer = Transfer {
                offer: leg.offer,
                ..Transfer::new(leg.to.as_str(), &self.our_number, leg.ring_s)
            };
            let facts = Facts {
                transfer: Some(transfer),
                ..Facts::default()
            };
            let facts = self.of_attempt(facts);
            let written = self.store.note_as(self.epoch, self.id, facts, now()).await;
            written
                .inspect_err(|error| tracing::error!(%error, "a transfer could not be noted"))
                .is_ok()
        }
        .boxed()
    }

    fn hand_over(&self) -> BoxFuture<'_, bool> {
        async {
            let account = self.carriers.for_account(&self.provider, &self.secrets);
            // Who asks what to do after a transfer asks it after any socket.
            if !account.is_ok_and(|account| account.carrier.transfers()) {
                return false;
            }
            let flushed = self.log.flush().await;
            flushed
                .inspect_err(|error| tracing::warn!(%error, "the call can't be handed over"))
                .is_ok()
        }
        .boxed()
    }

    fn ending(&self) -> BoxFuture<'_, ()> {
        async {
            self.change(Change::MediaEnded, self.end_facts()).await;
        }
        .boxed()
    }

    fn is_ours(&self) -> BoxFuture<'_, bool> {
        async {
            let asked = self.store.owns_call(self.id, self.epoch).await;
            asked.unwrap_or_else(|error| {
                tracing::warn!(%error, "ownership could not be checked");
                true
            })
        }
        .boxed()
    }

    fn hang_up(&self) -> BoxFuture<'_, bool> {
        async {
            // The caller speaks with somebody else, or at another node.
            if let Some(End::Ours(EndReason::CallTransferred) | End::Superseded) =
                self.ledger.books().end
            {
                return true;
            }
            let account = match self.carriers.for_account(&self.provider, &self.secrets) {
                Ok(account) => account,
                Err(error) => {
                    // A web call has no carrier: closing its socket is the hang-up.
                    if !crate::attach::is_web(&self.provider) {
                        tracing::error!(%error, "the call can't be hung up at the carrier");
                    }
                    return true;
                }
            };
            let known = match &self.carrier_call_id {
                Some(id) => Some(id.clone()),
                None => self
                    .store
                    .execution_unscoped(self.id)
                    .await
                    .ok()
                    .and_then(|record| record.carrier_call_id),
            };
            let Some(call) = known else { return true };
            match account.carrier.hang_up(&call).await {
                // What it asks next finds the call ended.
                Ok(()) | Err(bolo_telephony::Error::Unsupported(_)) => true,
                Err(error) => {
                    tracing::warn!(%error, "the carrier did not take the hang-up");
                    false
                }
            }
        }
        .boxed()
    }
}
