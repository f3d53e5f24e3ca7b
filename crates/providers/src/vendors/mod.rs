//! From an agent's words to a vendor: which client, which key, which address.

mod llms;
mod refused;
mod synthesizers;
mod transcribers;

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    Embedder, Error, PublicClient,
    error::Origin,
    llm::{Allowance, Limits},
    local,
    synthesizer::SynthesizerLimits,
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
    pub(crate) http: reqwest::Client,
    of_agents: PublicClient,
    tls: Arc<rustls::ClientConfig>,
    local: local::Speech,
    llm_limits: Limits,
    llm_hedge: Option<(Duration, Allowance)>,
    synthesizer_limits: SynthesizerLimits,
    refused: refused::Refused,
}

impl Vendors {
    /// `settings` by vendor name (`deepgram`, `openai`, `elevenlabs`, `demo`). `models` tells where the
    /// local models lie; they load when first used. `speech_threads` bounds local inference.
    /// `http` and `tls` come from [`crate::http`]; `of_agents` asks the models whose addresses agents name.
    pub fn new(
        settings: HashMap<String, VendorSettings>,
        models: bolo_models::Store,
        speech_threads: usize,
        http: reqwest::Client,
        of_agents: PublicClient,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            http,
            of_agents,
            tls,
            local: local::Speech::new(models, speech_threads),
            llm_limits: Limits::default(),
            llm_hedge: None,
            synthesizer_limits: SynthesizerLimits::default(),
            refused: refused::Refused::default(),
        }
    }

    /// Replaces the time limits of models (R194: 5 s, 8 s, 30 s).
    pub fn with_llm_limits(self, llm_limits: Limits) -> Self {
        Self { llm_limits, ..self }
    }

    /// Replaces the time limits of synthesizers.
    pub fn with_synthesizer_limits(self, synthesizer_limits: SynthesizerLimits) -> Self {
        Self {
            synthesizer_limits,
            ..self
        }
    }

    /// A model that has said nothing after this time is asked a second time; zero: never.
    pub fn with_llm_hedge(self, after: Duration) -> Self {
        let llm_hedge = (!after.is_zero()).then(|| (after, Allowance::default()));
        Self { llm_hedge, ..self }
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

    pub(crate) fn server_key(&self, vendor: &str) -> Option<SecretString> {
        let key = self.settings.get(vendor)?.api_key.as_ref();
        key.filter(|key| !key.expose_secret().is_empty()).cloned()
    }

    pub(crate) fn base_url(&self, vendor: &str) -> Option<&str> {
        self.settings
            .get(vendor)?
            .base_url
            .as_deref()
            .filter(|base| !base.is_empty())
    }
}

/// An account's own key, under any of its names.
pub(crate) fn own_key(names: &[&str], keys: &Keys) -> Option<SecretString> {
    let named = names.iter().find_map(|name| {
        keys.0
            .get(*name)
            .or_else(|| keys.0.get(&format!("{name}_API_KEY")))
    });
    named.filter(|key| !key.expose_secret().is_empty()).cloned()
}

#[cfg(test)]
mod tests;
