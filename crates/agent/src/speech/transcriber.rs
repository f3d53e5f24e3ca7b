//! `tools_config.transcriber`: which vendor listens, and how. Source: agent-config.md §5.

use super::local;
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

impl TranscriberVendor {
    /// As it stands in documents, usage and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
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
