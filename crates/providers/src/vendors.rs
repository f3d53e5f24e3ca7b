//! From an agent's words to a vendor: which client, which key, which address.

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretString;

use crate::{Embedder, Error, Llm, Synthesizer, SynthesizerSpec, Transcriber, TranscriberSpec};

/// `providers.<vendor>` of the server's configuration.
#[derive(Debug, Clone, Default)]
pub struct VendorSettings {
    /// Replaces the vendor's address, scheme included.
    pub base_url: Option<String>,
    /// Used where the account has no key of its own.
    pub api_key: Option<SecretString>,
}

/// An account's own keys by canonical name (`OPENAI`, `DEEPGRAM`, …; `_API_KEY` stripped).
#[derive(Debug, Clone, Default)]
pub struct Keys(pub HashMap<String, SecretString>);

/// All vendors of this process: one HTTP client, one TLS configuration, one pool of local speech.
#[derive(Clone)]
pub struct Vendors {
    settings: Arc<HashMap<String, VendorSettings>>,
}

impl Vendors {
    /// `settings` by vendor name (`deepgram`, `openai`, `elevenlabs`, `demo`). `models` tells where the
    /// local models lie; they load when first used. `speech_threads` bounds local inference.
    pub fn new(
        settings: HashMap<String, VendorSettings>,
        models: bolo_models::Store,
        speech_threads: usize,
        http: reqwest::Client,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let _ = (models, speech_threads, http, tls);
        Self {
            settings: Arc::new(settings),
        }
    }

    /// The agent's transcriber with the key to use, and its spec without the format. `Err` when the key
    /// is missing (`Auth`, names the variable), the language can't be done, or a model file is missing.
    pub fn transcriber(
        &self,
        agent: &bolo_agent::Transcriber,
        keys: &Keys,
        format: bolo_audio::Format,
    ) -> Result<(Arc<dyn Transcriber>, TranscriberSpec), Error> {
        let _ = (agent, keys, format, &self.settings);
        unreachable!()
    }

    /// The agent's synthesizer, likewise. `voice_id` = `agent_data.voice_id` of the call.
    pub fn synthesizer(
        &self,
        agent: &bolo_agent::Synthesizer,
        keys: &Keys,
        voice_id: Option<&str>,
        format: bolo_audio::Format,
    ) -> Result<(Arc<dyn Synthesizer>, SynthesizerSpec), Error> {
        let _ = (agent, keys, voice_id, format);
        unreachable!()
    }

    /// The agent's model, likewise.
    pub fn llm(&self, agent: &bolo_agent::LlmConfig, keys: &Keys) -> Result<Arc<dyn Llm>, Error> {
        let _ = (agent, keys);
        unreachable!()
    }

    /// The embedder for routes: local.
    pub fn embedder(&self) -> Result<Arc<dyn Embedder>, Error> {
        unreachable!()
    }
}
