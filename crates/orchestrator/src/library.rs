//! Passages of knowledgebases: found by the database where it compares vectors (pgvector), else their vectors are
//! read once, kept, and searched by looking at all of them.
//! What a call asks of them has a budget, and fails without a word to the caller. Source: runtime.md R123 to
//! R126.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bolo_execution::{AccountId, Component, Entry, EntryKind, KnowledgebaseId};
use bolo_knowledge::VectorIndex;
use bolo_providers::{AskMessage, Vendors};
use bolo_store::{CallLog, Ingest, Knowledgebase, Store};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

/// Vectors and texts that are kept, bytes.
const KEPT: u64 = 256 << 20;
/// What a turn waits for its passages.
const BUDGET: Duration = Duration::from_millis(500);
/// Failures in a row after which nothing is asked …
const FAILURES: u32 = 3;
/// … for this long; then one trial.
const REST: Duration = Duration::from_secs(30);
/// A turn of fewer words is asked together with the one before.
const FEW_WORDS: usize = 4;

/// A piece of a document that fits a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The text.
    pub text: String,
    /// Cosine to the question.
    pub score: f32,
    /// Which chunk of its document, from 0.
    pub number: usize,
    /// Name of its document.
    pub source: String,
    /// `rag_id`.
    pub id: KnowledgebaseId,
    /// `vector_id`.
    pub vector_id: Uuid,
}

/// Nothing can be found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SearchError {
    /// No such knowledgebase in this account.
    #[error("there is no such knowledgebase")]
    Unknown,
    /// It can't be searched yet, or never.
    #[error("the knowledgebase can't be searched: {0}")]
    NotReady(String),
    /// The database or the embedding model failed.
    #[error("{0}")]
    Failed(String),
}

impl From<bolo_store::Error> for SearchError {
    fn from(error: bolo_store::Error) -> Self {
        match error {
            bolo_store::Error::NotFound => Self::Unknown,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A document, ready to be searched. It never changes: a removed one is not asked any more.
struct Book {
    index: VectorIndex,
    texts: Vec<String>,
}

/// All knowledgebases of this node. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    store: Store,
    vendors: Vendors,
    books: moka::future::Cache<KnowledgebaseId, Arc<Book>>,
}

impl Library {
    /// Nothing read yet.
    pub fn new(store: Store, vendors: Vendors) -> Self {
        let weight = |_: &KnowledgebaseId, book: &Arc<Book>| {
            let texts: usize = book.texts.iter().map(String::len).sum();
            u32::try_from(book.index.bytes() + texts).unwrap_or(u32::MAX)
        };
        let books = moka::future::Cache::builder()
            .max_capacity(KEPT)
            .weigher(weight)
            .build();
        Self {
            store,
            vendors,
            books,
        }
    }

    /// The passages nearest to `question` in all of these, the best first, at most `count` and none below
    /// `least`. Each is named by its id or its vector id.
    pub async fn search(
        &self,
        account: AccountId,
        ids: &[Uuid],
        question: &str,
        count: Option<usize>,
        least: f32,
    ) -> Result<Vec<Passage>, SearchError> {
        let failed = |error: bolo_providers::Error| SearchError::Failed(error.to_string());
        let mut ready = Vec::with_capacity(ids.len());
        let mut missing = None;
        for id in ids {
            match self.ready(account, *id).await {
                Ok(about) => ready.push(about),
                // One that was removed, or is not ready, takes the others nothing.
                Err(error) => missing = Some(error),
            }
        }
        if ready.is_empty() {
            return missing.map_or(Ok(Vec::new()), Err);
        }
        let embedder = self.vendors.embedder().map_err(failed)?;
        let vectors = embedder
            .embed(&[question.to_owned()])
            .await
            .map_err(failed)?;
        let Some(vector) = vectors.into_iter().next() else {
            return Ok(Vec::new());
        };
        let own = |about: &Knowledgebase| usize::try_from(about.similarity_top_k).unwrap_or(1);
        let most = count.unwrap_or_else(|| ready.iter().map(own).max().unwrap_or(1));
        let mut found = Vec::new();
        let (vector, mut searched) = (Arc::<[f32]>::from(vector), false);
        for about in &ready {
            match self.passages(account, about, &vector, most, least).await {
                Ok(passages) => {
                    searched = true;
                    found.extend(passages);
                }
                Err(error) => missing = Some(error),
            }
        }
        if let (false, Some(error)) = (searched, missing) {
            return Err(error);
        }
        found.sort_by(|a: &Passage, b| b.score.total_cmp(&a.score));
        found.truncate(most);
        Ok(found)
    }

    /// Of one knowledgebase: as the database finds them, where it can; else by looking at all of them here.
    async fn passages(
        &self,
        account: AccountId,
        about: &Knowledgebase,
        vector: &Arc<[f32]>,
        most: usize,
        least: f32,
    ) -> Result<Vec<Passage>, SearchError> {
        let passage = |text, score, number| Passage {
            text,
            score,
            number,
            source: about.file_name.clone(),
            id: about.id,
            vector_id: about.vector_id,
        };
        let near = self.store.nearest_chunks(account, about.id, vector, most);
        if let Some(near) = near.await? {
            let near = near.into_iter().filter(|chunk| chunk.score >= least);
            let number = |number| usize::try_from(number).unwrap_or_default();
            let found = near.map(|chunk| passage(chunk.text, chunk.score, number(chunk.number)));
            return Ok(found.collect());
        }
        let book = self.book(account, about).await?;
        let look = {
            let (book, vector) = (book.clone(), vector.clone());
            move || book.index.nearest(&vector, most, least)
        };
        // Some 10 ms for a large one: not on a thread that carries calls.
        let near = tokio::task::spawn_blocking(look)
            .await
            .map_err(|error| SearchError::Failed(error.to_string()))?;
        let text = |row: usize| book.texts.get(row).cloned().unwrap_or_default();
        let found = near.into_iter();
        Ok(found
            .map(|near| passage(text(near.row), near.score, near.row))
            .collect())
    }

    async fn ready(&self, account: AccountId, id: Uuid) -> Result<Knowledgebase, SearchError> {
        let about = self.store.knowledgebase(account, id).await?;
        match about.ingest {
            Ingest::Processed => Ok(about),
            Ingest::Processing => Err(SearchError::NotReady("it is being processed".into())),
            Ingest::Error(reason) => Err(SearchError::NotReady(reason)),
        }
    }

    async fn book(
        &self,
        account: AccountId,
        about: &Knowledgebase,
    ) -> Result<Arc<Book>, SearchError> {
        let read = async {
            let chunks = self.store.knowledge_chunks(account, about.id).await?;
            let mut book = Book {
                index: VectorIndex::default(),
                texts: Vec::with_capacity(chunks.len()),
            };
            for chunk in chunks {
                let added = book.index.push(&chunk.vector);
                added.map_err(|error| SearchError::Failed(error.to_string()))?;
                book.texts.push(chunk.text);
            }
            Ok(Arc::new(book))
        };
        let read = self.books.try_get_with(about.id, read).await;
        read.map_err(|error: Arc<SearchError>| (*error).clone())
    }
}

/// What one call asks of its agent's knowledgebases.
pub(crate) struct KnowledgeSource {
    library: Library,
    account: AccountId,
    knowledge: bolo_agent::Knowledge,
    log: Option<CallLog>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In a row.
    failures: u32,
    rests_until: Option<Instant>,
    /// What was found last, and for which question: a tool's result is the same turn.
    last: Option<(String, Vec<Passage>)>,
}

impl KnowledgeSource {
    pub(crate) fn new(
        library: Library,
        account: AccountId,
        knowledge: bolo_agent::Knowledge,
    ) -> Self {
        Self {
            library,
            account,
            knowledge,
            log: None,
            state: Mutex::default(),
        }
    }

    /// What is found is written into this log.
    pub(crate) fn told_to(self, log: CallLog) -> Self {
        Self {
            log: Some(log),
            ..self
        }
    }

    /// The message with the passages for what the caller said last, within the budget. None, where nothing
    /// fits or it failed. It stands behind the conversation and is not kept in it (R125).
    pub(crate) async fn message(&self, messages: &[AskMessage]) -> Option<AskMessage> {
        let passages = self.passages(question(messages)?).await;
        (!passages.is_empty()).then(|| message(&passages))
    }

    async fn passages(&self, question: String) -> Vec<Passage> {
        {
            let state = self.state();
            if let Some((known, found)) = &state.last
                && *known == question
            {
                return found.clone();
            }
            if state
                .rests_until
                .is_some_and(|until| Instant::now() < until)
            {
                return Vec::new();
            }
        }
        let search = self.library.search(
            self.account,
            &self.knowledge.vector_ids,
            &question,
            Some(self.knowledge.top_k),
            self.knowledge.score_threshold,
        );
        let found = match tokio::time::timeout(BUDGET, search).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it took too long".to_owned()),
        };
        let mut state = self.state();
        match found {
            Ok(found) => {
                self.note(&question, &found);
                *state = State {
                    last: Some((question, found.clone())),
                    ..State::default()
                };
                found
            }
            Err(error) => {
                state.failures += 1;
                tracing::warn!(
                    error,
                    failures = state.failures,
                    "no passages: the model answers without"
                );
                if state.failures >= FAILURES {
                    state.rests_until = Some(Instant::now() + REST);
                }
                Vec::new()
            }
        }
    }

    fn note(&self, question: &str, found: &[Passage]) {
        let Some(log) = &self.log else { return };
        let shown = |passage: &Passage| {
            json!({"text": passage.text, "score": passage.score, "rag_id": passage.id.to_string(),
                "vector_id": passage.vector_id.to_string()})
        };
        let passages: Vec<_> = found.iter().map(shown).collect();
        let entry = Entry::new(Component::Llm, EntryKind::Event, "knowledgebase", question)
            .with("passages", passages);
        if let Err(error) = log.entry(entry, crate::now()) {
            tracing::warn!(%error, "passages are missing in the raw log");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the caller said last; with what was said before that, if it is short ("and on Sunday?").
fn question(messages: &[AskMessage]) -> Option<String> {
    let mut said = messages
        .iter()
        .rev()
        .filter(|message| message.role == "user");
    let last = said.next()?.content.as_deref()?.trim();
    if last.is_empty() {
        return None;
    }
    let before = said.next().and_then(|message| message.content.as_deref());
    Some(match before {
        Some(before) if last.split_whitespace().count() < FEW_WORDS => {
            format!("{} {last}", before.trim())
        }
        _ => last.to_owned(),
    })
}

fn message(passages: &[Passage]) -> AskMessage {
    let mut text =
        "Passages from the knowledge base that may help with the caller's last words. Use them \
                    only if they are relevant, and do not mention them."
            .to_owned();
    for (number, passage) in (1..).zip(passages) {
        // Into a string it can't fail.
        let _ = write!(
            text,
            "\n\n[{number}] ({})\n{}",
            passage.source, passage.text
        );
    }
    AskMessage {
        role: "system",
        content: Some(text),
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: &'static str, text: &str) -> AskMessage {
        AskMessage {
            role,
            content: Some(text.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    #[test] // R123
    fn the_question_is_the_callers_and_never_a_tools_result() {
        let mut messages = vec![
            said("system", "You are a clinic."),
            said("user", "When do you open on Saturday?"),
            said("assistant", "At ten."),
            said("user", "And on Sunday?"),
        ];
        let both = "When do you open on Saturday? And on Sunday?";
        assert_eq!(question(&messages).as_deref(), Some(both));
        messages.push(said("tool", "{\"open\": false}"));
        assert_eq!(question(&messages).as_deref(), Some(both));
        messages.push(said("user", "What does a visit cost me?"));
        assert_eq!(
            question(&messages).as_deref(),
            Some("What does a visit cost me?")
        );
        assert_eq!(question(&[said("system", "x")]), None);
        assert_eq!(question(&[said("user", " ")]), None);
    }
}
