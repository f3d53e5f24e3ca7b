//! ElevenLabs' messages, both ways. Source: wire-providers.md §4.1, §4.2.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::faults;
use crate::{Error, SynthesizerSpec};

/// What we send. Fields that are `None` are left out.
#[derive(Default, Serialize)]
pub(super) struct Outgoing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) voice_settings: Option<&'a VoiceSettings>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) flush: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) close_context: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) close_socket: bool,
}

impl Outgoing<'_> {
    pub(super) fn to_json(&self) -> String {
        // Strings, numbers and booleans always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// How the voice is to sound; sent once a context.
#[derive(Debug, Serialize)]
pub(super) struct VoiceSettings {
    stability: f32,
    similarity_boost: f32,
    style: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_speaker_boost: Option<bool>,
    /// 0.7 to 1.2.
    speed: f32,
}

impl VoiceSettings {
    /// From the agent's options.
    pub(super) fn new(spec: &SynthesizerSpec) -> Self {
        Self {
            stability: stability(spec),
            similarity_boost: number(spec, &["similarity_boost"], 0.75),
            style: number(spec, &["style"], 0.0),
            use_speaker_boost: spec
                .options
                .get("use_speaker_boost")
                .and_then(serde_json::Value::as_bool),
            speed: spec.speed.clamp(0.7, 1.2),
        }
    }
}

/// `temperature` is the hosted product's name for it.
pub(super) fn stability(spec: &SynthesizerSpec) -> f32 {
    number(spec, &["stability", "temperature"], 0.5)
}

fn number(spec: &SynthesizerSpec, names: &[&str], default: f32) -> f32 {
    let value = names
        .iter()
        .find_map(|name| spec.options.get(*name)?.as_f64());
    value.map_or(default, |value| value as f32)
}

/// What came in, all kinds in one; other fields pass by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Incoming {
    audio: Option<String>,
    #[serde(alias = "is_final", rename = "isFinal")]
    is_final: Option<bool>,
    #[serde(alias = "context_id", rename = "contextId")]
    pub(super) context_id: Option<String>,
    pub(super) alignment: Option<Alignment>,
    error: Option<String>,
    message: Option<String>,
    code: Option<serde_json::Value>,
}

/// Times of each character of the text as we sent it, ms from the start of this message's audio.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Alignment {
    chars: Vec<String>,
    #[serde(alias = "charsStartTimesMs", rename = "charStartTimesMs")]
    starts: Vec<f64>,
    #[serde(alias = "charsDurationsMs", rename = "charDurationsMs")]
    durations: Vec<f64>,
}

impl Incoming {
    /// What the vendor reports, if this is a report.
    pub(super) fn failure(&self) -> Option<Error> {
        if self.error.is_none() && (self.message.is_none() || self.code.is_none()) {
            return None;
        }
        let code = self.code.as_ref().and_then(serde_json::Value::as_u64);
        let code = code.and_then(|code| code.try_into().ok());
        let words = [self.error.as_deref(), self.message.as_deref()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        Some(faults::failed(code, &words.join(": ")))
    }

    pub(super) fn is_final(&self) -> bool {
        self.is_final == Some(true)
    }

    /// Decoded audio; `None` when there is none or it is no base64.
    pub(super) fn audio(&self) -> Option<Bytes> {
        let audio = self.audio.as_deref().filter(|audio| !audio.is_empty())?;
        match STANDARD.decode(audio) {
            Ok(audio) => Some(audio.into()),
            Err(error) => {
                tracing::warn!(%error, "unreadable audio from elevenlabs");
                None
            }
        }
    }
}

impl Alignment {
    /// Each character with start and end, ms.
    pub(super) fn characters(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.chars.iter().enumerate().map(|(index, text)| {
            let at = |times: &[f64]| times.get(index).copied().unwrap_or_default().max(0.0);
            let start = at(&self.starts);
            (
                text.as_str(),
                start as u64,
                (start + at(&self.durations)) as u64,
            )
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for text in [
            r#"{"audio":"fw==","isFinal":null,"normalizedAlignment":null,"contextId":"c1","alignment":{"chars":["H"],"charStartTimesMs":[0],"charDurationsMs":[40]}}"#,
            r#"{"audio":"fw==","is_final":null,"context_id":"c1","alignment":{"chars":["H"],"charsStartTimesMs":[0.0],"charsDurationsMs":[40.4]}}"#,
        ] {
            let read: Incoming = serde_json::from_str(text).unwrap();
            assert_eq!(read.context_id.as_deref(), Some("c1"), "{text}");
            assert_eq!(read.audio().as_deref(), Some(&[0x7f][..]));
            assert_eq!(
                read.alignment.unwrap().characters().collect::<Vec<_>>(),
                [("H", 0, 40)]
            );
        }
        for text in [
            r#"{"isFinal":true,"contextId":"c1"}"#,
            r#"{"is_final":true,"context_id":"c1"}"#,
        ] {
            assert!(
                serde_json::from_str::<Incoming>(text).unwrap().is_final(),
                "{text}"
            );
        }
    }

    #[test]
    fn settings_are_written_as_short_numbers() {
        let spec = SynthesizerSpec {
            model: String::new(),
            voice_id: String::new(),
            language: String::new(),
            speed: 3.0,
            options: serde_json::from_str(
                r#"{"temperature":0.3,"similarity_boost":0.8,"other":1}"#,
            )
            .unwrap(),
            format: bolo_audio::Format::Mulaw8k,
        };
        assert_eq!(
            serde_json::to_string(&VoiceSettings::new(&spec)).unwrap(),
            r#"{"stability":0.3,"similarity_boost":0.8,"style":0.0,"speed":1.2}"#
        );
    }
}
