//! Words that differ, after both sides were written the same way: lower case, no punctuation, numbers
//! and times spelt out, contractions opened.

/// How many words of `said` were missed, added or changed, and how many there are.
pub fn errors(said: &str, heard: &str) -> (usize, usize) {
    let (said, heard) = (plain(said), plain(heard));
    (distance(&said, &heard), said.len())
}

/// Edit distance by words.
fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

fn plain(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase().replace('\u{2019}', "'");
    for (from, to) in [
        ("half past", "30 past"),
        ("@", " at "),
        ("%", " percent "),
        ("&", " and "),
        ("$", " dollars "),
        ("can't", "can not"),
        ("cannot", "can not"),
        ("won't", "will not"),
        ("let's", "let us"),
        ("n't", " not"),
        ("'re", " are"),
        ("'ll", " will"),
        ("'ve", " have"),
        ("'m", " am"),
        ("'d", " would"),
        ("it's", "it is"),
        ("that's", "that is"),
        ("what's", "what is"),
        ("there's", "there is"),
        ("he's", "he is"),
        ("she's", "she is"),
        ("where's", "where is"),
        ("who's", "who is"),
        ("how's", "how is"),
        ("here's", "here is"),
        (".com", " dot com"),
        (".in", " dot in"),
        ("o'clock", ""),
        ("okay", "ok"),
        ("alright", "all right"),
        ("a.m.", "am"),
        ("p.m.", "pm"),
        ("mm-hmm", "mhm"),
        ("uh-huh", "uhhuh"),
    ] {
        text = text.replace(from, to);
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        // A change between letters and digits parts words, too ("3pm"), but not in "3rd".
        if c.is_alphanumeric() {
            if word
                .chars()
                .last()
                .is_some_and(|last| last.is_ascii_digit() != c.is_ascii_digit())
                && !is_ordinal_start(&word, c)
            {
                spell(&std::mem::take(&mut word), &mut words);
            }
            word.push(c);
        } else if c == '\'' {
            // Possessives lose their mark.
        } else if !word.is_empty() {
            spell(&std::mem::take(&mut word), &mut words);
        }
    }
    words
}

fn is_ordinal_start(word: &str, next: char) -> bool {
    word.chars().all(|c| c.is_ascii_digit()) && "snrt".contains(next)
}

/// Digits one by one for long numbers, as words for short ones.
fn spell(word: &str, out: &mut Vec<String>) {
    let ordinal = word.trim_end_matches(['s', 't', 'n', 'd', 'r', 'h']);
    if word.chars().all(|c| c.is_ascii_digit()) {
        number(word, out);
    } else if !ordinal.is_empty()
        && ordinal.len() < word.len()
        && ordinal.chars().all(|c| c.is_ascii_digit())
    {
        let n: usize = ordinal.parse().unwrap_or(0);
        out.extend(ORDINALS.get(n).map_or_else(
            || vec![word.to_owned()],
            |name| name.split(' ').map(str::to_owned).collect(),
        ));
    } else if word == "oh" || word == "o" {
        out.push("zero".to_owned());
    } else {
        out.push(word.to_owned());
    }
}

fn number(digits: &str, out: &mut Vec<String>) {
    let value: usize = digits.parse().unwrap_or(usize::MAX);
    let mut add = |word: &str| out.push(word.to_owned());
    match (digits.len(), value) {
        (1, _) | (2, 0..=9) => digits
            .chars()
            .for_each(|c| add(UNITS[c as usize - '0' as usize])),
        (2, 10..20) => add(UNITS[value]),
        (2, _) => {
            add(TENS[value / 10]);
            if !value.is_multiple_of(10) {
                add(UNITS[value % 10]);
            }
        }
        _ => digits
            .chars()
            .for_each(|c| add(UNITS[c as usize - '0' as usize])),
    }
}

const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const ORDINALS: [&str; 32] = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty first",
    "twenty second",
    "twenty third",
    "twenty fourth",
    "twenty fifth",
    "twenty sixth",
    "twenty seventh",
    "twenty eighth",
    "twenty ninth",
    "thirtieth",
    "thirty first",
];
