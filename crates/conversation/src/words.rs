//! Words of a transcript as the rules see them: normal form, counted words, phrases, backchannel
//! (R30, R45, R47, R48, R63).

use std::collections::{BTreeMap, BTreeSet};

use crate::phrases::Phrases;

/// Lower case, punctuation and repeated blanks removed (R30).
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split(|c: char| c.is_whitespace() || c == '-') {
        let blank = out.len();
        for c in part
            .chars()
            .filter(|c| !is_punctuation(*c))
            .flat_map(char::to_lowercase)
        {
            if out.len() == blank && blank > 0 {
                out.push(' ');
            }
            out.push(c);
        }
    }
    out
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3000}'..='\u{301f}')
        || matches!(
            c,
            '।' | '॥'
                | '¿'
                | '¡'
                | '«'
                | '»'
                | '、'
                | '。'
                | '！'
                | '？'
                | '，'
                | '：'
                | '；'
                | '·'
        )
}

/// Scripts that put no blanks between words: two of their characters count as a word (R45).
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}'   // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // Japanese syllables
        | '\u{3400}'..='\u{9fff}' // Han
        | '\u{f900}'..='\u{faff}')
}

/// Words in `text`, whatever they mean.
pub(crate) fn words_in(text: &str) -> u32 {
    normal(text)
        .split(' ')
        .filter(|token| !token.is_empty())
        .map(weight)
        .sum()
}

fn weight(token: &str) -> u32 {
    let unspaced = token.chars().filter(|c| is_unspaced(*c)).count() as u32;
    if unspaced == 0 {
        1
    } else {
        unspaced.div_ceil(2)
    }
}

/// `rest` of `text` after the words of `head`, if it begins with them: both in normal form.
pub(crate) fn after<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(head)?;
    if rest.is_empty() || head.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix(' ')
    }
}

/// The word lists that apply to a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Vocabulary {
    interrupt: BTreeSet<String>,
    fillers: BTreeSet<String>,
    backchannel: BTreeSet<String>,
    farewells: BTreeSet<String>,
}

impl Vocabulary {
    /// The lists of `language` (`hi-IN` counts as `hi`) and of English.
    pub(crate) fn of(phrases: &BTreeMap<String, Phrases>, language: &str) -> Self {
        let base = language.split(['-', '_']).next().unwrap_or_default();
        let mut words = Self::default();
        for code in BTreeSet::from(["en", base, language]) {
            if let Some(lists) = phrases.get(code) {
                words
                    .interrupt
                    .extend(lists.interrupt.iter().map(|phrase| normal(phrase)));
                words
                    .fillers
                    .extend(lists.fillers.iter().map(|phrase| normal(phrase)));
                words
                    .backchannel
                    .extend(lists.backchannel.iter().map(|phrase| normal(phrase)));
                words
                    .farewells
                    .extend(lists.farewells.iter().map(|phrase| normal(phrase)));
            }
        }
        words
    }

    /// Words that count towards `needed` words of an interruption: none when the caller only shows that
    /// he listens, except that one backchannel word will do where one word is asked for (R45, R48).
    pub(crate) fn counted(&self, text: &str, needed: u32) -> u32 {
        let text = normal(text);
        if needed != 1 && self.is_backchannel(&text) {
            return 0;
        }
        text.split(' ')
            .filter(|token| !token.is_empty() && !self.fillers.contains(*token))
            .map(weight)
            .sum()
    }

    /// Nothing but fillers and backchannel, and not nothing (R48).
    pub(crate) fn is_backchannel(&self, text: &str) -> bool {
        let text = normal(text);
        if text.is_empty() {
            return false;
        }
        let known =
            |phrase: &str| self.fillers.contains(phrase) || self.backchannel.contains(phrase);
        known(&text) || text.split(' ').all(known)
    }

    /// The text is an interrupt phrase or ends in one (R47).
    pub(crate) fn is_phrase(&self, text: &str) -> bool {
        let text = normal(text);
        self.interrupt
            .iter()
            .any(|phrase| !phrase.is_empty() && ends_in(&text, phrase))
    }

    /// A short goodbye and nothing else (R63).
    pub(crate) fn is_farewell(&self, text: &str) -> bool {
        let text = normal(text);
        let mut rest: Vec<&str> = text.split(' ').filter(|token| !token.is_empty()).collect();
        let mut found = false;
        while !rest.is_empty() {
            let longest = (1..=rest.len().min(5))
                .rev()
                .find(|n| self.farewells.contains(&rest[..*n].join(" ")));
            match longest {
                Some(n) => {
                    found = true;
                    rest.drain(..n);
                }
                None if self.is_backchannel(rest[0])
                    || matches!(rest[0], "and" | "so" | "much" | "very" | "you") =>
                {
                    rest.remove(0);
                }
                None => return false,
            }
        }
        found
    }
}

fn ends_in(text: &str, phrase: &str) -> bool {
    text.strip_suffix(phrase)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phrases::built_in_phrases;

    fn english() -> Vocabulary {
        Vocabulary::of(&built_in_phrases(), "en")
    }

    #[test] // R30
    fn normal_form_drops_case_punctuation_and_blanks() {
        assert_eq!(normal("  Stop.  Please, WAIT! "), "stop please wait");
        assert_eq!(normal("That's enough"), "thats enough");
        assert_eq!(normal("mm-hmm"), "mm hmm");
        assert_eq!(normal("ठीक है।"), "ठीक है");
        assert_eq!(normal("… ?"), "");
    }

    #[test] // R45, R48
    fn fillers_never_count_and_backchannel_only_beside_other_words() {
        let words = english();
        assert_eq!(words.counted("but why", 2), 2);
        assert_eq!(words.counted("uh but um", 2), 1);
        assert_eq!(words.counted("yes okay right", 2), 0);
        assert_eq!(words.counted("yes please", 2), 2);
        assert_eq!(words.counted("yes", 1), 1);
        assert_eq!(words.counted("hmm", 1), 0);
    }

    #[test] // R45
    fn scripts_without_blanks_count_two_characters_a_word() {
        assert_eq!(words_in("我想知道为什么"), 4);
        assert_eq!(words_in("ok 我"), 2);
        assert_eq!(words_in("मुझे बताइए"), 2);
    }

    #[test] // R47
    fn phrases_match_whole_or_at_the_end() {
        let words = english();
        assert!(words.is_phrase("Stop."));
        assert!(words.is_phrase("okay that's enough!"));
        assert!(words.is_phrase("please hold on"));
        assert!(!words.is_phrase("nonstop"));
        assert!(!words.is_phrase("stop it there please"));
        assert!(Vocabulary::of(&built_in_phrases(), "hi-IN").is_phrase("रुकिए।"));
        assert!(Vocabulary::of(&built_in_phrases(), "hi-IN").is_phrase("Stop"));
    }

    #[test] // R63
    fn farewells_are_known_with_their_trimmings() {
        let words = english();
        assert!(words.is_farewell("Okay, thank you, bye bye."));
        assert!(words.is_farewell("Have a nice day!"));
        assert!(!words.is_farewell("okay"));
        assert!(!words.is_farewell("thanks but one more thing"));
    }

    #[test]
    fn after_cuts_whole_words_only() {
        assert_eq!(after("my number is nine", "my number is"), Some("nine"));
        assert_eq!(after("my numbers", "my number"), None);
        assert_eq!(after("my number", "my number"), Some(""));
    }
}
