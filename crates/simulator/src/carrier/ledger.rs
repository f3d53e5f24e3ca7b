//! What the carrier saw: for assertions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::watch;

/// More entries than any test makes; a load run beyond it keeps its counts.
const ROOM: usize = 100_000;

/// One dial request that reached the carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DialEntry {
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// As sent.
    pub to: String,
    /// As sent.
    pub from: String,
    /// Answer address.
    pub url: String,
    /// Where the end is told.
    pub status_callback: String,
    /// The execution's id, read from the callback addresses: their first path segment that is a
    /// UUID.
    pub execution: Option<String>,
    /// The call it became; `None` = not placed.
    pub call: Option<String>,
    /// HTTP status that was answered; `None` = connection broken or no answer.
    pub answered: Option<u16>,
}

/// One webhook that the carrier sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookEntry {
    /// Epoch milliseconds at sending.
    pub at_ms: i64,
    /// The call's id.
    pub call: String,
    /// `answer`, `fallback`, `redirect`, `inbound`, `status`, `stream`.
    pub what: String,
    /// Where to.
    pub url: String,
    /// HTTP status of the last try; `None` without an answer.
    pub status: Option<u16>,
    /// Number of tries.
    pub tries: u32,
    /// The fields sent.
    pub form: Vec<(String, String)>,
}

impl WebhookEntry {
    /// A field of the form.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }
}

#[derive(Debug, Default)]
struct Entries {
    dials: Vec<DialEntry>,
    webhooks: Vec<WebhookEntry>,
    updates: Vec<(String, Vec<(String, String)>)>,
    purchases: Vec<String>,
    refused_auth: u64,
    spoilt: u64,
}

/// All of a carrier's entries, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
    news: watch::Sender<u64>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dial(&self, entry: DialEntry) {
        push(&mut self.lock().dials, entry);
        self.tell();
    }

    pub(crate) fn webhook(&self, entry: WebhookEntry) {
        push(&mut self.lock().webhooks, entry);
        self.tell();
    }

    pub(crate) fn update(&self, call: &str, form: Vec<(String, String)>) {
        push(&mut self.lock().updates, (call.to_owned(), form));
        self.tell();
    }

    pub(crate) fn purchase(&self, number: &str) {
        push(&mut self.lock().purchases, number.to_owned());
        self.tell();
    }

    pub(crate) fn refused(&self) {
        self.lock().refused_auth += 1;
        self.tell();
    }

    pub(crate) fn spoilt(&self) {
        self.lock().spoilt += 1;
        self.tell();
    }

    fn tell(&self) {
        self.news.send_modify(|entries| *entries += 1);
    }

    /// Runs `look` now and after each new entry, until it answers.
    pub(crate) async fn wait<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            if let Some(found) = look(self) {
                return found;
            }
            // The sender lives as long as `self`, so this cannot fail while we wait.
            let _changed = news.changed().await;
        }
    }

    /// Every dial request, refused ones too.
    pub fn dials(&self) -> Vec<DialEntry> {
        self.lock().dials.clone()
    }

    /// Number of calls placed by request.
    pub fn placed(&self) -> usize {
        self.lock()
            .dials
            .iter()
            .filter(|dial| dial.call.is_some())
            .count()
    }

    /// Calls placed beyond the first with the same status callback address: must be 0.
    pub fn duplicates(&self) -> usize {
        let entries = self.lock();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for dial in entries.dials.iter().filter(|dial| dial.call.is_some()) {
            *counts.entry(&dial.status_callback).or_default() += 1;
        }
        counts.values().map(|count| count - 1).sum()
    }

    /// Every webhook sent.
    pub fn webhooks(&self) -> Vec<WebhookEntry> {
        self.lock().webhooks.clone()
    }

    /// Webhooks of one call and kind.
    pub fn webhooks_of(&self, call: &str, what: &str) -> Vec<WebhookEntry> {
        let of_call = |hook: &&WebhookEntry| hook.call == call && hook.what == what;
        self.lock()
            .webhooks
            .iter()
            .filter(of_call)
            .cloned()
            .collect()
    }

    /// Forms of the REST updates of one call.
    pub fn updates(&self, call: &str) -> Vec<Vec<(String, String)>> {
        let entries = self.lock();
        let of_call = |(id, form): &(String, _)| (id == call).then(|| Clone::clone(form));
        entries.updates.iter().filter_map(of_call).collect()
    }

    /// The number of every request to buy one, refused ones too.
    pub fn purchases(&self) -> Vec<String> {
        self.lock().purchases.clone()
    }

    /// Requests, other than dials, that met a fault.
    pub fn requests_spoilt(&self) -> u64 {
        self.lock().spoilt
    }

    /// Requests refused for bad credentials.
    pub fn refused_auth(&self) -> u64 {
        self.lock().refused_auth
    }
}

fn push<T>(entries: &mut Vec<T>, entry: T) {
    if entries.len() < ROOM {
        entries.push(entry);
    }
}

/// The first path segment of `url` that is a UUID.
pub(crate) fn execution_in(url: &str) -> Option<String> {
    // An agent's id may stand in the query.
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.split('/')
        .find(|segment| segment.len() == 36 && uuid::Uuid::try_parse(segment).is_ok())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(callback: &str, call: Option<&str>) -> DialEntry {
        DialEntry {
            at_ms: 0,
            to: String::new(),
            from: String::new(),
            url: String::new(),
            status_callback: callback.into(),
            execution: None,
            call: call.map(str::to_owned),
            answered: None,
        }
    }

    #[test]
    fn only_placed_calls_are_duplicates() {
        let ledger = Ledger::default();
        ledger.dial(dial("a", None));
        ledger.dial(dial("a", Some("CA1")));
        ledger.dial(dial("b", Some("CA2")));
        assert_eq!((ledger.placed(), ledger.duplicates()), (2, 0));
        ledger.dial(dial("a", Some("CA3")));
        assert_eq!(ledger.duplicates(), 1);
    }

    #[test]
    fn the_execution_is_read_from_the_path() {
        let id = "0193fb5e-6a43-7c51-8f1f-0a3a54e7a001";
        let url = format!("https://h/telephony/twilio/status/{id}/1/0123456789abcdef");
        assert_eq!(execution_in(&url).as_deref(), Some(id));
        assert_eq!(execution_in("https://h/telephony/twilio"), None);
        let inbound = format!("https://h/inbound_call?agent_id={id}");
        assert_eq!(execution_in(&inbound), None);
    }
}
