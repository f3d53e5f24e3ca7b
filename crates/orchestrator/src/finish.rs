//! A call's end, written to its record step by step (R181): leg ended, recording stored, usage and cost,
//! completed. Runs outside the call's task, so that it comes whatever became of that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bolo_execution::{Change, Record, SpeechTotal, Status};
use bolo_store::{AtEnd, Facts};

use crate::{
    call::Names,
    desk::Records as _,
    ending::End,
    fallback::Crew,
    figures, now,
    prices::{Prices, Used},
    records::{Changed, StoreRecords},
    scribes::Kept,
};

/// Waits between hang-ups that the carrier did not take, ms.
const HANG_UP_AGAIN: [u64; 4] = [0, 1_000, 3_000, 10_000];
/// Limit of one hang-up.
const HANG_UP: Duration = Duration::from_secs(10);
/// The last of a recording may take this long; the record does not wait for a disk that hangs.
const LAST_AUDIO: Duration = Duration::from_secs(5);

/// What the end needs to know.
pub(crate) struct Closing {
    pub(crate) records: Arc<StoreRecords>,
    pub(crate) record: Record,
    pub(crate) names: Names,
    pub(crate) llm: String,
    /// The agent wants something done after its calls.
    pub(crate) has_tasks: bool,
}

impl Closing {
    /// Completes the record. What fails is logged and the rest goes on.
    pub(crate) async fn finish(self, kept: Kept, prices: &Prices) {
        let (store, id) = (&self.records.store, self.records.id);
        let is_superseded = || self.records.ledger.books().end == Some(End::Superseded);
        if !is_superseded() {
            // Tells whether another node has the call.
            self.records.ending().await;
        }
        self.count();
        if is_superseded() {
            return self.hand_in_recording(kept).await;
        }
        let ((), is_given_up) = tokio::join!(self.hang_up(), self.complete(kept, prices));
        if !is_given_up && let Err(error) = store.disown_call(id, self.records.epoch).await {
            tracing::warn!(%error, "ownership could not be given up");
        }
    }

    fn count(&self) {
        let end = self
            .records
            .ledger
            .books()
            .end
            .as_ref()
            .map_or("remote", End::label);
        metrics::counter!(figures::CALLS_ENDED, "end" => end).increment(1);
        tracing::info!(end, "call ended");
    }

    /// No call stays up at the carrier because one request failed.
    async fn hang_up(&self) {
        for wait in HANG_UP_AGAIN {
            {
                let books = self.records.ledger.books();
                if books.hung_up || books.end == Some(End::Remote) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if tokio::time::timeout(HANG_UP, self.records.hang_up())
                .await
                .unwrap_or(false)
            {
                self.records.ledger.books().hung_up = true;
            }
        }
    }

    /// Whether the call is nobody's with that.
    async fn complete(&self, kept: Kept, prices: &Prices) -> bool {
        let (store, id) = (&self.records.store, self.records.id);
        if let Err(error) = self.records.log.flush().await {
            tracing::error!(%error, "the call's log is not complete");
        }
        let recorded = self.store_recording(kept).await;
        let at_end = store.at_end(id).await;
        let at_end = at_end.inspect_err(|error| {
            tracing::warn!(%error, "can't tell how long the call was and whether dispositions are asked: the worker looks");
        });
        let at_end = at_end.ok();
        let facts = self.facts(prices, recorded, at_end);
        let outcome = self.records.outcome();
        let has_work_left = self.has_tasks || at_end.is_none_or(|at_end| at_end.asks_dispositions);
        if outcome == Change::Recorded && has_work_left {
            // The worker completes the record when they are done.
            self.records.note_facts(facts).await;
            if let Err(error) = store.begin_post_call(id, now()).await {
                tracing::error!(%error, "the call's tasks wait until a node looks for it");
            }
            return false;
        }
        let changed = self.records.change(outcome, facts).await;
        match changed {
            Changed::Yes | Changed::Past => {}
            // `stopped` and `error` stand as they are; the facts were noted.
            Changed::Already(status) => tracing::debug!(%status, "record complete"),
            Changed::TakenOver => tracing::info!("the record is another node's"),
            Changed::No => tracing::error!("the record stays open until a node looks for it"),
        }
        changed == Changed::Yes
    }

    /// Whether there is a recording. One that broke off is kept too.
    async fn store_recording(&self, kept: Kept) -> bool {
        if tokio::time::timeout(LAST_AUDIO, kept).await.is_err() {
            tracing::error!("the recording was not written in time");
            return false;
        }
        let recordings = self.records.store.recordings();
        let id = self.records.id;
        let stored = match self.records.epoch {
            1 => recordings.finish(id).await,
            // Other nodes may have the parts before.
            _ => recordings.finish_joined(id).await,
        };
        match stored {
            Ok(()) => true,
            Err(bolo_store::Error::NotFound) => false,
            Err(error) => {
                tracing::error!(%error, "the recording could not be stored");
                false
            }
        }
    }

    /// The part of it that was recorded here.
    async fn hand_in_recording(&self, kept: Kept) {
        if tokio::time::timeout(LAST_AUDIO, kept).await.is_err() {
            tracing::error!("the recording was not written in time");
        }
        let store = &self.records.store;
        if let Err(error) = store.hand_in_recording(self.records.id).await {
            tracing::warn!(%error, "the recording so far waits on this node's disk");
        }
    }

    fn facts(&self, prices: &Prices, recorded: bool, at_end: Option<AtEnd>) -> Facts {
        let books = self.records.ledger.books();
        let mut usage = books.usage.clone();
        let names = &self.names;
        usage.transcriber_model = most(&usage.transcribers, &names.hearing);
        usage.synthesizer_model = most(&usage.synthesizers, &names.speaking);
        let seconds = at_end.and_then(|at_end| {
            let (from, to) = (at_end.answered_at?, at_end.ended_at.unwrap_or_else(now));
            Some((to - from).max(0) as f64 / 1000.0)
        });
        let used = Used {
            carrier: &self.record.provider,
            llm: &self.llm,
            seconds: seconds.unwrap_or_default(),
        };
        Facts {
            transcript: Some(books.transcript.clone()),
            cost: Some(prices.cost(&mut usage, &used)),
            usage: Some(usage),
            latency: Some(books.latency.json()),
            has_recording: recorded.then_some(true),
            answered_by_voice_mail: books.answered_by_machine.then_some(true),
            standing: Some(Status::CallDisconnected),
            ..Facts::default()
        }
    }
}

/// Who of a line did most; where nobody did anything, who would have.
fn most(parts: &BTreeMap<String, SpeechTotal>, crew: &Crew) -> String {
    let most = parts
        .iter()
        .max_by(|(_, one), (_, other)| one.amount.total_cmp(&other.amount));
    match most {
        Some((name, _)) => name.clone(),
        None => crew.now().text(),
    }
}
