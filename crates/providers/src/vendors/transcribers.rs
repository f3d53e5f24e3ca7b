//! The agent's transcriber: its client, its key, its address.

use std::sync::Arc;

use bolo_agent::TranscriberVendor;

use super::{Keys, Vendors};
use crate::{
    Error, Transcriber, TranscriberSpec,
    transcriber::{
        assembly::{self, Assembly},
        deepgram::{self, Deepgram},
    },
};

impl Vendors {
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
            execution: String::new(),
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
                    agent.flux.clone(),
                ))
            }
            TranscriberVendor::Assembly => {
                let origin = assembly::ORIGIN;
                let key = self.key(origin, &["ASSEMBLY", "ASSEMBLYAI"], keys)?;
                let base = self.base_url(origin.vendor).unwrap_or(assembly::BASE_URL);
                Arc::new(Assembly::new(base, key, self.tls.clone()))
            }
            TranscriberVendor::Local => {
                self.local.check_transcriber(&spec.language)?;
                self.local.transcriber()
            }
        };
        Ok((transcriber, spec))
    }
}
