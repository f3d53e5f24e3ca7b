//! Keys that a vendor refused lately (R196): who is about to dial knows it before a phone rings.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::Keys;
use crate::{
    Ask, Delta, Error, ErrorKind, Hear, Heard, Llm, Session, Speak, Spoken, Synthesizer,
    SynthesizerSpec, Transcriber, TranscriberSpec,
};

/// So many calls in a row are no hiccup of the vendor's.
const CALLS: u32 = 2;
/// They count this long; then a call finds out again.
const COUNTS: Duration = Duration::from_secs(60);
/// So many keys are remembered; further ones are not.
const MOST: usize = 10_000;

/// What this process knows of keys. Holds none: what was refused is remembered by a hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused(Arc<Memory>);

#[derive(Debug, Default)]
struct Memory {
    hasher: RandomState,
    refused: Mutex<HashMap<u64, Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    /// In a row.
    calls: u32,
    at: Instant,
    error: Error,
}

impl Refusal {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= COUNTS
    }
}

impl Refused {
    /// Watches what becomes of `vendor` with these keys in one call: `which` tells role, vendor and model. Any
    /// other key of the account makes it another.
    pub(super) fn watch<T: ?Sized>(
        &self,
        vendor: Arc<T>,
        which: [&str; 3],
        keys: &Keys,
    ) -> Arc<Watched<T>> {
        let secrets = keys.0.iter();
        let mut secrets: Vec<(&str, &str)> = secrets
            .map(|(name, secret)| (name.as_str(), secret.expose_secret()))
            .collect();
        secrets.sort_unstable();
        let key = self.0.hasher.hash_one((which, secrets));
        let mark = Mark {
            of: self.clone(),
            key,
            counted: Arc::default(),
        };
        Arc::new(Watched { vendor, mark })
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<u64, Refusal>> {
        let refused = &self.0.refused;
        refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One vendor's place in the memory, as one call has it.
#[derive(Debug, Clone)]
struct Mark {
    of: Refused,
    key: u64,
    counted: Arc<AtomicBool>,
}

impl Mark {
    fn note<T>(&self, outcome: &Result<T, Error>) {
        let mut refused = self.of.refused();
        match outcome {
            Ok(_) => {
                refused.remove(&self.key);
            }
            Err(error) if error.kind == ErrorKind::Auth => {
                if self.counted.swap(true, Ordering::Relaxed) {
                    return;
                }
                if refused.len() >= MOST {
                    refused.retain(|_, refusal| !refusal.is_old());
                }
                let before = refused.get(&self.key).map_or(0, |refusal| refusal.calls);
                if before > 0 || refused.len() < MOST {
                    let refusal = Refusal {
                        calls: before.saturating_add(1),
                        at: Instant::now(),
                        error: error.clone(),
                    };
                    refused.insert(self.key, refusal);
                }
            }
            Err(_) => {}
        }
    }

    fn error(&self) -> Option<Error> {
        let refused = self.of.refused();
        let refusal = refused.get(&self.key)?;
        (refusal.calls >= CALLS && !refusal.is_old()).then(|| refusal.error.clone())
    }
}

/// A vendor of which is remembered whether it takes the key.
pub(super) struct Watched<T: ?Sized> {
    vendor: Arc<T>,
    mark: Mark,
}

#[async_trait]
impl Transcriber for Watched<dyn Transcriber> {
    fn name(&self) -> &'static str {
        self.vendor.name()
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        self.vendor.longest_pause_ms(spec)
    }

    fn gives_interims(&self, spec: &TranscriberSpec) -> bool {
        self.vendor.gives_interims(spec)
    }

    fn bills_open_time(&self) -> bool {
        self.vendor.bills_open_time()
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let session = self.vendor.open(spec).await;
        self.mark.note(&session);
        session
    }

    fn refused(&self) -> Option<Error> {
        self.mark.error()
    }
}

#[async_trait]
impl Synthesizer for Watched<dyn Synthesizer> {
    fn name(&self) -> &'static str {
        self.vendor.name()
    }

    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        let session = self.vendor.open(spec).await;
        self.mark.note(&session);
        session
    }

    fn warm(&self, spec: &SynthesizerSpec) -> BoxFuture<'static, ()> {
        self.vendor.warm(spec)
    }

    fn refused(&self) -> Option<Error> {
        self.mark.error()
    }
}

impl Llm for Watched<dyn Llm> {
    fn name(&self) -> &'static str {
        self.vendor.name()
    }

    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        let mut mark = Some(self.mark.clone());
        let answer = self.vendor.answer(ask).inspect(move |first| {
            if let Some(mark) = mark.take() {
                mark.note(first);
            }
        });
        answer.boxed()
    }

    fn warm(&self) -> BoxFuture<'static, ()> {
        self.vendor.warm()
    }

    fn refused(&self) -> Option<Error> {
        self.mark.error()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bolo_audio::Format;
    use tokio::time::advance;

    use super::*;
    use crate::error::Origin;

    const ORIGIN: Origin = Origin {
        vendor: "deepgram",
        role: "transcriber",
        variable: "DEEPGRAM_API_KEY",
    };

    /// A vendor whose connections all fail with this.
    struct Fails(Error);

    #[async_trait]
    impl Transcriber for Fails {
        fn name(&self) -> &'static str {
            "deepgram"
        }

        async fn open(&self, _: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
            Err(self.0.clone())
        }
    }

    fn watched(
        memory: &Refused,
        error: Error,
        model: &str,
        keys: [(&str, &str); 1],
    ) -> Arc<Watched<dyn Transcriber>> {
        let keys = keys.map(|(name, key)| (name.to_owned(), key.into()));
        let vendor: Arc<dyn Transcriber> = Arc::new(Fails(error));
        memory.watch(
            vendor,
            ["transcriber", "deepgram", model],
            &Keys(keys.into()),
        )
    }

    async fn open(vendor: &Watched<dyn Transcriber>) {
        let spec = TranscriberSpec {
            model: String::new(),
            language: String::new(),
            endpointing_ms: 0,
            keywords: Vec::new(),
            format: Format::Mulaw8k,
            execution: String::new(),
        };
        assert!(vendor.open(&spec).await.is_err());
    }

    #[tokio::test(start_paused = true)] // R196
    async fn a_refused_key_is_remembered_for_a_minute_by_all_who_have_it() {
        let memory = Refused::default();
        let (key, other) = ([("DEEPGRAM", "one")], [("DEEPGRAM", "two")]);
        for _ in 0..CALLS {
            let vendor = watched(&memory, ORIGIN.bad_key(), "nova-3", key);
            assert!(vendor.refused().is_none());
            // More than once in a call tells no more.
            open(&vendor).await;
            open(&vendor).await;
        }
        let same = watched(&memory, ORIGIN.dropped(), "nova-3", key);
        assert_eq!(same.refused().unwrap().kind, ErrorKind::Auth);
        for (model, key) in [("nova-3", other), ("nova-2", key)] {
            let vendor = watched(&memory, ORIGIN.dropped(), model, key);
            assert!(vendor.refused().is_none(), "{model}");
        }
        // Trouble of another kind tells nothing of the key.
        open(&same).await;
        assert!(same.refused().is_some());
        advance(COUNTS).await;
        assert!(same.refused().is_none());
        // After that minute one call is enough.
        open(&watched(&memory, ORIGIN.bad_key(), "nova-3", key)).await;
        assert!(same.refused().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_taken_was_not_refused() {
        let memory = Refused::default();
        let refuses = || watched(&memory, ORIGIN.bad_key(), "nova-3", [("DEEPGRAM", "one")]);
        open(&refuses()).await;
        refuses().mark.note(&Ok(()));
        open(&refuses()).await;
        assert!(refuses().refused().is_none());
        open(&refuses()).await;
        assert!(refuses().refused().is_some());
        refuses().mark.note(&Ok(()));
        assert!(refuses().refused().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_remembered_than_have_room() {
        let memory = Refused::default();
        let error = || Err::<(), _>(ORIGIN.bad_key());
        let mark = |key: u64| Mark {
            of: memory.clone(),
            key,
            counted: Arc::default(),
        };
        for key in 0..=MOST as u64 {
            mark(key).note(&error());
        }
        assert_eq!(memory.refused().len(), MOST);
        // What counts no more makes room.
        advance(COUNTS).await;
        mark(u64::MAX).note(&error());
        assert_eq!(memory.refused().len(), 1);
    }
}
