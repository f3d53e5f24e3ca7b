//! Heard text as plain words, and patterns over them.

/// What the ear writes as one word, and what was said.
const EXPANDED: [(&str, &str); 20] = [
    ("im", "i am"),
    ("its", "it is"),
    ("thats", "that is"),
    ("thatll", "that will"),
    ("lets", "let us"),
    ("whats", "what is"),
    ("wheres", "where is"),
    ("names", "name is"),
    ("id", "i would"),
    ("ill", "i will"),
    ("dont", "do not"),
    ("doesnt", "does not"),
    ("cant", "can not"),
    ("cannot", "can not"),
    ("couldnt", "could not"),
    ("isnt", "is not"),
    ("wont", "will not"),
    ("youre", "you are"),
    ("ok", "okay"),
    ("goodby", "goodbye"),
];

/// One line of the caller: lower-case words without punctuation, and where a clause ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub words: Vec<String>,
    /// Whether punctuation follows the word of the same index.
    pub breaks: Vec<bool>,
}

impl Line {
    pub fn new(text: &str) -> Self {
        let mut line = Self::default();
        for chunk in text.split_whitespace() {
            line.chunk(&chunk.to_lowercase());
        }
        line
    }

    fn chunk(&mut self, chunk: &str) {
        // "a.m." is one word; "10 a.m," still ends a clause.
        let bare: String = chunk.chars().filter(|c| c.is_alphanumeric()).collect();
        let digits = bare.chars().take_while(char::is_ascii_digit).count();
        if let (number, half @ ("am" | "pm")) = bare.split_at(digits)
            && (digits > 0 || chunk.contains('.'))
            && !chunk.contains(':')
        {
            if !number.is_empty() {
                self.push(number);
            }
            self.push(half);
            self.end_clause(chunk.ends_with([',', ';', '?', '!']));
            return;
        }
        let characters: Vec<char> = chunk.chars().collect();
        let mut word = String::new();
        for (at, c) in characters.iter().copied().enumerate() {
            let is_digit = |at: Option<usize>| {
                at.and_then(|at| characters.get(at))
                    .is_some_and(char::is_ascii_digit)
            };
            match c {
                '\'' | '’' => {}
                ':' | '.' if is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)) => {
                    word.push(':')
                }
                c if c.is_alphanumeric() => {
                    // "10:30pm"
                    if c.is_alphabetic() && word.contains(':') {
                        self.push(&std::mem::take(&mut word));
                    }
                    word.push(c);
                }
                c => {
                    self.push(&std::mem::take(&mut word));
                    self.end_clause(matches!(c, '.' | ',' | ';' | '!' | '?'));
                }
            }
        }
        self.push(&word);
    }

    fn push(&mut self, word: &str) {
        let expanded = EXPANDED.iter().find(|(short, _)| *short == word);
        for word in expanded.map_or(word, |(_, long)| long).split_whitespace() {
            self.words.push(word.to_owned());
            self.breaks.push(false);
        }
    }

    fn end_clause(&mut self, ends: bool) {
        if ends && let Some(last) = self.breaks.last_mut() {
            *last = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The word at `at`, or "" outside.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The word `back` places before `at`, or "".
    pub fn before(&self, at: usize, back: usize) -> &str {
        at.checked_sub(back).map_or("", |at| self.word(at))
    }

    /// Whether any pattern of the list is found.
    pub fn has(&self, patterns: &[&str]) -> bool {
        patterns.iter().any(|pattern| self.fits(pattern))
    }

    /// Whether the pattern is found: words in order, `a|b` for either, `*` for up to three of any kind,
    /// `^` and `$` for the line's ends.
    fn fits(&self, pattern: &str) -> bool {
        let parts: Vec<&str> = pattern.split_whitespace().collect();
        match parts.split_first() {
            Some((&"^", rest)) => self.fits_at(0, rest),
            _ => (0..self.words.len()).any(|from| self.fits_at(from, &parts)),
        }
    }

    fn fits_at(&self, at: usize, parts: &[&str]) -> bool {
        match parts.split_first() {
            None => true,
            Some((&"$", _)) => at == self.words.len(),
            Some((&"*", rest)) => (at..=at + 3).any(|at| self.fits_at(at, rest)),
            Some((part, rest)) => {
                at < self.words.len()
                    && part.split('|').any(|word| word == self.word(at))
                    && self.fits_at(at + 1, rest)
            }
        }
    }

    /// Of several mentions (where, what) the first of those joined by "or", unless the caller corrects
    /// it; with the one that was offered as an alternative.
    pub fn choose<T: Copy>(&self, mentions: &[(usize, T)]) -> Option<(T, Option<T>)> {
        let (&(mut at, mut chosen), rest) = mentions.split_first()?;
        let mut other = None;
        for &(next, value) in rest {
            let between = self.words.get(at..next).unwrap_or_default();
            let holds = |list: &[&str]| between.iter().any(|word| list.contains(&word.as_str()));
            let corrected = holds(&[
                "no", "actually", "rather", "better", "instead", "sorry", "mean",
            ]);
            if holds(&["or", "and"]) && !corrected {
                other = other.or(Some(value));
            } else {
                (chosen, other) = (value, None);
            }
            at = next;
        }
        Some((chosen, other))
    }
}
