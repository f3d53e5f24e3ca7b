//! The agent's synthesizer: its client, its key, its address.

use std::sync::Arc;

use bolo_agent::SynthesizerVendor;
use secrecy::{ExposeSecret, SecretString};

use super::{Keys, Vendors, own_key};
use crate::{
    Error, ErrorKind, Synthesizer, SynthesizerSpec,
    error::Origin,
    synthesizer::{
        azure::Azure,
        cartesia::Cartesia,
        deepgram::Aura,
        elevenlabs::{self, Elevenlabs, dialogue::Dialogue, stream::Stream},
        openai::{self, OpenAi},
        polly::{self, Polly},
        requested::{Requested, Vendor},
        rime::Rime,
        sarvam::Sarvam,
        smallest::Smallest,
        streamed::{Streamed, Wire},
    },
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
            SynthesizerVendor::Elevenlabs if spec.model.starts_with("eleven_v3") => {
                self.streamed::<Dialogue>(keys)?
            }
            SynthesizerVendor::Elevenlabs if elevenlabs::is_stream_input(&spec) => {
                self.streamed::<Stream>(keys)?
            }
            SynthesizerVendor::Elevenlabs => {
                let origin = elevenlabs::ORIGIN;
                let key = self.key(origin, &["ELEVENLABS"], keys)?;
                let base = self.base_url(origin.vendor).unwrap_or(elevenlabs::BASE_URL);
                let limits = elevenlabs::Limits::within(self.synthesizer_limits);
                Arc::new(Elevenlabs::new(base, key, self.tls.clone(), limits))
            }
            SynthesizerVendor::Deepgram => self.streamed::<Aura>(keys)?,
            SynthesizerVendor::Cartesia => self.streamed::<Cartesia>(keys)?,
            SynthesizerVendor::Sarvam => self.streamed::<Sarvam>(keys)?,
            SynthesizerVendor::Rime => self.streamed::<Rime>(keys)?,
            SynthesizerVendor::Smallest => self.streamed::<Smallest>(keys)?,
            SynthesizerVendor::Openai => self.requested(OpenAi {
                key: self.key(OpenAi::ORIGIN, &["OPENAI"], keys)?,
                base_url: self.base_or(OpenAi::ORIGIN, openai::BASE_URL),
            }),
            SynthesizerVendor::Azure => self.requested(self.azure(keys)?),
            SynthesizerVendor::Polly => self.requested(self.polly(keys)?),
            SynthesizerVendor::Local => {
                self.local
                    .check_synthesizer(&spec.voice_id, &spec.language)?;
                self.local.synthesizer()
            }
        };
        let which = ["synthesizer", agent.vendor.as_str(), &spec.model];
        Ok((self.refused.watch(synthesizer, which, keys), spec))
    }

    fn streamed<W: Wire>(&self, keys: &Keys) -> Result<Arc<dyn Synthesizer>, Error> {
        let key = self.key(W::ORIGIN, W::KEYS, keys)?;
        let base = self.base_url(W::ORIGIN.vendor).unwrap_or(W::BASE_URL);
        let (tls, limits) = (self.tls.clone(), self.synthesizer_limits);
        Ok(Arc::new(Streamed::<W>::new(base, key, tls, limits)))
    }

    fn requested<V: Vendor>(&self, vendor: V) -> Arc<dyn Synthesizer> {
        let limit = self.synthesizer_limits.audio;
        Arc::new(Requested::new(vendor, self.http.clone(), limit))
    }

    fn base_or(&self, origin: Origin, other: &str) -> String {
        self.base_url(origin.vendor).unwrap_or(other).to_owned()
    }

    /// An account names its region; for the server's key it stands in the address.
    fn azure(&self, keys: &Keys) -> Result<Azure, Error> {
        let origin = Azure::ORIGIN;
        let names = ["AZURE_SPEECH_KEY", "AZURETTS", "AZURE_SPEECH"];
        let key = self.key(origin, &names, keys)?;
        let of_region = region(origin, "AZURE_SPEECH_REGION", keys)?
            .map(|region| format!("https://{region}.tts.speech.microsoft.com"));
        let base = self.base_url(origin.vendor).map(str::to_owned);
        let base_url = base.or(of_region).ok_or_else(|| {
            origin.fault(
                ErrorKind::BadRequest,
                "no region (add AZURE_SPEECH_REGION with POST /providers, or set providers.azuretts.base_url)",
            )
        })?;
        Ok(Azure { base_url, key })
    }

    /// The server's key is `<access key id>:<secret access key>`, its region part of the address.
    fn polly(&self, keys: &Keys) -> Result<Polly, Error> {
        let origin = Polly::ORIGIN;
        let own = |name| own_key(&[name], keys).map(|key| key.expose_secret().trim().to_owned());
        let base = self.base_url(origin.vendor);
        let in_address = base
            .and_then(|base| base.split_once("//polly."))
            .and_then(|(_, rest)| rest.split('.').next());
        let region = region(origin, "AWS_REGION", keys)?
            .or_else(|| in_address.map(str::to_owned))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let of_account = own("AWS_ACCESS_KEY_ID").zip(own("AWS_SECRET_ACCESS_KEY"));
        let of_server = || {
            let key = self.server_key(origin.vendor)?;
            let (id, secret) = key.expose_secret().split_once(':')?;
            Some((id.to_owned(), secret.to_owned()))
        };
        let (key_id, secret) = of_account.or_else(of_server).ok_or_else(|| {
            origin.fault(
                ErrorKind::Auth,
                "no key (add AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with POST /providers, \
                 or set providers.polly.api_key to <id>:<secret>)",
            )
        })?;
        Ok(Polly {
            base_url: base.map_or_else(|| polly::base_url(&region), str::to_owned),
            region,
            key_id,
            secret: SecretString::from(secret),
        })
    }
}

/// An account's region. It becomes part of a host's name, so nothing else may be in it.
fn region(origin: Origin, name: &'static str, keys: &Keys) -> Result<Option<String>, Error> {
    let Some(region) = own_key(&[name], keys) else {
        return Ok(None);
    };
    let region = region.expose_secret().trim().to_lowercase();
    match region
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        true => Ok(Some(region)),
        false => Err(origin.fault(ErrorKind::BadRequest, format!("{name} is no region's name"))),
    }
}
