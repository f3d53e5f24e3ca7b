//! `tools_config.synthesizer`: which vendor speaks, and in which voice. Source: agent-config.md §4.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{local, transcriber::Transcriber};
use crate::place::Place;

/// Who turns text into speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynthesizerVendor {
    /// ElevenLabs over its multi-context sockets.
    Elevenlabs,
    /// Deepgram Aura over its socket.
    Deepgram,
    /// Cartesia over its socket.
    Cartesia,
    /// OpenAI's speech over HTTP.
    Openai,
    /// Sarvam over its socket.
    Sarvam,
    /// Azure's speech over HTTP. On the wire `azuretts`.
    Azure,
    /// AWS Polly over HTTP.
    Polly,
    /// Rime over its socket.
    Rime,
    /// Smallest over its socket.
    Smallest,
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
    /// The vendor's id of the voice; equal to `voice` where the document names none. Empty for local:
    /// the voice of the language.
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

impl SynthesizerVendor {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::Elevenlabs,
        Self::Deepgram,
        Self::Cartesia,
        Self::Openai,
        Self::Sarvam,
        Self::Azure,
        Self::Polly,
        Self::Rime,
        Self::Smallest,
        Self::Local,
    ];

    /// As it stands in documents, usage and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elevenlabs => "elevenlabs",
            Self::Deepgram => "deepgram",
            Self::Cartesia => "cartesia",
            Self::Openai => "openai",
            Self::Sarvam => "sarvam",
            Self::Azure => "azuretts",
            Self::Polly => "polly",
            Self::Rime => "rime",
            Self::Smallest => "smallest",
            Self::Local => "local",
        }
    }
}

const TO_COME: [&str; 3] = ["pixa", "maya", "styletts"];

impl Synthesizer {
    /// `None` after a fault that leaves nothing to go on with.
    pub(crate) fn read(place: &Place<'_>, transcriber: Option<&Transcriber>) -> Option<Self> {
        let place = place.clone().required()?;
        place.object()?;
        place.at("stream").flag(true);
        place
            .at("audio_format")
            .word(&["wav", "pcm", "mp3", "ulaw"]);
        let buffer_size = place
            .at("buffer_size")
            .whole(0..=10_000)
            .map_or(250, |size| size as usize);
        let caching = place.at("caching").flag(true);
        let config = place.at("provider_config");
        if config.is_present() {
            config.object()?;
        }
        let speed = config
            .at("speed")
            .number(0.25..=4.0)
            .map_or(1.0, |speed| speed as f32);
        let names = SynthesizerVendor::ALL.map(SynthesizerVendor::as_str);
        let name = (place.at("provider").required()?).choice("vendor", &names, &TO_COME)?;
        let vendor = (SynthesizerVendor::ALL.into_iter()).find(|vendor| vendor.as_str() == name)?;
        // The voice speaks the language that a multilingual transcriber is set to expect.
        let heard = transcriber.map_or("en", |transcriber| transcriber.language.as_str());
        let heard = heard.strip_prefix("multi-").unwrap_or(heard);
        let voice = match vendor {
            SynthesizerVendor::Local => local::voice(&config, heard),
            _ => vendors_voice(vendor, &config.clone().required()?, heard)?,
        };
        Some(Self {
            vendor,
            voice: voice.name.to_owned(),
            voice_id: voice.id.to_owned(),
            model: voice.model.to_owned(),
            language: voice.language.to_owned(),
            speed,
            buffer_size,
            caching,
            options: options(config.object()),
        })
    }
}

/// What a vendor's `provider_config` comes to.
pub(super) struct Voice<'d> {
    pub name: &'d str,
    pub id: &'d str,
    pub model: &'d str,
    pub language: &'d str,
}

/// `heard` is the language of the transcriber. Where a document leaves out the voice's id or its language,
/// as samples of all vendors do, the voice's name and `heard` stand in.
fn vendors_voice<'d>(
    vendor: SynthesizerVendor,
    config: &Place<'d>,
    heard: &'d str,
) -> Option<Voice<'d>> {
    // Only ElevenLabs finds the language by itself.
    let heard = match (heard, vendor) {
        ("multi", vendor) if vendor != SynthesizerVendor::Elevenlabs => "en",
        _ => heard,
    };
    let voice = config.at("voice").required_text();
    let model = match vendor {
        SynthesizerVendor::Polly => {
            let engine = config.at("engine").required()?;
            engine.word(&["standard", "neural", "long-form", "generative"])
        }
        _ => config.at("model").required_text(),
    };
    for (option, range) in ranges(vendor) {
        config.at(option).number(range.clone());
    }
    match vendor {
        SynthesizerVendor::Elevenlabs => {
            check_endpoint(&config.at("endpoint"), model.unwrap_or_default());
        }
        SynthesizerVendor::Deepgram => {
            config.at("mip_opt_out").flag(false);
        }
        _ => {}
    }
    let (id, language) = (
        config.at("voice_id").some_text(),
        config.at("language").some_text(),
    );
    Some(Voice {
        name: voice?,
        id: id.or(voice)?,
        model: model?,
        language: language.unwrap_or(heard),
    })
}

/// Which of ElevenLabs' sockets; its v3 models have one of their own.
fn check_endpoint(place: &Place<'_>, model: &str) {
    let known = place.word(&["multi-stream-input", "stream-input"]);
    if known.is_some() && model.starts_with("eleven_v3") {
        place.fault(format_args!("{model} speaks over another; leave this out"));
    }
}

/// Numbers that a vendor takes, and from where to where.
fn ranges(vendor: SynthesizerVendor) -> &'static [(&'static str, RangeInclusive<f64>)] {
    match vendor {
        SynthesizerVendor::Elevenlabs => &[
            ("temperature", 0.0..=1.0),
            ("stability", 0.0..=1.0),
            ("similarity_boost", 0.0..=1.0),
            ("style", 0.0..=1.0),
        ],
        SynthesizerVendor::Cartesia => &[("volume", 0.5..=2.0)],
        SynthesizerVendor::Sarvam => &[
            ("pitch", -0.75..=0.75),
            ("loudness", 0.3..=3.0),
            ("temperature", 0.01..=1.0),
        ],
        _ => &[],
    }
}

/// What `Synthesizer` has no field of its own for.
fn options(config: Option<&Map<String, Value>>) -> Map<String, Value> {
    let is_rest = |key: &str| !["voice", "voice_id", "model", "language", "speed"].contains(&key);
    let rest = config
        .into_iter()
        .flatten()
        .filter(|(key, value)| is_rest(key) && !value.is_null());
    rest.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
