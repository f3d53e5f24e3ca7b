//! The agent's synthesizer: its client, its key, its address.

use std::sync::Arc;

use bolo_agent::SynthesizerVendor;

use super::{Keys, Vendors};
use crate::{
    Error, Synthesizer, SynthesizerSpec,
    synthesizer::elevenlabs::{self, Elevenlabs},
};

impl Vendors {
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
}
