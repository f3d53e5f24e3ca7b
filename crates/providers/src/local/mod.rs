//! Speech in this process, without any key: Moonshine listens, smart-turn tells when a caller has
//! finished, Pico or a neural voice speaks, MiniLM embeds. All in a small bounded pool of threads, never on a runtime
//! thread. Models load when first used.

mod embedder;
mod listener;
mod mel;
mod minilm;
mod moonshine;
mod neural;
mod pico;
mod pool;
mod synthesizer;
mod transcriber;
mod turn;
mod voices;

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Embedder, Error, ErrorKind, Synthesizer, Transcriber};
pub use voices::{VOICES, Voice};

/// Name of this vendor in errors and logs.
const VENDOR: &str = "local";

/// Local speech of this process. Cheap to make and to clone; clones share threads and models.
#[derive(Clone)]
pub struct Speech {
    inner: Arc<Inner>,
}

struct Inner {
    models: bolo_models::Store,
    threads: usize,
    pool: Mutex<Option<Arc<pool::Pool>>>,
    moonshine: Named<moonshine::Moonshine>,
    neural: Named<neural::Neural>,
    sounds: Lazy<neural::Sounds>,
    turn: Lazy<turn::TurnModel>,
    minilm: Lazy<minilm::MiniLm>,
}

impl Speech {
    /// `threads` bounds how many inferences run at once, each on one core; 0 counts as 1. Starts
    /// nothing yet.
    pub fn new(models: bolo_models::Store, threads: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                models,
                threads,
                pool: Mutex::new(None),
                moonshine: Named::default(),
                neural: Named::default(),
                sounds: Lazy::default(),
                turn: Lazy::default(),
                minilm: Lazy::default(),
            }),
        }
    }

    /// Moonshine behind voice activity detection. English only.
    pub fn transcriber(&self) -> Arc<dyn Transcriber> {
        Arc::new(transcriber::LocalTranscriber {
            speech: self.clone(),
        })
    }

    /// Pico and the neural voices. [`VOICES`] lists what it speaks.
    pub fn synthesizer(&self) -> Arc<dyn Synthesizer> {
        Arc::new(synthesizer::LocalSynthesizer {
            speech: self.clone(),
        })
    }

    /// MiniLM.
    pub fn embedder(&self) -> Arc<dyn Embedder> {
        Arc::new(embedder::LocalEmbedder {
            speech: self.clone(),
        })
    }

    /// Whether calls in `language` can be heard here by `model` (empty: the smaller one); the error names
    /// the field and what is missing.
    pub fn check_transcriber(&self, model: &str, language: &str) -> Result<(), Error> {
        transcriber::check_language(language)?;
        let size = transcriber::size(model)?;
        for model in [size.model(), "smart-turn"] {
            self.present(model, "transcriber")?;
        }
        Ok(())
    }

    /// Whether calls can be spoken here with this voice or, where it is empty, in this language.
    pub fn check_synthesizer(&self, voice: &str, language: &str) -> Result<(), Error> {
        let voice = voices::voice(voice, language)
            .map_err(|cause| error("synthesizer", ErrorKind::BadRequest, cause))?;
        self.present(voice.model, "synthesizer")
    }

    fn present(&self, model: &str, role: &'static str) -> Result<(), Error> {
        self.inner
            .models
            .check_present(model)
            .map_err(|cause| error(role, ErrorKind::BadRequest, cause))
    }

    /// The pool, started when first asked for.
    fn pool(&self, role: &'static str) -> Result<Arc<pool::Pool>, Error> {
        let mut pool = self
            .inner
            .pool
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        let started = pool::Pool::new(self.inner.threads)
            .ok_or_else(|| error(role, ErrorKind::Server, "no speech thread can be started"))?;
        Ok(pool.insert(Arc::new(started)).clone())
    }

    fn moonshine(&self, size: moonshine::Size) -> Result<Arc<moonshine::Moonshine>, Failure> {
        let load = || moonshine::Moonshine::load(&self.inner.models, size);
        self.inner.moonshine.get(size.model(), load)
    }

    /// A neural voice, and the lexicon that all of them share.
    fn neural(
        &self,
        voice: &'static str,
    ) -> Result<(Arc<neural::Neural>, Arc<neural::Sounds>), Failure> {
        let load = || neural::Neural::load(&self.inner.models, voice);
        let loaded = self.inner.neural.get(voice, load)?;
        let sounds = self.inner.sounds.get(|| Ok(neural::Sounds::load()))?;
        Ok((loaded, sounds))
    }

    fn turn(&self) -> Result<Arc<turn::TurnModel>, Failure> {
        self.inner
            .turn
            .get(|| turn::TurnModel::load(&self.inner.models))
    }

    fn minilm(&self) -> Result<Arc<minilm::MiniLm>, Failure> {
        self.inner
            .minilm
            .get(|| minilm::MiniLm::load(&self.inner.models))
    }

    fn models(&self) -> &bolo_models::Store {
        &self.inner.models
    }
}

impl std::fmt::Debug for Speech {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Speech")
            .field("threads", &self.inner.threads)
            .finish_non_exhaustive()
    }
}

/// A model that loads once. Whoever comes while it loads waits, on a pool thread; a failure is told and
/// the next one tries again.
struct Lazy<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Lazy<T> {
    fn get(&self, load: impl FnOnce() -> Result<T, Failure>) -> Result<Arc<T>, Failure> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*slot {
            return Ok(loaded.clone());
        }
        Ok(slot.insert(Arc::new(load()?)).clone())
    }
}

/// Models of one kind by name.
struct Named<T>(Mutex<BTreeMap<&'static str, Arc<Lazy<T>>>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Named<T> {
    /// Whoever wants another one does not wait.
    fn get(
        &self,
        name: &'static str,
        load: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<Arc<T>, Failure> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(name).or_default().clone()
        };
        slot.get(load)
    }
}

/// A model failed, in words.
#[derive(Debug, Clone)]
struct Failure(String);

impl Failure {
    fn model(cause: impl Display) -> Self {
        Self(cause.to_string())
    }

    fn of(self, role: &'static str) -> Error {
        error(role, ErrorKind::Server, self.0)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<bolo_models::Error> for Failure {
    fn from(cause: bolo_models::Error) -> Self {
        Self(cause.to_string())
    }
}

fn error(role: &'static str, kind: ErrorKind, cause: impl Display) -> Error {
    Error {
        kind,
        vendor: VENDOR,
        role,
        cause: cause.to_string(),
        retry_after: None,
    }
}

/// A job that was not done, as an error of its user.
fn undone(role: &'static str, _: pool::Undone) -> Error {
    error(role, ErrorKind::Server, "a speech thread failed")
}

#[cfg(test)]
mod tests;
