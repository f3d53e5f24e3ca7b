//! OpenAI's speech over HTTP, as raw 24 kHz samples while they are made. Source: wire-providers.md §B.6.

use bolo_audio::Format;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::requested::{Vendor, address};
use crate::{Error, SynthesizerSpec, error::Origin};

/// Where OpenAI speaks.
pub(crate) const BASE_URL: &str = "https://api.openai.com/v1";

/// OpenAI with a key.
pub(crate) struct OpenAi {
    /// With its version, without a slash at the end.
    pub(crate) base_url: String,
    pub(crate) key: SecretString,
}

impl Vendor for OpenAi {
    const ORIGIN: Origin = Origin {
        vendor: "openai",
        role: "synthesizer",
        variable: "OPENAI_API_KEY",
    };
    const LONGEST: usize = 4096;

    fn made(&self, _spec: &SynthesizerSpec) -> Result<Format, Error> {
        Ok(Format::Pcm16 { rate: 24_000 })
    }

    fn request(
        &self,
        http: &reqwest::Client,
        spec: &SynthesizerSpec,
        text: &str,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = address(Self::ORIGIN, &self.base_url, &["audio", "speech"])?;
        let mut body = json!({
            "model": spec.model,
            "voice": spec.voice_id,
            "input": text,
            "response_format": "pcm",
            "speed": spec.speed,
        });
        if let Some(instructions) = spec.options.get("instructions") {
            body["instructions"] = instructions.clone();
        }
        Ok(http
            .post(url)
            .bearer_auth(self.key.expose_secret())
            .json(&body))
    }
}
