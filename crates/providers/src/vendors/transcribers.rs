//! The agent's transcriber: its client, its key, its address.

use std::{sync::Arc, time::Duration};

use bolo_agent::TranscriberVendor;

use super::{Keys, Vendors};
use crate::{
    Error, Transcriber, TranscriberSpec,
    error::Origin,
    transcriber::{
        Access, Limits,
        assembly::{self, Assembly},
        deepgram::{self, Deepgram},
        gladia::{self, Gladia},
        openai::{self, OpenAi},
        sarvam::{self, Sarvam},
        scribe::{self, Scribe},
        smallest::{self, Smallest},
        soniox::{self, Soniox},
    },
};

/// For the last words of a vendor that does not close; none bills at the close.
const CLOSE: Duration = Duration::from_secs(2);

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
                let limits = deepgram::Limits::default();
                let deepgram =
                    Deepgram::new(base, key, self.tls.clone(), limits, agent.flux.clone());
                Arc::new(deepgram.opted_out(agent.mip_opt_out))
            }
            TranscriberVendor::Assembly => {
                let origin = assembly::ORIGIN;
                let key = self.key(origin, &["ASSEMBLY", "ASSEMBLYAI"], keys)?;
                let base = self.base_url(origin.vendor).unwrap_or(assembly::BASE_URL);
                Arc::new(Assembly::new(base, key, self.tls.clone()))
            }
            TranscriberVendor::Elevenlabs => {
                let names = ["ELEVENLABS"];
                let access = self.access(scribe::ORIGIN, &names, scribe::BASE_URL, keys)?;
                Arc::new(Scribe::new(access))
            }
            TranscriberVendor::Sarvam => {
                let access = self.access(sarvam::ORIGIN, &["SARVAM"], sarvam::BASE_URL, keys)?;
                Arc::new(Sarvam::new(access))
            }
            TranscriberVendor::Openai => {
                let access = self.access(openai::ORIGIN, &["OPENAI"], openai::BASE_URL, keys)?;
                let detector = agent.detector.clone().unwrap_or_default();
                Arc::new(OpenAi::new(access, detector))
            }
            TranscriberVendor::Soniox => {
                let access = self.access(soniox::ORIGIN, &["SONIOX"], soniox::BASE_URL, keys)?;
                Arc::new(Soniox::new(access))
            }
            TranscriberVendor::Gladia => {
                let access = self.access(gladia::ORIGIN, &["GLADIA"], gladia::BASE_URL, keys)?;
                Arc::new(Gladia::new(access))
            }
            TranscriberVendor::Smallest => {
                let names = ["SMALLEST"];
                let access = self.access(smallest::ORIGIN, &names, smallest::BASE_URL, keys)?;
                Arc::new(Smallest::new(access))
            }
            TranscriberVendor::Local => {
                self.local.check_transcriber(&spec.model, &spec.language)?;
                self.local.transcriber()
            }
        };
        let which = ["transcriber", agent.vendor.as_str(), &spec.model];
        Ok((self.refused.watch(transcriber, which, keys), spec))
    }

    /// What leads to a vendor: its key under any of `names`, and `base` where the settings have no other.
    fn access(
        &self,
        origin: Origin,
        names: &[&str],
        base: &str,
        keys: &Keys,
    ) -> Result<Access, Error> {
        Ok(Access {
            base_url: self.base_url(origin.vendor).unwrap_or(base).to_owned(),
            key: self.key(origin, names, keys)?,
            tls: self.tls.clone(),
            http: self.http.clone(),
            limits: Limits {
                close: CLOSE,
                ..Limits::default()
            },
        })
    }
}
