//! The caller's name in a line.

use super::{clock, words::Line};

/// Words that lead to a name whatever follows.
const PLAIN: [&[&str]; 3] = [&["name", "is"], &["name", "was"], &["i", "am", "called"]];
/// Words that may lead to a name.
const MAYBE: [&[&str]; 3] = [&["this", "is"], &["i", "am"], &["it", "is"]];
const FILLERS: [&str; 6] = ["uh", "um", "er", "well", "yes", "hi"];
/// After these a name is over.
const AFTER: [&str; 22] = [
    "and", "i", "please", "calling", "speaking", "here", "for", "on", "at", "from", "the", "thank",
    "thanks", "but", "so", "my", "is", "it", "that", "can", "would", "you",
];
/// What follows "I am" or "this is" and is no name.
const NO_NAME: [&str; 44] = [
    "not",
    "a",
    "an",
    "the",
    "sorry",
    "sure",
    "fine",
    "okay",
    "good",
    "great",
    "here",
    "interested",
    "from",
    "in",
    "on",
    "at",
    "for",
    "my",
    "your",
    "just",
    "so",
    "very",
    "really",
    "too",
    "also",
    "all",
    "about",
    "free",
    "busy",
    "late",
    "ready",
    "happy",
    "afraid",
    "right",
    "wrong",
    "still",
    "no",
    "what",
    "who",
    "why",
    "how",
    "when",
    "where",
    "hello",
];

/// The name said in a line, in title case. `asked`: the name is the open question. `alone`: a short line
/// may then be nothing but the name, since nothing else was found in it.
pub(super) fn said(line: &Line, asked: bool, alone: bool) -> Option<String> {
    for lead in PLAIN {
        if let Some(at) = find(line, lead).filter(|at| line.word(*at) != "not") {
            return collect(line, at);
        }
    }
    for lead in MAYBE {
        let is_it = lead == ["it", "is"];
        if (!is_it || asked)
            && let Some(at) = find(line, lead)
        {
            let next = line.word(at);
            if !NO_NAME.contains(&next) && !next.ends_with("ing") {
                return collect(line, at);
            }
        }
    }
    let is_short =
        asked && alone && line.words.len() <= 3 && !line.words.iter().any(|word| stops(word));
    is_short.then(|| collect(line, 0)).flatten()
}

fn stops(word: &str) -> bool {
    AFTER.contains(&word) || NO_NAME.contains(&word)
}

/// Where the words after `lead` begin.
fn find(line: &Line, lead: &[&str]) -> Option<usize> {
    let at = line
        .words
        .windows(lead.len())
        .position(|window| window == lead)?;
    Some(at + lead.len())
}

/// At most three words from `from` on, to the end of the clause.
fn collect(line: &Line, from: usize) -> Option<String> {
    let mut name: Vec<String> = Vec::new();
    for at in from..line.words.len() {
        let word = line.word(at);
        if name.is_empty() && FILLERS.contains(&word) {
            continue;
        }
        if name.len() == 3
            || AFTER.contains(&word)
            || clock::is_number(word)
            || !word.chars().all(char::is_alphabetic)
        {
            break;
        }
        let mut letters = word.chars();
        name.extend(
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect()),
        );
        if line.breaks.get(at) == Some(&true) {
            break;
        }
    }
    (!name.is_empty()).then(|| name.join(" "))
}
