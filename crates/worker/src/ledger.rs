//! Writing down what became of a call, through a database that may be away for a moment.

use std::{future::Future, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use bolo_execution::{Change, Component, Entry, EntryKind, Record};
use bolo_store::{Error, Facts};

use crate::{Worker, clock::now_ms, dial::unless_late};

impl Worker {
    /// Changes the status of a call that is still at the attempt of `record`; an unreachable database is
    /// tried again for some seconds.
    pub(crate) async fn change(
        &self,
        record: &Record,
        change: Change,
        facts: Facts,
    ) -> Result<Record, Error> {
        let facts = Facts {
            of_attempt: Some(record.attempt),
            standing: Some(record.status),
            ..facts
        };
        persist(|| (self.store).change(record.id, change, facts.clone(), now_ms())).await
    }

    /// Writes facts without a change, likewise.
    pub(crate) async fn note(&self, record: &Record, facts: Facts) -> Result<Record, Error> {
        let facts = Facts {
            of_attempt: Some(record.attempt),
            ..facts
        };
        persist(|| self.store.note(record.id, facts.clone(), now_ms())).await
    }

    /// The dial's outcome is written; nothing is left to look up.
    pub(crate) async fn settle(&self, record: &Record) -> Result<(), Error> {
        let settle = || (self.store).settle_dial(record.id, record.attempt, now_ms());
        unless_late(persist(settle).await)
    }

    /// The call is impossible: `error`, with the reason in the record and in its log.
    pub(crate) async fn fault(&self, record: &Record, message: String) -> Result<(), Error> {
        let facts = Facts {
            error_message: Some(message.clone()),
            ..Facts::default()
        };
        match self.change(record, Change::Faulted, facts).await {
            Ok(_) => {
                tracing::warn!(execution = %record.id, account = %record.account, reason = message, "call failed");
                let entry = Entry::new(Component::System, EntryKind::Error, "", message);
                self.store
                    .append_log(record.account, record.id, entry, now_ms())
                    .await
            }
            // It ended otherwise meanwhile; the first cause stays.
            Err(error) => unless_late(Err(error)),
        }
    }
}

/// What may be done twice: again while the database does not answer, for some ten seconds. Whether it was done when the
/// answer did not come is not known.
pub(crate) async fn persist<T, Step>(step: impl FnMut() -> Step) -> Result<T, Error>
where
    Step: Future<Output = Result<T, Error>>,
{
    let patience = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(8)
        .with_jitter();
    step.retry(patience).when(is_passing).await
}

fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_))
}
