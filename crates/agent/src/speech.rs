//! Transcriber and synthesizer of an agent. Source: agent-config.md §4, §5.

use serde_json::{Map, Value};

/// Who turns speech into text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TranscriberVendor {
    /// Deepgram nova over `/v1/listen`.
    Deepgram,
    /// Moonshine in this process; no key. On the wire `local`.
    Local,
}

/// `tools_config.transcriber`.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcriber {
    /// Default deepgram.
    pub vendor: TranscriberVendor,
    /// Default nova-3 for deepgram, moonshine-tiny-en for local.
    pub model: String,
    /// ISO 639-1, or the vendor's own such as `multi`; default `en`.
    pub language: String,
    /// Silence that ends a turn, ms; default 250.
    pub endpointing_ms: u32,
    /// Words to listen for.
    pub keywords: Vec<String>,
}

/// Who turns text into speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynthesizerVendor {
    /// ElevenLabs over its multi-context socket.
    Elevenlabs,
    /// SVOX Pico in this process; no key. On the wire `local`.
    Local,
}

/// `tools_config.synthesizer`.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesizer {
    /// No default: the field is required.
    pub vendor: SynthesizerVendor,
    /// Display name of the voice.
    pub voice: String,
    /// The vendor's id of the voice; equal to `voice` where the document names none.
    pub voice_id: String,
    /// The vendor's model; empty for local.
    pub model: String,
    /// Language of the voice; the transcriber's where not given.
    pub language: String,
    /// 1.0 = as recorded.
    pub speed: f32,
    /// Characters gathered before a piece is spoken; default 250.
    pub buffer_size: usize,
    /// Keep rendered clips; default true.
    pub caching: bool,
    /// The rest of `provider_config` (stability, similarity_boost, …), verbatim.
    pub options: Map<String, Value>,
}

impl TranscriberVendor {
    /// As it stands in documents, usage and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
            Self::Local => "local",
        }
    }
}

impl SynthesizerVendor {
    /// As it stands in documents, usage and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elevenlabs => "elevenlabs",
            Self::Local => "local",
        }
    }
}
