//! `tools_config.transcriber`: which vendor listens, and how. Source: agent-config.md §5.

use super::local;
use crate::place::Place;

/// Who turns speech into text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TranscriberVendor {
    /// Deepgram: nova, or a flux model.
    Deepgram,
    /// AssemblyAI's streaming models. On the wire `assembly`.
    Assembly,
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
    /// For Deepgram's flux models, and only for them.
    pub flux: Option<Flux>,
}

/// How a flux model judges that a turn is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Flux {
    /// How sure it must be; default 0.7, with 1.0 it never is.
    pub eot_threshold: f32,
    /// How sure it must be that the model is asked ahead; absent: never.
    pub eager_eot_threshold: Option<f32>,
    /// Silence that ends a turn whatever the model thinks, ms; default 500.
    pub eot_timeout_ms: u32,
    /// Languages to expect, for the model of several languages.
    pub language_hints: Vec<String>,
}

impl TranscriberVendor {
    /// As it stands in documents, usage and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
            Self::Assembly => "assembly",
            Self::Local => "local",
        }
    }
}

const TRANSCRIBERS: [&str; 3] = ["deepgram", "assembly", "local"];
const TRANSCRIBERS_TO_COME: [&str; 10] = [
    "azure",
    "sarvam",
    "google",
    "pixa",
    "gladia",
    "elevenlabs",
    "smallest",
    "openai",
    "soniox",
    "bodhi",
];

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
                local::check_heard(&language, language_name);
                (TranscriberVendor::Local, "moonshine-tiny-en")
            }
            "assembly" => (TranscriberVendor::Assembly, "universal-streaming-english"),
            _ => (TranscriberVendor::Deepgram, "nova-3"),
        };
        let is_flux = vendor == TranscriberVendor::Deepgram
            && model_name.is_some_and(|name| name.starts_with("flux"));
        let flux =
            is_flux.then(|| Flux::read(place, model_name.unwrap_or_default(), language_name));
        Some(Self {
            vendor,
            model: model_name.unwrap_or(default_model).to_owned(),
            language: language_name.to_owned(),
            endpointing_ms,
            keywords,
            flux,
        })
    }
}

impl Flux {
    fn read(place: &Place<'_>, model: &str, language: &str) -> Self {
        let eot_threshold = place.at("eot_threshold").number(0.5..=1.0).unwrap_or(0.7);
        let eager = place.at("eager_eot_threshold");
        let eager_eot_threshold = eager.number(0.3..=0.9);
        if eager_eot_threshold.is_some_and(|eager| eager > eot_threshold) {
            eager.fault(format_args!(
                "must be at most eot_threshold, {eot_threshold}"
            ));
        }
        let hints = place.at("language_hints");
        let mut language_hints = hints.texts().unwrap_or_default();
        let primary = language.split('-').next().unwrap_or(language);
        if model.ends_with("-en") {
            if primary != "en" {
                place.at("language").fault(format_args!(
                    "{model} understands no {language:?}; flux-general-multi may"
                ));
            }
            if !language_hints.is_empty() {
                hints.fault(format_args!("{model} takes none; flux-general-multi does"));
            }
        } else if language_hints.is_empty() && language != "multi" {
            let hint = language.strip_prefix("multi-").unwrap_or(primary);
            language_hints.push(hint.to_owned());
        }
        Self {
            eot_threshold: eot_threshold as f32,
            eager_eot_threshold: eager_eot_threshold.map(|eager| eager as f32),
            eot_timeout_ms: place
                .at("eot_timeout_ms")
                .whole(500..=60_000)
                .unwrap_or(500),
            language_hints,
        }
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
