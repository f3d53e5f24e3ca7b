//! A word that no lexicon knows, said as its letters suggest: names, above all Indian ones, and brands.
//! Symbols are the lexicon's (one letter a diphthong, the stress before its vowel).

/// Names of the letters a to z.
const NAMES: [&str; 26] = [
    "ˈA",
    "bˈi",
    "sˈi",
    "dˈi",
    "ˈi",
    "ˈɛf",
    "ʤˈi",
    "ˈAʧ",
    "ˈI",
    "ʤˈA",
    "kˈA",
    "ˈɛl",
    "ˈɛm",
    "ˈɛn",
    "ˈO",
    "pˈi",
    "kjˈu",
    "ˈɑɹ",
    "ˈɛs",
    "tˈi",
    "jˈu",
    "vˈi",
    "dˈʌbᵊlju",
    "ˈɛks",
    "wˈI",
    "zˈi",
];
/// An unknown word of capitals is spelt up to this length.
const ACRONYM: usize = 5;

/// Letters and their sound, longer ones first. What sounds as a vowel is in [`VOWELS`].
const CONSONANTS: [(&str, &str); 41] = [
    ("tch", "ʧ"),
    ("sch", "ʃ"),
    ("chh", "ʧ"),
    ("ch", "ʧ"),
    ("sh", "ʃ"),
    ("th", "θ"),
    ("ph", "f"),
    ("gh", "ɡ"),
    ("kh", "k"),
    ("bh", "b"),
    ("dh", "d"),
    ("jh", "ʤ"),
    ("zh", "ʒ"),
    ("wh", "w"),
    ("rh", "ɹ"),
    ("ck", "k"),
    ("ng", "ŋ"),
    ("qu", "kw"),
    ("ce", "sɛ"),
    ("ci", "sɪ"),
    ("cy", "sɪ"),
    ("b", "b"),
    ("c", "k"),
    ("d", "d"),
    ("f", "f"),
    ("g", "ɡ"),
    ("h", "h"),
    ("j", "ʤ"),
    ("k", "k"),
    ("l", "l"),
    ("m", "m"),
    ("n", "n"),
    ("p", "p"),
    ("q", "k"),
    ("r", "ɹ"),
    ("s", "s"),
    ("t", "t"),
    ("v", "v"),
    ("w", "w"),
    ("x", "ks"),
    ("z", "z"),
];
const VOWELS: [(&str, &str); 25] = [
    ("eau", "O"),
    ("aa", "ɑ"),
    ("ai", "A"),
    ("ay", "A"),
    ("au", "ɔ"),
    ("aw", "ɔ"),
    ("ea", "i"),
    ("ee", "i"),
    ("ei", "A"),
    ("eu", "u"),
    ("ey", "A"),
    ("ie", "i"),
    ("oa", "O"),
    ("oi", "Y"),
    ("oo", "u"),
    ("ou", "u"),
    ("ow", "O"),
    ("oy", "Y"),
    ("ue", "u"),
    ("ui", "u"),
    ("ar", "ɑɹ"),
    ("er", "əɹ"),
    ("ir", "ɜɹ"),
    ("or", "ɔɹ"),
    ("ur", "ɜɹ"),
];

/// The sounds of a word.
pub(super) fn sounds(word: &str) -> String {
    let letters: Vec<char> = word.chars().filter(char::is_ascii_alphabetic).collect();
    let lower: String = letters.iter().map(char::to_ascii_lowercase).collect();
    let is_capitals = letters.iter().all(char::is_ascii_uppercase);
    let can_be_said = lower.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    if is_capitals && letters.len() <= ACRONYM || !can_be_said {
        return spelt(&lower);
    }
    stressed(&syllables(&lower))
}

fn spelt(lower: &str) -> String {
    let name = |letter: u8| NAMES.get(usize::from(letter.checked_sub(b'a')?)).copied();
    lower.bytes().filter_map(name).collect()
}

/// A run of sounds, and whether it is a vowel.
type Sound = (String, bool);

fn syllables(word: &str) -> Vec<Sound> {
    let mut sounds: Vec<Sound> = Vec::new();
    let mut rest = word;
    // An "e" at the end is not said after a consonant, but in a word that has no other vowel.
    if let Some(stem) = word.strip_suffix('e')
        && stem.contains(['a', 'e', 'i', 'o', 'u', 'y'])
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        rest = stem;
    }
    let is_vowel = |letter: Option<char>| letter.is_some_and(|letter| "aeiouy".contains(letter));
    while let Some(letter) = rest.chars().next() {
        let after = |taken: usize| rest[taken..].chars().next();
        // "ar" before a vowel is "a", then "r".
        let said_with_r = |letters: &str| letters.ends_with('r') && is_vowel(after(letters.len()));
        let vowel = VOWELS
            .iter()
            .find(|(letters, _)| rest.starts_with(letters) && !said_with_r(letters));
        if let Some((letters, sound)) = vowel {
            sounds.push(((*sound).to_owned(), true));
            rest = &rest[letters.len()..];
        } else if is_vowel(Some(letter)) && !(letter == 'y' && is_vowel(after(1))) {
            let open =
                after(1).is_none() || !is_vowel(after(1)) && is_vowel(after(2.min(rest.len())));
            sounds.push((single(letter, open, after(1)).to_owned(), true));
            rest = &rest[1..];
        } else {
            let (letters, sound) = match letter {
                'y' => ("y", "j"),
                'n' if rest.len() > 2 && rest.starts_with("ng") => ("ng", "ŋɡ"),
                _ => *CONSONANTS
                    .iter()
                    .find(|(letters, _)| rest.starts_with(letters))
                    .unwrap_or(&("?", "")),
            };
            // Of a doubled one only one is heard.
            if sounds.last().is_none_or(|(last, _)| last != sound) {
                sounds.push((sound.to_owned(), sound.contains(['ɛ', 'ɪ'])));
            }
            rest = &rest[letters.len()..];
        }
    }
    sounds
}

/// A vowel of one letter; `open`: at the end, or before one consonant and a vowel.
fn single(letter: char, open: bool, next: Option<char>) -> &'static str {
    match (letter, next) {
        ('a', None) => "ə",
        ('a', _) if open => "ɑ",
        ('a', _) => "æ",
        ('e', None) => "A",
        ('e', _) => "ɛ",
        ('i' | 'y', None) => "i",
        ('i', Some('a' | 'o' | 'u')) => "i",
        ('i' | 'y', _) => "ɪ",
        ('o', _) if open => "O",
        ('o', _) => "ɑ",
        (_, None) => "u",
        (_, _) if open => "u",
        _ => "ʌ",
    }
}

/// The stress on the last vowel but one.
fn stressed(sounds: &[Sound]) -> String {
    let vowels = sounds.iter().filter(|(_, vowel)| *vowel).count();
    let chosen = vowels.saturating_sub(2);
    let mut number = 0;
    let mut out = String::new();
    for (sound, vowel) in sounds {
        if *vowel {
            if number == chosen {
                out.push('ˈ');
            }
            number += 1;
        }
        out.push_str(sound);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_brands_sound_like_words() {
        for (word, expected) in [
            ("Priya", "pɹˈɪjə"),
            ("Sharma", "ʃˈɑɹmə"),
            ("Plivo", "plˈɪvO"),
            ("Vobiz", "vˈObɪz"),
            ("Venkataraman", "vɛnkɑtɑɹˈɑmæn"),
            ("Rajeshwari", "ɹɑʤɛʃwˈɑɹi"),
            ("Koramangala", "kOɹɑmæŋɡˈɑlə"),
            ("Gupta", "ɡˈʌptə"),
            ("Deepak", "dˈipæk"),
        ] {
            assert_eq!(sounds(word), expected, "{word}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_spelt() {
        assert_eq!(sounds("GSTIN"), "ʤˈiˈɛstˈiˈIˈɛn");
        assert_eq!(sounds("xkcd"), "ˈɛkskˈAsˈidˈi");
        assert_eq!(sounds("42"), "");
        assert_eq!(sounds("été"), "tˈi");
    }
}
