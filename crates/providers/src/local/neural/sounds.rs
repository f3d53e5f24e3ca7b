//! English text as the symbols of speech that Piper's voices were trained on: those of espeak. A lexicon and a
//! tagger (misaki) know the words; letters make up the rest.

use misaki_rs::{Fallback, G2P, Language, fallback::FallbackError};

use super::letters;
use crate::local::Failure;

/// The lexicon, once for all voices; some 100 MB.
pub(in crate::local) struct Sounds(G2P);

impl Sounds {
    pub(in crate::local) fn load() -> Self {
        Self(G2P::with_fallback(
            Language::EnglishUS,
            Some(Box::new(Unknown)),
        ))
    }

    /// The symbols of a part of [`super::parts`].
    pub(super) fn of(&self, text: &str) -> Result<String, Failure> {
        let (sounds, _) = self.0.g2p(text).map_err(Failure::model)?;
        Ok(as_espeak(&sounds))
    }
}

/// Says what the lexicon does not know.
struct Unknown;

impl Fallback for Unknown {
    fn phonemize(&self, word: &str) -> Result<String, FallbackError> {
        Ok(letters::sounds(word))
    }
}

/// The lexicon writes a diphthong as one letter and no lengths.
fn as_espeak(sounds: &str) -> String {
    let mut out = String::with_capacity(sounds.len() * 2);
    let mut rest = sounds.chars().peekable();
    while let Some(symbol) = rest.next() {
        let before_r = rest.peek() == Some(&'ɹ');
        let written = match symbol {
            'A' => "eɪ",
            'I' => "aɪ",
            'O' => "oʊ",
            'W' => "aʊ",
            'Y' => "ɔɪ",
            'ʤ' => "dʒ",
            'ʧ' => "tʃ",
            'ᵊ' => "ə",
            'T' => "ɾ",
            'i' => "iː",
            'u' => "uː",
            'ɑ' => "ɑː",
            'ɔ' => "ɔː",
            'ɜ' | 'ə' if before_r => {
                rest.next();
                if symbol == 'ɜ' { "ɜː" } else { "ɚ" }
            }
            other => {
                out.push(other);
                continue;
            }
        };
        out.push_str(written);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_those_the_voices_know() {
        assert_eq!(as_espeak("həlˈO, bˈɜɹd."), "həlˈoʊ, bˈɜːd.");
        assert_eq!(as_espeak("ʤˈʌmpəɹ ʧˈiz"), "dʒˈʌmpɚ tʃˈiːz");
        assert_eq!(as_espeak("fˈɔɹTi"), "fˈɔːɹɾiː");
    }
}
