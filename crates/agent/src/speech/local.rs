//! What the speech built into the server can do.

use super::synthesizer::Voice;
use crate::place::Place;

/// What the local transcriber understands.
const LOCAL_HEARS: [&str; 1] = ["en"];
/// What the local voice speaks; `en` is its American English.
const LOCAL_SPEAKS: [&str; 7] = ["en", "en-US", "en-GB", "de", "es", "fr", "it"];
/// Its voices and their languages; any other name would be taken for one of another vendor.
const LOCAL_VOICES: [(&str, &str); 8] = [
    ("en-US", "en-US"),
    ("en-GB", "en-GB"),
    ("de-DE", "de-DE"),
    ("es-ES", "es-ES"),
    ("fr-FR", "fr-FR"),
    ("it-IT", "it-IT"),
    ("ljspeech", "en-US"),
    ("joe", "en-US"),
];
/// Those of them that `bolo models pull` fetches; they speak English only.
const LOCAL_NEURAL: [&str; 2] = ["ljspeech", "joe"];
/// Models of the local transcriber; the first is the default.
pub(super) const LOCAL_TRANSCRIBERS: [&str; 2] = ["moonshine-tiny-en", "moonshine-base-en"];
/// Stands for the voice of the language.
const LOCAL_VOICE: &str = "pico";

/// Notes a fault where the local transcriber does not understand `language`.
pub(super) fn check_heard(place: &Place<'_>, language: &str) {
    check(place, language, "transcriber understands", &LOCAL_HEARS);
}

/// Notes a fault where the local transcriber has no such model.
pub(super) fn check_model(place: &Place<'_>, model: Option<&str>) {
    if let Some(model) = model
        && !LOCAL_TRANSCRIBERS.contains(&model)
    {
        let names = LOCAL_TRANSCRIBERS.join(", ");
        place.fault(format_args!(
            "the local transcriber has no model {model:?}; one of {names}"
        ));
    }
}

fn check(place: &Place<'_>, language: &str, does: &str, languages: &[&str]) {
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

/// `heard` is the language of the transcriber. Faults are noted; the rest stands in for the value.
pub(super) fn voice<'d>(config: &Place<'d>, heard: &'d str) -> Voice<'d> {
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
        .find(|(voice, _)| voice.eq_ignore_ascii_case(name));
    if known.is_none() && name != LOCAL_VOICE {
        let voices = LOCAL_VOICES.map(|(voice, _)| voice).join(", ");
        place.fault(format_args!(
            "unknown voice {name:?}; one of {voices}, or {LOCAL_VOICE} for that of the language"
        ));
    }
    let given = config.at("language");
    let language = match (given.some_text(), known) {
        (Some(language), _) => language,
        (None, Some((_, language))) => language,
        // Someone heard as `en-IN` is answered in the English there is.
        (None, None) => heard.split('-').next().unwrap_or(heard),
    };
    let speaks: &[&str] = match known {
        Some((voice, _)) if LOCAL_NEURAL.contains(voice) => &["en"],
        _ => &LOCAL_SPEAKS,
    };
    check(&given, language, "voice speaks", speaks);
    Voice {
        name: config.at("voice").some_text().unwrap_or(LOCAL_VOICE),
        id: known.map_or("", |(voice, _)| voice),
        model: "",
        language,
    }
}
