//! Where an answer's text is cut into pieces for the synthesizer (R88).

use crate::rules::FirstChunk;

/// Characters of a later piece before a sentence end cuts it.
const SENTENCE_CHARS: usize = 40;

/// Abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 28] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "inc", "ltd", "approx", "dept",
    "est", "ext", "e.g", "i.e", "a.m", "p.m", "jr", "sr", "mt", "rs", "nr", "bzw", "z.b", "sra",
    "smt",
];

/// Where to cut `buffer` now, as a byte index behind the piece, or `None` to gather more.
pub(crate) fn cut(
    buffer: &str,
    is_first: bool,
    first: FirstChunk,
    buffer_size: usize,
) -> Option<usize> {
    let chars = buffer.chars().count();
    if is_first {
        clause_end(buffer, first.clause_chars).or_else(|| {
            (chars >= first.blank_chars)
                .then(|| last_blank(buffer))
                .flatten()
        })
    } else {
        sentence_end(buffer, SENTENCE_CHARS).or_else(|| {
            (chars >= buffer_size.max(1))
                .then(|| last_blank(buffer))
                .flatten()
        })
    }
}

/// The last place where the text may be cut at all, for a first piece that has waited long enough.
pub(crate) fn last_blank(buffer: &str) -> Option<usize> {
    ends(buffer)
        .filter(|(index, c)| c.is_whitespace() && *index > 0 && is_safe_blank(buffer, *index))
        .map(|(index, c)| index + c.len_utf8())
        .filter(|index| !buffer[..*index].trim().is_empty() && !has_open_markup(&buffer[..*index]))
        .last()
}

/// Byte index behind the last sentence that ends in `text`, whatever follows (R86, R194).
pub(crate) fn last_sentence_end(text: &str) -> Option<usize> {
    let mut found = None;
    for (index, c) in ends(text) {
        if is_sentence_mark(c)
            && (is_wide(c) || ends_word(text, index, c, true))
            && !is_abbreviation(&text[..index], c)
        {
            found = Some(index + c.len_utf8());
        }
    }
    found
}

fn clause_end(buffer: &str, min_chars: usize) -> Option<usize> {
    boundary(buffer, min_chars, |c| {
        is_sentence_mark(c) || matches!(c, ',' | ';' | ':' | '，' | '；' | '：' | '—')
    })
}

fn sentence_end(buffer: &str, min_chars: usize) -> Option<usize> {
    boundary(buffer, min_chars, is_sentence_mark)
}

fn boundary(buffer: &str, min_chars: usize, is_mark: impl Fn(char) -> bool) -> Option<usize> {
    for (count, (index, c)) in ends(buffer).enumerate() {
        let behind = index + c.len_utf8();
        if count + 1 >= min_chars
            && is_mark(c)
            && (is_wide(c) || ends_word(buffer, index, c, false))
            && !is_abbreviation(&buffer[..index], c)
            && !has_open_markup(&buffer[..behind])
        {
            return Some(behind);
        }
    }
    None
}

fn ends(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    text.char_indices()
}

fn is_sentence_mark(c: char) -> bool {
    matches!(c, '.' | '?' | '!' | '।' | '॥' | '。' | '！' | '？')
}

/// Marks that need no blank behind them.
fn is_wide(c: char) -> bool {
    matches!(c, '।' | '॥' | '。' | '！' | '？' | '，' | '；' | '：' | '—')
}

/// A blank follows, so the mark stands in no number, address or name. At the buffer's end nobody knows.
fn ends_word(text: &str, index: usize, c: char, at_end: bool) -> bool {
    match text[index + c.len_utf8()..].chars().next() {
        None => at_end,
        Some(next) => next.is_whitespace() || matches!(next, '"' | '”' | ')' | '\'' | '’'),
    }
}

fn is_abbreviation(before: &str, mark: char) -> bool {
    if mark != '.' {
        return false;
    }
    let word = before
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    let mut letters = word.chars();
    let single = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    let list_number =
        !word.is_empty() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
    single || list_number || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Not between a number and its unit, on either side of it.
fn is_safe_blank(text: &str, index: usize) -> bool {
    let word = text[..index]
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default();
    let next = text[index..].trim_start().chars().next();
    if word.ends_with(|c: char| c.is_numeric()) || word.is_empty() {
        return word.is_empty() && index > 0 && is_safe_blank(text, text[..index].trim_end().len());
    }
    if is_abbreviation(word.trim_end_matches('.'), last(word)) {
        return false;
    }
    let short = word.chars().count() <= 3
        && word
            .chars()
            .any(|c| c.is_uppercase() || !c.is_alphanumeric());
    !short || next.is_some_and(|next| !next.is_numeric())
}

fn last(word: &str) -> char {
    word.chars().next_back().unwrap_or(' ')
}

/// Something was opened that must stay in one piece: a link, a tag, code.
fn has_open_markup(text: &str) -> bool {
    let after_last = |open: char| text.rfind(open).map(|index| &text[index..]);
    let bracket = after_last('[')
        .is_some_and(|rest| !rest.contains(']') || rest.contains("](") && !rest.contains(')'));
    let tag = after_last('<').is_some_and(|rest| {
        !rest.contains('>')
            && rest
                .chars()
                .nth(1)
                .is_none_or(|c| c.is_ascii_alphabetic() || c == '/')
    });
    let call = text
        .rfind("functions.")
        .is_some_and(|index| !text[index..].contains(')'));
    let ticks = text.matches('`').count() % 2 == 1;
    bracket || tag || call || ticks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn first(text: &str) -> Option<&str> {
        cut(text, true, FirstChunk::default(), 250).map(|index| &text[..index])
    }
    fn later(text: &str) -> Option<&str> {
        cut(text, false, FirstChunk::default(), 80).map(|index| &text[..index])
    }

    #[test] // R88
    fn the_first_piece_is_a_clause_of_twelve_characters() {
        assert_eq!(first("Sure, when?"), None);
        assert_eq!(
            first("Sure, I can do that for you, yes"),
            Some("Sure, I can do that for you,")
        );
        assert_eq!(first("Of course I can."), None);
        assert_eq!(first("Of course I can. "), Some("Of course I can."));
        assert_eq!(first("ज़रूर, मैं देखता हूँ। ठीक"), Some("ज़रूर, मैं देखता हूँ।"));
    }

    #[test] // R88
    fn the_first_piece_is_forty_characters_at_a_blank_at_the_latest() {
        assert_eq!(
            first("Let me have a look at what we have for you"),
            Some("Let me have a look at what we have for ")
        );
        assert_eq!(first("Let me have a look at"), None);
    }

    #[test] // R88
    fn later_pieces_are_sentences_of_forty_characters() {
        assert_eq!(later("That is fine. And"), None);
        assert_eq!(
            later("That is fine. And then we will come and see you. Good"),
            Some("That is fine. And then we will come and see you.")
        );
        let long = "word ".repeat(20);
        assert_eq!(later(&long).unwrap().len(), 100);
    }

    #[test] // R88
    fn never_inside_a_number_an_address_an_abbreviation_or_before_a_unit() {
        assert_eq!(first("It costs about 3.50 or 1,200 in"), None);
        assert_eq!(
            first("Write to me at www.example.com/a,b please"),
            Some("Write to me at www.example.com/a,b ")
        );
        assert_eq!(first("Please ask for Dr. Smith"), None);
        assert_eq!(
            first("We can deliver it for you at the cost of 45 euros"),
            Some("We can deliver it for you at the cost of ")
        );
        assert_eq!(
            first("We can deliver it to your home now for Rs 500 only"),
            Some("We can deliver it to your home now for ")
        );
        assert_eq!(
            first("See [our lovely page about it, all](https://e.org/x"),
            Some("See ")
        );
    }

    #[test] // R86
    fn the_last_sentence_end_is_found() {
        assert_eq!(last_sentence_end("One. Two and"), Some(4));
        assert_eq!(last_sentence_end("One. Two."), Some(9));
        assert_eq!(last_sentence_end("It is 3.5 or"), None);
    }
}
