//! A text in chunks that fit an embedding model, each with the end of the one before.

/// What is embedded and found as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters at most.
    pub characters: usize,
    /// Characters that a chunk repeats of the one before; less than `characters`.
    pub overlap: usize,
}

/// The chunks of a text, in order. Each ends with a paragraph, a sentence or a word where there is one in its
/// second half, and begins with a word.
pub fn chunks(text: &str, size: Size) -> Vec<String> {
    let text = tidy(text);
    let letters: Vec<char> = text.chars().collect();
    let longest = size.characters.max(1);
    let mut chunks = Vec::new();
    let mut from = 0;
    while from < letters.len() {
        let end = match letters.len() - from > longest {
            true => from + good_end(&letters[from..from + longest]),
            false => letters.len(),
        };
        let chunk: String = letters[from..end].iter().collect();
        let chunk = chunk.trim();
        if chunk.chars().any(char::is_alphanumeric) {
            chunks.push(chunk.to_owned());
        }
        if end == letters.len() {
            break;
        }
        let back = end.saturating_sub(size.overlap.min(longest - 1));
        // Always onwards, whatever the overlap.
        from = word_start(&letters, back, end).max(from + 1);
    }
    chunks
}

/// One space between words, one line between lines, and no more.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut breaks = 0;
    for line in text.lines() {
        let mut words = line
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .peekable();
        if words.peek().is_none() {
            breaks += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if breaks > 0 { "\n\n" } else { "\n" });
        }
        breaks = 0;
        for (index, word) in words.enumerate() {
            if index > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    out
}

/// Where a chunk that can't hold all should end.
fn good_end(letters: &[char]) -> usize {
    let half = letters.len() / 2;
    let last = |ends: &dyn Fn(usize) -> bool| (half..letters.len()).rev().find(|at| ends(*at));
    let paragraph = |at: usize| letters[at] == '\n' && at > 0 && letters[at - 1] == '\n';
    let sentence =
        |at: usize| letters[at].is_whitespace() && at > 0 && ".!?\u{964}".contains(letters[at - 1]);
    let word = |at: usize| letters[at].is_whitespace();
    last(&paragraph)
        .or_else(|| last(&sentence))
        .or_else(|| last(&word))
        .map_or(letters.len(), |at| at + 1)
}

/// The first word's beginning at or after `at`, before `end`; `at` itself within one endless word.
fn word_start(letters: &[char], at: usize, end: usize) -> usize {
    if at == 0 || letters[at - 1].is_whitespace() {
        return at;
    }
    let space = (at..end).find(|index| letters[*index].is_whitespace());
    space.map_or(at, |space| space + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, characters: usize, overlap: usize) -> Vec<String> {
        chunks(
            text,
            Size {
                characters,
                overlap,
            },
        )
    }

    #[test]
    fn a_short_text_is_one_chunk_and_nothing_is_none() {
        assert_eq!(of("  Open\tfrom  nine.\r\n", 100, 20), ["Open from nine."]);
        assert_eq!(of(" \n\n ... \n", 100, 20), Vec::<String>::new());
    }

    #[test]
    fn chunks_end_with_sentences_and_repeat_the_end_of_the_last() {
        let text =
            "We open at nine in the morning. We close at six in the evening. On Sunday we rest.";
        let found = of(text, 50, 20);
        assert_eq!(found[0], "We open at nine in the morning.");
        assert_eq!(found[1], "in the morning. We close at six in the evening.");
        assert!(found.last().is_some_and(|last| last.ends_with("we rest.")));
        // Every word is in one of them.
        for word in text.split(' ') {
            assert!(found.iter().any(|chunk| chunk.contains(word)), "{word}");
        }
    }

    #[test]
    fn a_paragraph_ends_a_chunk_before_a_sentence_does() {
        let found = of(
            "One two three.\n\n\nFour five. Six seven eight nine ten",
            30,
            0,
        );
        assert_eq!(found[0], "One two three.");
    }

    #[test]
    fn endless_words_and_any_overlap_come_to_an_end() {
        for (characters, overlap) in [(1, 0), (1, 5), (10, 9), (10, 100), (0, 0)] {
            let found = of(&"\u{928}x".repeat(60), characters, overlap);
            assert!(!found.is_empty() && found.len() <= 120);
            assert!(
                found
                    .iter()
                    .all(|chunk| chunk.chars().count() <= characters.max(1))
            );
        }
    }
}
