//! The voices of this process: what an agent may name, and what speaks it.

use super::pico::Lingware;

/// A voice of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice {
    /// What an agent names as `voice_id`.
    pub id: &'static str,
    /// Its language, in English.
    pub language: &'static str,
    /// The local model that must be there, as `bolo models list` names it.
    pub model: &'static str,
    pub(super) engine: Engine,
}

/// What makes the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Pico(Lingware),
    /// English only.
    Neural,
}

/// All voices. Those of Pico are named as their language; the first of a language is its default.
pub const VOICES: [Voice; 8] = [
    pico("en-US", "English (US)", "en-US_ta.bin", "en-US_lh0_sg.bin"),
    pico("en-GB", "English (UK)", "en-GB_ta.bin", "en-GB_kh0_sg.bin"),
    pico("de-DE", "German", "de-DE_ta.bin", "de-DE_gl0_sg.bin"),
    pico("es-ES", "Spanish", "es-ES_ta.bin", "es-ES_zl0_sg.bin"),
    pico("fr-FR", "French", "fr-FR_ta.bin", "fr-FR_nk0_sg.bin"),
    pico("it-IT", "Italian", "it-IT_ta.bin", "it-IT_cm0_sg.bin"),
    neural("ljspeech"),
    neural("joe"),
];

const fn pico(
    id: &'static str,
    language: &'static str,
    analysis: &'static str,
    sound: &'static str,
) -> Voice {
    Voice {
        id,
        language,
        model: "pico",
        engine: Engine::Pico(Lingware {
            name: id,
            analysis,
            sound,
        }),
    }
}

const fn neural(id: &'static str) -> Voice {
    Voice {
        id,
        language: "English (US)",
        model: id,
        engine: Engine::Neural,
    }
}

/// The voice of this name or, where the name is empty, for this language (empty: English).
pub(super) fn voice(name: &str, language: &str) -> Result<Voice, String> {
    let same = |a: &str, b: &str| a.replace('_', "-").eq_ignore_ascii_case(b);
    let base = |tag: &str| {
        tag.split(['-', '_'])
            .next()
            .unwrap_or_default()
            .to_lowercase()
    };
    if !name.is_empty() {
        let found = VOICES.into_iter().find(|voice| same(name, voice.id));
        return found.ok_or_else(|| {
            let names = VOICES.map(|voice| voice.id).join(", ");
            format!("voice {name:?} is not one of the local synthesizer's: {names}")
        });
    }
    let language = if language.is_empty() { "en" } else { language };
    let of_pico = || {
        VOICES
            .into_iter()
            .filter(|voice| voice.engine != Engine::Neural)
    };
    of_pico()
        .find(|voice| same(language, voice.id))
        .or_else(|| of_pico().find(|voice| base(voice.id) == base(language)))
        .ok_or_else(|| {
            let names: Vec<&str> = of_pico().map(|voice| voice.id).collect();
            let names = names.join(", ");
            format!("language {language:?} is not supported: the local synthesizer speaks {names}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_found_by_name_or_language() {
        let id = |name, language| voice(name, language).map(|voice| voice.id);
        assert_eq!(id("", ""), Ok("en-US"));
        assert_eq!(id("", "en"), Ok("en-US"));
        assert_eq!(id("", "en-GB"), Ok("en-GB"));
        assert_eq!(id("", "en_IN"), Ok("en-US"));
        assert_eq!(id("de-de", "en"), Ok("de-DE"));
        assert_eq!(id("", "fr"), Ok("fr-FR"));
        assert_eq!(id("LJSpeech", "en"), Ok("ljspeech"));
        assert!(voice("", "hi").is_err_and(|cause| cause.contains("\"hi\"")));
        assert!(voice("Matthew", "en").is_err_and(|cause| cause.contains("\"Matthew\"")));
    }
}
