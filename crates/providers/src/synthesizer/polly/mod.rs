//! AWS Polly over HTTP: raw samples of 8 or 16 kHz, requests signed. Source: wire-providers.md §B.5.

mod signature;

use std::time::Duration;

use bolo_audio::Format;
use secrecy::SecretString;
use serde_json::json;

use self::signature::Signer;
use super::requested::{Vendor, address};
use crate::{Error, ErrorKind, SynthesizerSpec, error::Origin};

/// Polly with a key.
pub(crate) struct Polly {
    /// `https://polly.<region>.amazonaws.com`.
    pub(crate) base_url: String,
    pub(crate) region: String,
    pub(crate) key_id: String,
    pub(crate) secret: SecretString,
}

/// Where a region's Polly is.
pub(crate) fn base_url(region: &str) -> String {
    format!("https://polly.{region}.amazonaws.com")
}

impl Vendor for Polly {
    const ORIGIN: Origin = Origin {
        vendor: "polly",
        role: "synthesizer",
        variable: "AWS_SECRET_ACCESS_KEY",
    };
    const LONGEST: usize = 2900;

    fn made(&self, spec: &SynthesizerSpec) -> Result<Format, Error> {
        let rate = if spec.format.rate() == 8000 {
            8000
        } else {
            16_000
        };
        Ok(Format::Pcm16 { rate })
    }

    fn request(
        &self,
        http: &reqwest::Client,
        spec: &SynthesizerSpec,
        text: &str,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = address(Self::ORIGIN, &self.base_url, &["v1", "speech"])?;
        let (text, kind) = match spec.speed == 1.0 {
            true => (text.to_owned(), "text"),
            false => (slowed(text, spec.speed), "ssml"),
        };
        let engine = spec
            .options
            .get("engine")
            .and_then(|engine| engine.as_str());
        let mut body = json!({
            "Engine": engine.unwrap_or(&spec.model),
            "OutputFormat": "pcm",
            "SampleRate": self.made(spec)?.rate().to_string(),
            "Text": text,
            "TextType": kind,
            "VoiceId": plain(&spec.voice_id),
        });
        // A bare language is none of the vendor's; the voice has its own.
        if spec.language.contains('-') {
            body["LanguageCode"] = spec.language.as_str().into();
        }
        let body = body.to_string();
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => {
                return Err(Self::ORIGIN.fault(ErrorKind::BadRequest, "base_url names no host"));
            }
        };
        let signer = Signer {
            region: &self.region,
            key_id: &self.key_id,
            secret: &self.secret,
        };
        let (date, authorization) = signer.sign(&host, url.path(), &body, chrono::Utc::now());
        Ok(http
            .post(url)
            .header("content-type", signature::CONTENT_TYPE)
            .header("x-amz-date", date)
            .header("authorization", authorization)
            .body(body))
    }

    fn refused(status: u16, words: &str, retry_after: Option<Duration>) -> Error {
        match status {
            400 if words.contains("Rate exceeded") => Self::ORIGIN.rate_limited(retry_after),
            status => Self::ORIGIN.status(status, words, retry_after),
        }
    }
}

fn slowed(text: &str, speed: f32) -> String {
    let text = super::ssml::escaped(text);
    let rate = (speed.clamp(0.2, 2.0) * 100.0).round();
    format!("<speak><prosody rate=\"{rate}%\">{text}</prosody></speak>")
}

/// Ids of voices have no accents, their names have.
fn plain(voice: &str) -> String {
    let letter = |c| match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'î' | 'ï' => 'i',
        'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    };
    voice.chars().map(letter).collect()
}
