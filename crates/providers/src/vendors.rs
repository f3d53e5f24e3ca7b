//! From an agent's words to a vendor: which client, which key, which address.

use std::{collections::HashMap, sync::Arc};

use bolo_agent::{SynthesizerVendor, TranscriberVendor};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Embedder, Error, ErrorKind, Llm, Synthesizer, SynthesizerSpec, Transcriber, TranscriberSpec,
    error::Origin,
    llm::openai::{self, DIALECTS, OpenAi},
    local,
    synthesizer::elevenlabs::{self, Elevenlabs},
    transcriber::deepgram::{self, Deepgram},
};

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
    http: reqwest::Client,
    tls: Arc<rustls::ClientConfig>,
    local: local::Speech,
    llm_limits: openai::Limits,
}

impl Vendors {
    /// `settings` by vendor name (`deepgram`, `openai`, `elevenlabs`, `demo`). `models` tells where the
    /// local models lie; they load when first used. `speech_threads` bounds local inference.
    /// `http` and `tls` come from [`crate::http`].
    pub fn new(
        settings: HashMap<String, VendorSettings>,
        models: bolo_models::Store,
        speech_threads: usize,
        http: reqwest::Client,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            http,
            tls,
            local: local::Speech::new(models, speech_threads),
            llm_limits: openai::Limits::default(),
        }
    }

    /// Replaces the time limits of models (R194: 5 s, 8 s, 30 s).
    pub fn with_llm_limits(self, llm_limits: openai::Limits) -> Self {
        Self { llm_limits, ..self }
    }

    /// The agent's transcriber with the key to use, and its spec without the format. `Err` when the key
    /// is missing (`Auth`, names the variable), the language can't be done, or a model file is missing.
    pub fn transcriber(
        &self,
        agent: &bolo_agent::Transcriber,
        keys: &Keys,
        format: bolo_audio::Format,
    ) -> Result<(Arc<dyn Transcriber>, TranscriberSpec), Error> {
        let spec = TranscriberSpec {
            model: agent.model.clone(),
            language: agent.language.clone(),
            endpointing_ms: agent.endpointing_ms,
            keywords: agent.keywords.clone(),
            format,
        };
        let transcriber: Arc<dyn Transcriber> = match agent.vendor {
            TranscriberVendor::Deepgram => {
                let origin = deepgram::ORIGIN;
                let key = self.key(origin, &["DEEPGRAM", "DEEPGRAM_AUTH_TOKEN"], keys)?;
                let base = self.base_url(origin.vendor).unwrap_or(deepgram::BASE_URL);
                Arc::new(Deepgram::new(
                    base,
                    key,
                    self.tls.clone(),
                    deepgram::Limits::default(),
                ))
            }
            TranscriberVendor::Local => {
                self.local.check_transcriber(&spec.language)?;
                self.local.transcriber()
            }
        };
        Ok((transcriber, spec))
    }

    /// The agent's synthesizer, likewise. `voice_id` = `agent_data.voice_id` of the call.
    pub fn synthesizer(
        &self,
        agent: &bolo_agent::Synthesizer,
        keys: &Keys,
        voice_id: Option<&str>,
        format: bolo_audio::Format,
    ) -> Result<(Arc<dyn Synthesizer>, SynthesizerSpec), Error> {
        let spec = SynthesizerSpec {
            model: agent.model.clone(),
            voice_id: voice_id.unwrap_or(&agent.voice_id).to_owned(),
            language: agent.language.clone(),
            speed: agent.speed,
            options: agent.options.clone(),
            format,
        };
        let synthesizer: Arc<dyn Synthesizer> = match agent.vendor {
            SynthesizerVendor::Elevenlabs => {
                let origin = elevenlabs::ORIGIN;
                let key = self.key(origin, &["ELEVENLABS"], keys)?;
                let base = self.base_url(origin.vendor).unwrap_or(elevenlabs::BASE_URL);
                Arc::new(Elevenlabs::new(
                    base,
                    key,
                    self.tls.clone(),
                    elevenlabs::Limits::default(),
                ))
            }
            SynthesizerVendor::Local => {
                self.local
                    .check_synthesizer(&spec.voice_id, &spec.language)?;
                self.local.synthesizer()
            }
        };
        Ok((synthesizer, spec))
    }

    /// The agent's model, likewise.
    ///
    /// The server's own key goes to the vendor's or the server's own address only: to one that an agent
    /// names, goes no key but the account's.
    pub fn llm(&self, agent: &bolo_agent::LlmConfig, keys: &Keys) -> Result<Arc<dyn Llm>, Error> {
        let Some(dialect) = openai::dialect(&agent.provider) else {
            let names: Vec<_> = DIALECTS.iter().map(|dialect| dialect.name).collect();
            return Err(Error {
                kind: ErrorKind::BadRequest,
                vendor: "unknown",
                role: "llm",
                cause: format!(
                    "provider {:?} is none of {}",
                    agent.provider,
                    names.join(", ")
                ),
                retry_after: None,
            });
        };
        let origin = openai::origin(dialect);
        let of_server = self
            .base_url(dialect.name)
            .or(Some(dialect.base_url).filter(|base| !base.is_empty()));
        let of_agent = agent.base_url.as_ref().map(url::Url::as_str);
        let base = of_agent.or(of_server).ok_or_else(|| {
            origin.fault(
                ErrorKind::BadRequest,
                format!(
                    "no address (set base_url in llm_config or providers.{}.base_url)",
                    dialect.name
                ),
            )
        })?;
        let trimmed = |base: &str| base.trim_end_matches('/').to_owned();
        let server_key_may_go =
            of_agent.is_none() || of_agent.map(trimmed) == of_server.map(trimmed);
        let own = own_key(dialect.keys, keys);
        let key = own.or_else(|| self.server_key(dialect.name).filter(|_| server_key_may_go));
        if key.is_none() && dialect.needs_key {
            return Err(origin.no_key());
        }
        Ok(Arc::new(OpenAi::new(
            dialect,
            base,
            key,
            self.http.clone(),
            self.llm_limits,
        )?))
    }

    /// The embedder for routes: local.
    pub fn embedder(&self) -> Result<Arc<dyn Embedder>, Error> {
        Ok(self.local.embedder())
    }

    fn key(&self, origin: Origin, names: &[&str], keys: &Keys) -> Result<SecretString, Error> {
        own_key(names, keys)
            .or_else(|| self.server_key(origin.vendor))
            .ok_or_else(|| origin.no_key())
    }

    fn server_key(&self, vendor: &str) -> Option<SecretString> {
        let key = self.settings.get(vendor)?.api_key.as_ref();
        key.filter(|key| !key.expose_secret().is_empty()).cloned()
    }

    fn base_url(&self, vendor: &str) -> Option<&str> {
        self.settings
            .get(vendor)?
            .base_url
            .as_deref()
            .filter(|base| !base.is_empty())
    }
}

/// An account's own key, under any of its names.
fn own_key(names: &[&str], keys: &Keys) -> Option<SecretString> {
    let named = names.iter().find_map(|name| {
        keys.0
            .get(*name)
            .or_else(|| keys.0.get(&format!("{name}_API_KEY")))
    });
    named.filter(|key| !key.expose_secret().is_empty()).cloned()
}

#[cfg(test)]
#[path = "vendors_tests.rs"]
mod tests;
