//! `tools_config.transcriber`: which vendor listens, and how. Source: agent-config.md §5.

use serde_json::Value;

use super::local;
use crate::place::Place;

/// Who turns speech into text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TranscriberVendor {
    /// Deepgram: nova, or a flux model.
    Deepgram,
    /// AssemblyAI's streaming models. On the wire `assembly`.
    Assembly,
    /// ElevenLabs Scribe, realtime.
    Elevenlabs,
    /// Sarvam over `/speech-to-text/ws`.
    Sarvam,
    /// A transcription session of OpenAI's realtime API.
    Openai,
    /// Soniox, realtime.
    Soniox,
    /// Gladia, live.
    Gladia,
    /// Pulse of Smallest.
    Smallest,
    /// Moonshine in this process; no key. On the wire `local`.
    Local,
}

/// `tools_config.transcriber`.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcriber {
    /// Default deepgram.
    pub vendor: TranscriberVendor,
    /// Default nova-3 for deepgram, moonshine-tiny-en for local, the vendor's current one for the others.
    pub model: String,
    /// ISO 639-1, or the vendor's own such as `multi`; default `en`.
    pub language: String,
    /// Silence that ends a turn, ms; default 250.
    pub endpointing_ms: u32,
    /// Words to listen for.
    pub keywords: Vec<String>,
    /// For Deepgram's flux models, and only for them.
    pub flux: Option<Flux>,
    /// For OpenAI, and only for it.
    pub detector: Option<Detector>,
    /// For Deepgram: what it hears is not to improve its models; default false.
    pub mip_opt_out: bool,
}

/// What OpenAI does with the audio before it is words.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// `near_field` or `far_field`; default none.
    pub noise_reduction: Option<&'static str>,
    /// How loud a voice must be, 0..=1; default 0.5.
    pub threshold: f64,
    /// Audio before a voice that is its turn's too, ms; default 300.
    pub prefix_padding_ms: u32,
    /// How long gpt-realtime-whisper listens on before it writes, `minimal` to `xhigh`; default its own.
    pub delay: Option<&'static str>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            noise_reduction: None,
            threshold: 0.5,
            prefix_padding_ms: 300,
            delay: None,
        }
    }
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
            Self::Elevenlabs => "elevenlabs",
            Self::Sarvam => "sarvam",
            Self::Openai => "openai",
            Self::Soniox => "soniox",
            Self::Gladia => "gladia",
            Self::Smallest => "smallest",
            Self::Local => "local",
        }
    }
}

const TRANSCRIBERS: [&str; 9] = [
    "deepgram",
    "assembly",
    "elevenlabs",
    "sarvam",
    "openai",
    "soniox",
    "gladia",
    "smallest",
    "local",
];
const TRANSCRIBERS_TO_COME: [&str; 4] = ["azure", "google", "pixa", "bodhi"];

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
        let task = place.at("task");
        if task.word(&["transcribe", "translate"]) == Some("translate") {
            task.unsupported("translating what is heard");
        }
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
                local::check_model(&model, model_name);
                (TranscriberVendor::Local, local::LOCAL_TRANSCRIBERS[0])
            }
            "assembly" => (TranscriberVendor::Assembly, "universal-streaming-english"),
            "elevenlabs" => (TranscriberVendor::Elevenlabs, "scribe_v2_realtime"),
            "sarvam" => (TranscriberVendor::Sarvam, "saaras:v3"),
            "openai" => (TranscriberVendor::Openai, "gpt-4o-mini-transcribe"),
            "soniox" => (TranscriberVendor::Soniox, "stt-rt-v5"),
            "gladia" => (TranscriberVendor::Gladia, "solaria-1"),
            "smallest" => (TranscriberVendor::Smallest, "pulse"),
            _ => (TranscriberVendor::Deepgram, "nova-3"),
        };
        check_keywords(&place.at("keywords"), vendor, model_name, &keywords);
        let is_flux = vendor == TranscriberVendor::Deepgram
            && model_name.is_some_and(|name| name.starts_with("flux"));
        let flux =
            is_flux.then(|| Flux::read(place, model_name.unwrap_or_default(), language_name));
        let detector = Detector::read(place, vendor, model_name.unwrap_or(default_model));
        let mip_opt_out = place.at("mip_opt_out").flag(false);
        if mip_opt_out && vendor != TranscriberVendor::Deepgram {
            place.at("mip_opt_out").fault("only deepgram takes it");
        }
        Some(Self {
            vendor,
            model: model_name.unwrap_or(default_model).to_owned(),
            language: language_name.to_owned(),
            endpointing_ms,
            keywords,
            flux,
            detector,
            mip_opt_out,
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

impl Detector {
    /// Documents may hold the defaults for any vendor; wishes are OpenAI's alone.
    fn read(place: &Place<'_>, vendor: TranscriberVendor, model: &str) -> Option<Self> {
        let noise_reduction = place.at("noise_reduction");
        let (threshold, padding) = (place.at("vad_threshold"), place.at("vad_prefix_padding_ms"));
        let delay = place.at("delay");
        let wait = delay.word(&["minimal", "low", "medium", "high", "xhigh"]);
        let is_openai = vendor == TranscriberVendor::Openai;
        let waits = is_openai && model.starts_with("gpt-realtime-whisper");
        if !waits && wait.is_some_and(|wait| wait != "medium") {
            delay.fault("only openai's gpt-realtime-whisper takes it");
        }
        let default = Self::default();
        let detector = Self {
            noise_reduction: match noise_reduction.value() {
                Some(Value::Bool(wanted)) => wanted.then_some("near_field"),
                _ => noise_reduction.word(&["near_field", "far_field"]),
            },
            threshold: threshold.number(0.0..=1.0).unwrap_or(default.threshold),
            prefix_padding_ms: (padding.whole(0..=10_000)).unwrap_or(default.prefix_padding_ms),
            delay: wait.filter(|_| waits),
        };
        let detects = !["gpt-realtime-whisper", "gpt-live-transcribe"]
            .iter()
            .any(|name| model.starts_with(name));
        let wishes = [
            (noise_reduction, detector.noise_reduction.is_some(), true),
            (threshold, detector.threshold != default.threshold, detects),
            (
                padding,
                detector.prefix_padding_ms != default.prefix_padding_ms,
                detects,
            ),
        ];
        for (place, wished, fits) in wishes {
            match (wished, is_openai) {
                (true, false) => place.fault("only openai takes it"),
                (true, true) if !fits => place.fault(format_args!("{model} detects no turns")),
                _ => {}
            }
        }
        is_openai.then_some(detector)
    }
}

/// What a vendor would refuse, or not take.
fn check_keywords(
    place: &Place<'_>,
    vendor: TranscriberVendor,
    model: Option<&str>,
    words: &[String],
) {
    let model = model.unwrap_or_default();
    let too_long = |word: &String| word.chars().count() > 20;
    match vendor {
        _ if words.is_empty() => {}
        TranscriberVendor::Elevenlabs if words.len() > 50 || words.iter().any(too_long) => {
            place.fault("elevenlabs takes at most 50 of at most 20 characters each");
        }
        TranscriberVendor::Sarvam if !model.starts_with("saaras:v4") => {
            place.fault("sarvam takes them with model saaras:v4 only");
        }
        TranscriberVendor::Openai if model.starts_with("gpt-realtime-whisper") => {
            place.fault(format_args!("{model} takes none"));
        }
        _ => {}
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
