//! Transcriber and synthesizer of an agent. Source: agent-config.md §4, §5.

use serde_json::{Map, Value};

use crate::place::Place;

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

const TRANSCRIBERS: [&str; 2] = ["deepgram", "local"];
const TRANSCRIBERS_TO_COME: [&str; 11] = [
    "azure",
    "sarvam",
    "assembly",
    "google",
    "pixa",
    "gladia",
    "elevenlabs",
    "smallest",
    "openai",
    "soniox",
    "bodhi",
];
const SYNTHESIZERS: [&str; 2] = ["elevenlabs", "local"];
const SYNTHESIZERS_TO_COME: [&str; 11] = [
    "polly", "openai", "deepgram", "azuretts", "cartesia", "smallest", "sarvam", "rime", "pixa",
    "maya", "styletts",
];
/// What the local transcriber understands.
const LOCAL_HEARS: [&str; 1] = ["en"];
/// What the local voice speaks; `en` is its American English.
const LOCAL_SPEAKS: [&str; 7] = ["en", "en-US", "en-GB", "de", "es", "fr", "it"];
/// Its voices, one a language; any other name would be taken for one of another vendor.
const LOCAL_VOICES: [&str; 6] = ["en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT"];
/// Stands for the voice of the language.
const LOCAL_VOICE: &str = "pico";

impl Transcriber {
    /// The defaults where nothing stands. `None` after a fault that leaves nothing to go on with.
    pub(crate) fn read(place: &Place<'_>) -> Option<Self> {
        if place.is_present() {
            place.object()?;
        }
        let (model, language) = (place.at("model"), place.at("language"));
        let (model_name, language_name) = (model.some_text(), language.some_text().unwrap_or("en"));
        let endpointing_ms = place.at("endpointing").whole(0..=60_000).unwrap_or(250);
        let keywords = keywords(&place.at("keywords"));
        place.at("stream").flag(true);
        place.at("sampling_rate").whole(1..=192_000);
        place.at("encoding").text();
        if place.at("multilingual").is_filled() {
            place
                .at("multilingual")
                .unsupported("listening in several languages");
        }
        let provider = place.at("provider");
        let vendor = match provider.is_present() {
            true => provider.choice("vendor", &TRANSCRIBERS, &TRANSCRIBERS_TO_COME)?,
            false => "deepgram",
        };
        let (vendor, default_model) = match vendor {
            "local" => {
                check_local(
                    &language,
                    language_name,
                    "transcriber understands",
                    &LOCAL_HEARS,
                );
                (TranscriberVendor::Local, "moonshine-tiny-en")
            }
            _ => {
                if let Some(name) = model_name.filter(|name| name.starts_with("flux")) {
                    model.unsupported(format_args!("model {name:?}"));
                }
                (TranscriberVendor::Deepgram, "nova-3")
            }
        };
        Some(Self {
            vendor,
            model: model_name.unwrap_or(default_model).to_owned(),
            language: language_name.to_owned(),
            endpointing_ms,
            keywords,
        })
    }
}

/// A comma list, or a list.
fn keywords(place: &Place<'_>) -> Vec<String> {
    if place.is_list() {
        return place.texts().unwrap_or_default();
    }
    let words = place.text().unwrap_or_default().split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn check_local(place: &Place<'_>, language: &str, does: &str, languages: &[&str]) {
    let primary = language.split('-').next().unwrap_or(language);
    let fits = languages.iter().any(|known| {
        // A region is free unless the list tells regions of that language apart.
        let regions_matter = languages
            .iter()
            .any(|other| other.starts_with(&format!("{primary}-")));
        known.eq_ignore_ascii_case(language)
            || (!regions_matter && known.eq_ignore_ascii_case(primary))
    });
    if !fits {
        place.fault(format_args!(
            "the local {does} no {language:?}; one of {}",
            languages.join(", ")
        ));
    }
}

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
        let vendor = place.at("provider").required()?.choice(
            "vendor",
            &SYNTHESIZERS,
            &SYNTHESIZERS_TO_COME,
        )?;
        // The voice speaks the language that a multilingual transcriber is set to expect.
        let heard = transcriber.map_or("en", |transcriber| transcriber.language.as_str());
        let heard = heard.strip_prefix("multi-").unwrap_or(heard);
        let voice = match vendor {
            "local" => local(&config, heard),
            _ => elevenlabs(&config.clone().required()?, heard)?,
        };
        Some(Self {
            vendor: voice.vendor,
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
struct Voice<'d> {
    vendor: SynthesizerVendor,
    name: &'d str,
    id: &'d str,
    model: &'d str,
    language: &'d str,
}

/// `heard` is the language of the transcriber. Faults are noted; the rest stands in for the value.
fn local<'d>(config: &Place<'d>, heard: &'d str) -> Voice<'d> {
    let named = |key| {
        config
            .at(key)
            .some_text()
            .map(|name| (config.at(key), name))
    };
    let (place, name) = match named("voice_id").or_else(|| named("voice")) {
        Some((place, name)) => (place, name),
        None => (config.at("voice"), LOCAL_VOICE),
    };
    let known = LOCAL_VOICES
        .iter()
        .find(|voice| voice.eq_ignore_ascii_case(name));
    if known.is_none() && name != LOCAL_VOICE {
        let voices = LOCAL_VOICES.join(", ");
        place.fault(format_args!(
            "unknown voice {name:?}; one of {voices}, or {LOCAL_VOICE} for that of the language"
        ));
    }
    let given = config.at("language");
    let language = match (given.some_text(), known) {
        (Some(language), _) => language,
        (None, Some(voice)) => voice,
        // Someone heard as `en-IN` is answered in the English there is.
        (None, None) => heard.split('-').next().unwrap_or(heard),
    };
    check_local(&given, language, "voice speaks", &LOCAL_SPEAKS);
    Voice {
        vendor: SynthesizerVendor::Local,
        name: config.at("voice").some_text().unwrap_or(LOCAL_VOICE),
        id: known.copied().unwrap_or_default(),
        model: "",
        language,
    }
}

fn elevenlabs<'d>(config: &Place<'d>, heard: &'d str) -> Option<Voice<'d>> {
    let voice = config.at("voice").required_text();
    let model = config.at("model").required_text();
    if let Some(name) = model.filter(|name| name.starts_with("eleven_v3")) {
        config
            .at("model")
            .unsupported(format_args!("model {name:?}"));
    }
    for key in ["temperature", "stability", "similarity_boost", "style"] {
        config.at(key).number(0.0..=1.0);
    }
    let (id, language) = (
        config.at("voice_id").some_text(),
        config.at("language").some_text(),
    );
    Some(Voice {
        vendor: SynthesizerVendor::Elevenlabs,
        name: voice?,
        id: id.or(voice)?,
        model: model?,
        language: language.unwrap_or(heard),
    })
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
