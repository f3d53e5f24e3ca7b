//! Azure's speech over HTTP: SSML in, raw audio out. Source: wire-providers.md §B.4.

use bolo_audio::Format;
use secrecy::{ExposeSecret, SecretString};

use super::{
    requested::{Vendor, address},
    ssml::escaped,
};
use crate::{Error, SynthesizerSpec, error::Origin};

/// Azure with a key.
pub(crate) struct Azure {
    /// `https://<region>.tts.speech.microsoft.com`.
    pub(crate) base_url: String,
    pub(crate) key: SecretString,
}

impl Vendor for Azure {
    const ORIGIN: Origin = Origin {
        vendor: "azuretts",
        role: "synthesizer",
        variable: "AZURE_SPEECH_KEY",
    };
    const LONGEST: usize = 2000;

    fn made(&self, spec: &SynthesizerSpec) -> Result<Format, Error> {
        Ok(match spec.format {
            Format::Pcm16 {
                rate: 8000 | 16_000 | 24_000 | 48_000,
            }
            | Format::Mulaw8k => spec.format,
            Format::Pcm16 { .. } => Format::Pcm16 { rate: 24_000 },
        })
    }

    fn request(
        &self,
        http: &reqwest::Client,
        spec: &SynthesizerSpec,
        text: &str,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = address(Self::ORIGIN, &self.base_url, &["cognitiveservices", "v1"])?;
        let format = match self.made(spec)? {
            Format::Mulaw8k => "raw-8khz-8bit-mono-mulaw".to_owned(),
            Format::Pcm16 { rate } => format!("raw-{}khz-16bit-mono-pcm", rate / 1000),
        };
        Ok(http
            .post(url)
            .header("ocp-apim-subscription-key", self.key.expose_secret())
            .header("content-type", "application/ssml+xml")
            .header("x-microsoft-outputformat", format)
            .body(ssml(spec, text)))
    }
}

fn ssml(spec: &SynthesizerSpec, text: &str) -> String {
    let (language, voice, text) = (
        escaped(&spec.language),
        escaped(&voice(spec)),
        escaped(text),
    );
    let speed = spec.speed;
    format!(
        "<speak version=\"1.0\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"{language}\">\
         <voice name=\"{voice}\"><prosody rate=\"{speed}\">{text}</prosody></voice></speak>"
    )
}

/// `en-US-JennyNeural` whole, or of language, voice and model: `en-US`, `Jenny`, `Neural`.
fn voice(spec: &SynthesizerSpec) -> String {
    match spec.voice_id.contains('-') {
        true => spec.voice_id.clone(),
        false => format!("{}-{}{}", spec.language, spec.voice_id, spec.model),
    }
}
