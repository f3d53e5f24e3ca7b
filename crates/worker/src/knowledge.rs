//! Turns documents into what can be searched: fetch, text, chunks, vectors. One at a time a node, since each
//! vector takes a speech thread from the calls. Who dies over it is followed by another, from the beginning.
//! Source: api.md §12.

use std::{sync::Arc, time::Duration};

use bolo_knowledge::{Size, chunks, text};
use bolo_providers::{Embedder, PublicClient};
use bolo_store::{Chunk, ClaimedKnowledge, Error, KnowledgeSource, Work};
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Worker,
    clock::{ms, now_ms},
};

/// A document over which so many workers ended is not begun again: it may be what ends them.
const TRIES: i64 = 3;
/// Addresses that lead on to another.
const REDIRECTS: usize = 5;
/// Bytes of a document (api.md §12).
const LARGEST: usize = 20 << 20;
/// Making text of a document may take this long.
const READING: Duration = Duration::from_secs(60);
/// Fetching it may.
const FETCHING: Duration = Duration::from_secs(60);
/// Chunks that are written at once.
const AT_ONCE: usize = 16;

/// It will never work, for this reason.
struct Hopeless(String);

/// Why the work on a document ended early.
enum Broken {
    Hopeless(Hopeless),
    /// The store failed, or the document is gone or another's.
    Store(Error),
}

impl From<Hopeless> for Broken {
    fn from(hopeless: Hopeless) -> Self {
        Self::Hopeless(hopeless)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Worker {
    pub(crate) async fn knowledge_loop(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let timings = &self.settings.timings;
            match self
                .store
                .claim_knowledge(now_ms(), ms(timings.knowledge_lease))
                .await
            {
                Ok(Some(claimed)) => {
                    tokio::select! {
                        biased;
                        // Its lease runs out, and another begins again.
                        () = stop.cancelled() => return,
                        () = self.process(claimed) => {}
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "can't claim knowledgebases"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.fill_vectors() => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.store.signals().worker_woken(Work::Documents) => {}
                () = tokio::time::sleep(timings.poll) => {}
            }
        }
    }

    /// What was made here, or by older nodes, or before the database had pgvector.
    async fn fill_vectors(&self) {
        match self.store.fill_vectors().await {
            Ok(0) => {}
            Ok(chunks) => tracing::info!(chunks, "pgvector has more chunks of knowledgebases"),
            Err(error) => tracing::warn!(%error, "pgvector lacks chunks of knowledgebases"),
        }
    }

    async fn process(&self, claimed: ClaimedKnowledge) {
        let id = claimed.id;
        let outcome = match self.ingest(&claimed).await {
            Ok(count) => {
                tracing::info!(knowledgebase = %id, chunks = count, "a knowledgebase can be searched");
                Ok(())
            }
            Err(Broken::Hopeless(Hopeless(reason))) => {
                tracing::warn!(knowledgebase = %id, reason, "a knowledgebase can't be made");
                Err(reason)
            }
            Err(Broken::Store(Error::NotFound)) => {
                tracing::info!(knowledgebase = %id, "a knowledgebase was removed while it was processed");
                return;
            }
            Err(Broken::Store(error)) => {
                tracing::error!(knowledgebase = %id, %error, "a knowledgebase can't be written; it is tried again");
                return;
            }
        };
        match self
            .store
            .settle_knowledge(&claimed, outcome, now_ms())
            .await
        {
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => {
                tracing::error!(knowledgebase = %id, %error, "a knowledgebase can't be written")
            }
        }
    }

    /// How many chunks there are now.
    async fn ingest(&self, claimed: &ClaimedKnowledge) -> Result<i64, Broken> {
        if claimed.tries > TRIES {
            let reason = format!("the server ended {TRIES} times while it read this document");
            return Err(Hopeless(reason).into());
        }
        let (bytes, kind) = match &claimed.source {
            KnowledgeSource::Pdf(bytes) => (bytes.clone(), Kind::Pdf),
            KnowledgeSource::Url(url) => tokio::time::timeout(FETCHING, fetch(&self.webhooks, url))
                .await
                .unwrap_or_else(|_| {
                    Err(Hopeless("the address did not answer in time".to_owned()))
                })?,
        };
        let text = read(bytes, kind).await?;
        let size = Size {
            characters: usize::try_from(claimed.chunk_size).unwrap_or(1),
            overlap: usize::try_from(claimed.overlapping).unwrap_or(0),
        };
        let embedder = self.vendors.embedder().map_err(no_vectors)?;
        let mut number = 0;
        for texts in chunks(&text, size).chunks(AT_ONCE) {
            let embedded = embed(&*embedder, texts).await?;
            let count = embedded.len() as i64;
            let until = now_ms() + ms(self.settings.timings.knowledge_lease);
            self.store
                .add_chunks(claimed, number, embedded, until)
                .await?;
            number += count;
        }
        Ok(number)
    }
}

async fn embed(embedder: &dyn Embedder, texts: &[String]) -> Result<Vec<Chunk>, Hopeless> {
    let vectors = embedder.embed(texts).await.map_err(no_vectors)?;
    let chunk = |(text, vector): (&String, Vec<f32>)| Chunk {
        text: text.clone(),
        vector,
    };
    Ok(texts.iter().zip(vectors).map(chunk).collect())
}

fn no_vectors(error: bolo_providers::Error) -> Hopeless {
    Hopeless(format!("no embeddings can be made: {error}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pdf,
    Html,
    Plain,
}

/// The text, made on a thread that bears a long look and a panic.
async fn read(bytes: Vec<u8>, kind: Kind) -> Result<String, Hopeless> {
    let reading = tokio::task::spawn_blocking(move || match kind {
        Kind::Pdf => text::of_pdf(&bytes),
        Kind::Html => text::of_html(&bytes),
        Kind::Plain => text::of_plain(&bytes),
    });
    match tokio::time::timeout(READING, reading).await {
        Ok(Ok(read)) => read.map_err(|unreadable| Hopeless(unreadable.to_string())),
        Ok(Err(_)) => Err(Hopeless(
            "the document is broken: reading it failed".to_owned(),
        )),
        Err(_) => Err(Hopeless("the document takes too long to read".to_owned())),
    }
}

/// A document at an address that a customer named, wherever it leads, on the public internet only.
async fn fetch(http: &PublicClient, address: &str) -> Result<(Vec<u8>, Kind), Hopeless> {
    let unusable = |cause: &str| Hopeless(format!("the address can't be used: {cause}"));
    let mut url: Url = address.parse().map_err(|_| unusable("it is none"))?;
    for _ in 0..=REDIRECTS {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(unusable("it is neither http nor https"));
        }
        let request = http
            .request(Method::GET, url.clone())
            .map_err(|refused| Hopeless(refused.to_string()))?;
        let response = request.send().await.map_err(|error| {
            let refused = PublicClient::refused(&error);
            match refused {
                true => unusable("it is not public"),
                false => Hopeless(format!(
                    "the address can't be fetched: {}",
                    error.without_url()
                )),
            }
        })?;
        if !response.status().is_redirection() {
            return take(response).await;
        }
        let next = response.headers().get(LOCATION);
        let next = next.and_then(|next| next.to_str().ok());
        let next = next.and_then(|next| url.join(next).ok());
        url = next.ok_or_else(|| unusable("it leads nowhere"))?;
    }
    Err(unusable("it leads on too often"))
}

async fn take(mut response: Response) -> Result<(Vec<u8>, Kind), Hopeless> {
    if response.status() != StatusCode::OK {
        return Err(Hopeless(format!(
            "the address answered {}",
            response.status()
        )));
    }
    let told = response.headers().get(CONTENT_TYPE);
    let told = told
        .and_then(|told| told.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut bytes = Vec::new();
    let broken =
        |error: reqwest::Error| Hopeless(format!("the address broke off: {}", error.without_url()));
    while let Some(more) = response.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&more);
        if bytes.len() > LARGEST {
            return Err(Hopeless(format!(
                "the document is larger than {LARGEST} bytes"
            )));
        }
    }
    let told = told.split(';').next().unwrap_or_default().trim();
    let kind = match told {
        _ if text::is_pdf(&bytes) => Kind::Pdf,
        "text/html" | "application/xhtml+xml" | "" => Kind::Html,
        "text/plain" | "text/markdown" => Kind::Plain,
        other => {
            return Err(Hopeless(format!(
                "the address holds {other:?}, neither a page nor a PDF"
            )));
        }
    };
    Ok((bytes, kind))
}
