//! What a running call writes to its record, in order and off the call's loop, and the hang-up at the
//! carrier behind it.

use std::{sync::Arc, time::Duration};

use bolo_execution::{E164, Offer};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{asking::News, ending::End, ledger::Ledger};

/// The record must say that the call ends before the socket closes, or the carrier asks us to go on
/// (wire-telephony.md §6.2); a database that takes longer than this is not waited for.
const ENDING: Duration = Duration::from_secs(2);
/// How long a database may take to say whose the call is; then it is ours.
const OWNER: Duration = Duration::from_secs(1);
/// The carrier's REST interface gets this long for a hang-up.
const HANG_UP: Duration = Duration::from_secs(5);

/// The record of one call, and its carrier.
pub(crate) trait Records: Send + Sync + 'static {
    /// The call is in progress. `false`: the record says that it is over or was stopped.
    fn answered(&self) -> BoxFuture<'_, bool>;
    /// The transcript so far.
    fn note(&self, transcript: String) -> BoxFuture<'_, ()>;
    /// The caller is to be transferred. `false`: it could not be written.
    fn transfer(&self, leg: Leg) -> BoxFuture<'_, bool>;
    /// All that another node needs to go on with the call is written. `false`: the carrier would not ask one.
    fn hand_over(&self) -> BoxFuture<'_, bool>;
    /// The call leg ends, with what the ledger knows. Idempotent.
    fn ending(&self) -> BoxFuture<'_, ()>;
    /// Ends the call at the carrier. `true`: it is over there, or there is no carrier.
    fn hang_up(&self) -> BoxFuture<'_, bool>;
    /// Whether the call is still ours, as far as can be told.
    fn is_ours(&self) -> BoxFuture<'_, bool>;
}

/// Whom a caller is transferred to.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) to: E164,
    /// How long that phone may ring.
    pub(crate) ring_s: u64,
    /// What is heard there first (R115).
    pub(crate) offer: Option<Offer>,
}

/// A piece of work.
#[derive(Debug)]
enum Job {
    Answered,
    Note(String),
    Transfer(Leg),
    HandOver,
    HangUp,
    AskOwner(oneshot::Sender<bool>),
}

/// Where a call leaves its work; done one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    jobs: mpsc::Sender<Job>,
}

impl Desk {
    /// A desk and its clerk, who ends when all desks are gone and the work is done.
    pub(crate) fn open(
        records: Arc<dyn Records>,
        ledger: Arc<Ledger>,
        news: mpsc::Sender<News>,
    ) -> (Self, AbortOnDropHandle<()>) {
        let (jobs, queue) = mpsc::channel(8);
        let clerk = AbortOnDropHandle::new(tokio::spawn(clerk(queue, records, ledger, news)));
        (Self { jobs }, clerk)
    }

    pub(crate) fn answered(&self) {
        self.leave(Job::Answered);
    }

    /// Skipped while the desk is full: the next one says more.
    pub(crate) fn note(&self, transcript: String) {
        let _ = self.jobs.try_send(Job::Note(transcript));
    }

    pub(crate) fn transfer(&self, leg: Leg) {
        self.leave(Job::Transfer(leg));
    }

    pub(crate) fn hand_over(&self) {
        self.leave(Job::HandOver);
    }

    pub(crate) fn hang_up(&self) {
        self.leave(Job::HangUp);
    }

    /// Asks whether the call is still ours. No answer means that nobody can tell.
    pub(crate) fn ask_owner(&self) -> oneshot::Receiver<bool> {
        let (sender, answer) = oneshot::channel();
        self.leave(Job::AskOwner(sender));
        answer
    }

    fn leave(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            // The supervisor finishes the record and hangs up in any case.
            tracing::error!("the record can't be written fast enough");
        }
    }
}

async fn clerk(
    mut queue: mpsc::Receiver<Job>,
    records: Arc<dyn Records>,
    ledger: Arc<Ledger>,
    news: mpsc::Sender<News>,
) {
    while let Some(job) = queue.recv().await {
        let told = match job {
            Job::AskOwner(answer) => {
                let asked = tokio::time::timeout(OWNER, records.is_ours()).await;
                // The call may have ended meanwhile.
                let _ = answer.send(asked.unwrap_or(true));
                None
            }
            Job::Answered => (!records.answered().await).then_some(News::NotWanted),
            Job::Note(transcript) => {
                records.note(transcript).await;
                None
            }
            Job::Transfer(leg) => {
                let written = tokio::time::timeout(ENDING, records.transfer(leg)).await;
                Some(News::HandedOver(written.unwrap_or(false)))
            }
            Job::HandOver => {
                let written = tokio::time::timeout(ENDING, records.hand_over()).await;
                written.unwrap_or(false).then_some(News::Left)
            }
            Job::HangUp => {
                if tokio::time::timeout(ENDING, records.ending())
                    .await
                    .is_err()
                {
                    tracing::warn!("the record is late; hanging up all the same");
                }
                let over = tokio::time::timeout(HANG_UP, records.hang_up()).await;
                if over.unwrap_or(false) {
                    ledger.books().hung_up = true;
                }
                Some(News::HungUp)
            }
        };
        // Whatever it was: what another node's call is told by us counts for nothing.
        let taken_over = ledger.books().end == Some(End::Superseded);
        let told = match taken_over {
            true => Some(News::TakenOver),
            false => told,
        };
        if let Some(told) = told {
            // A closed inbox means that the call has ended already.
            let _ = news.send(told).await;
        }
    }
}
