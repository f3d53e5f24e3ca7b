//! What the speech built into the server can do.

use super::synthesizer::Voice;
use crate::place::Place;

/// What the local transcriber understands.
const LOCAL_HEARS: [&str; 1] = ["en"];
/// What the local voice speaks; `en` is its American English.
const LOCAL_SPEAKS: [&str; 7] = ["en", "en-US", "en-GB", "de", "es", "fr", "it"];
/// Its voices, one a language; any other name would be taken for one of another vendor.
const LOCAL_VOICES: [&str; 6] = ["en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT"];
/// Stands for the voice of the language.
const LOCAL_VOICE: &str = "pico";

/// Notes a fault where the local transcriber does not understand `language`.
pub(super) fn check_heard(place: &Place<'_>, language: &str) {
    check(place, language, "transcriber understands", &LOCAL_HEARS);
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
    check(&given, language, "voice speaks", &LOCAL_SPEAKS);
    Voice {
        name: config.at("voice").some_text().unwrap_or(LOCAL_VOICE),
        id: known.copied().unwrap_or_default(),
        model: "",
        language,
    }
}
