//! Days, times, names, yes and no, out of transcripts that may be a little wrong.

/// Words in lower case without punctuation; `10:30` and `10.30` become two numbers, `a.m.` becomes
/// `am`.
pub(super) fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    let mut plain = String::with_capacity(text.len());
    for (n, c) in chars.iter().enumerate() {
        let digit = |at: Option<usize>| {
            at.and_then(|at| chars.get(at))
                .is_some_and(char::is_ascii_digit)
        };
        match c {
            '\'' | '’' => {}
            ':' | '.' if digit(n.checked_sub(1)) && digit(Some(n + 1)) => plain.push(' '),
            '.' => {}
            c if c.is_alphanumeric() => plain.push(*c),
            _ => plain.push(' '),
        }
        let follows = chars.get(n + 1);
        // "10am" is two words; a full stop without a space after it ends one.
        let ends_number = c.is_ascii_digit() && follows.is_some_and(|next| next.is_alphabetic());
        let ordinal = matches!(follows, Some('s' | 'n' | 'r' | 't'));
        if ends_number && !ordinal {
            plain.push(' ');
        }
    }
    plain.split_whitespace().map(str::to_owned).collect()
}

/// Whether one of the phrases stands in `words`.
pub(super) fn has(words: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| find(words, phrase).is_some())
}

/// Where a phrase starts.
fn find(words: &[String], phrase: &str) -> Option<usize> {
    let sought: Vec<&str> = phrase.split(' ').collect();
    words
        .windows(sought.len())
        .position(|window| window.iter().eq(sought.iter()))
}

const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "correct",
    "right",
    "okay",
    "ok",
    "please do",
    "go ahead",
    "sounds good",
    "perfect",
    "that works",
    "of course",
    "exactly",
    "fine",
    "great",
    "absolutely",
    "book it",
    "do it",
];
const NO: &[&str] = &[
    "no",
    "nope",
    "not right",
    "wrong",
    "incorrect",
    "nothing",
    "not really",
    "no thanks",
    "dont",
];

/// Yes, no, or neither. A no wins: "no, that is not right".
pub(super) fn yes_or_no(words: &[String]) -> Option<bool> {
    if has(words, NO) {
        return Some(false);
    }
    has(words, YES).then_some(true)
}

const WEEKDAYS: [(&str, &[&str]); 7] = [
    ("Monday", &["monday", "mondays"]),
    (
        "Tuesday",
        &["tuesday", "tuesdays", "choose day", "tues day"],
    ),
    (
        "Wednesday",
        &["wednesday", "wednesdays", "wensday", "wednes day"],
    ),
    (
        "Thursday",
        &["thursday", "thursdays", "thirsty", "thurs day"],
    ),
    ("Friday", &["friday", "fridays", "fry day"]),
    ("Saturday", &["saturday", "saturdays"]),
    ("Sunday", &["sunday", "sundays"]),
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The days named, in order, as they are said back ("on Thursday", "tomorrow").
pub(super) fn days(words: &[String]) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (name, spellings) in WEEKDAYS {
        let places = spellings
            .iter()
            .filter_map(|spelling| find(words, spelling));
        found.extend(places.min().map(|at| (at, format!("on {name}"))));
    }
    let relative = [
        ("day after tomorrow", "the day after tomorrow"),
        ("tomorrow", "tomorrow"),
        ("today", "today"),
        ("tonight", "today"),
    ];
    for (phrase, day) in relative {
        if let Some(at) = find(words, phrase)
            && !found.iter().any(|(other, _)| other.abs_diff(at) <= 2)
        {
            found.push((at, day.to_owned()));
        }
    }
    for (at, word) in words.iter().enumerate() {
        let near = |at: Option<usize>| at.and_then(|at| words.get(at)).map(String::as_str);
        let Some(month) = MONTHS.iter().find(|month| *month == word) else {
            continue;
        };
        let before = near(at.checked_sub(1))
            .filter(|word| *word != "of")
            .or_else(|| near(at.checked_sub(2)));
        let two_before = near(at.checked_sub(3)).filter(|_| near(at.checked_sub(1)) == Some("of"));
        let number = match (two_before.and_then(tens), before.and_then(ordinal)) {
            (Some(tens), Some(ones)) if ones < 10 => Some(tens + ones),
            (_, number) => number.or_else(|| near(Some(at + 1)).and_then(ordinal)),
        };
        if let Some(number) = number {
            let mut name = (*month).to_owned();
            name[..1].make_ascii_uppercase();
            found.push((at, format!("on {name} {number}")));
        }
    }
    found.sort();
    found.into_iter().map(|(_, day)| day).collect()
}

const NUMBERS: [&str; 20] = [
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
const ORDINALS: [&str; 20] = [
    "",
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
];

fn tens(word: &str) -> Option<u32> {
    match word {
        "twenty" | "twentieth" => Some(20),
        "thirty" | "thirtieth" => Some(30),
        "forty" => Some(40),
        "fifty" => Some(50),
        _ => None,
    }
}

fn number(word: &str) -> Option<u32> {
    let spelt = NUMBERS
        .iter()
        .position(|number| *number == word)
        .map(|number| number as u32);
    spelt.or_else(|| tens(word)).or_else(|| word.parse().ok())
}

fn ordinal(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
    let spelt = ORDINALS
        .iter()
        .position(|number| *number == word && !word.is_empty())
        .map(|n| n as u32);
    let number = spelt
        .or_else(|| digits.parse().ok())
        .or_else(|| number(word));
    number.filter(|number| (1..=31).contains(number))
}

/// A time of day, or as much of one as was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub hour: Option<u32>,
    pub minute: u32,
    /// `in the morning`, `in the afternoon`, `in the evening`.
    pub part: Option<&'static str>,
}

impl Time {
    /// As it is said back.
    pub fn say(&self) -> String {
        let spelt = |number: u32| {
            NUMBERS
                .get(number as usize)
                .map_or_else(|| number.to_string(), |word| (*word).to_owned())
        };
        let part = self.part.map(|part| format!(" {part}")).unwrap_or_default();
        let Some(hour) = self.hour else {
            return part.trim().to_owned();
        };
        let minutes = match self.minute {
            0 => String::new(),
            30 => " thirty".to_owned(),
            45 => " forty five".to_owned(),
            minute => format!(" {}", spelt(minute)),
        };
        format!("{}{minutes}{part}", spelt(hour))
    }
}

/// The time named. `asked`: a bare number is a time.
pub(super) fn time(words: &[String], asked: bool) -> Option<Time> {
    let part = part(words);
    let clock = clock(words, asked);
    if clock.is_none() && part.is_none() {
        return None;
    }
    let (hour, minute) = clock.map_or((None, 0), |(hour, minute)| (Some(hour), minute));
    let from_hour = match hour {
        Some(13..=17) => Some("in the afternoon"),
        Some(18..=23) => Some("in the evening"),
        _ => None,
    };
    let hour = hour.map(|hour| if hour > 12 { hour - 12 } else { hour });
    Some(Time {
        hour,
        minute,
        part: part.or(from_hour),
    })
}

fn part(words: &[String]) -> Option<&'static str> {
    if has(words, &["morning", "am"]) {
        Some("in the morning")
    } else if has(words, &["afternoon", "after noon", "pm"]) {
        Some("in the afternoon")
    } else if has(words, &["evening", "tonight"]) {
        Some("in the evening")
    } else {
        None
    }
}

fn clock(words: &[String], asked: bool) -> Option<(u32, u32)> {
    let hour = |at: usize| {
        words
            .get(at)
            .and_then(|word| number(word))
            .filter(|hour| (1..=23).contains(hour))
    };
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).map(String::as_str);
        match (word.as_str(), next) {
            ("half", Some("past")) => {
                if let Some(hour) = hour(at + 2) {
                    return Some((hour, 30));
                }
            }
            ("quarter", Some("past")) => {
                if let Some(hour) = hour(at + 2) {
                    return Some((hour, 15));
                }
            }
            ("quarter", Some("to")) => {
                if let Some(hour) = hour(at + 2) {
                    return Some((if hour == 1 { 12 } else { hour - 1 }, 45));
                }
            }
            ("noon" | "midday", _) => return Some((12, 0)),
            _ => {}
        }
        let Some(found) = hour(at) else { continue };
        let minute = next
            .and_then(number)
            .filter(|minute| (10..60).contains(minute) && minute % 5 == 0);
        let more = words
            .get(at + 2)
            .and_then(|word| number(word))
            .filter(|ones| *ones == 5);
        let minute = minute.map(|minute| {
            minute
                + more
                    .filter(|_| minute % 10 == 0 && minute > 10)
                    .unwrap_or_default()
        });
        let after = words
            .get(at + 1 + usize::from(minute.is_some()))
            .map(String::as_str);
        let led = at
            .checked_sub(1)
            .and_then(|at| words.get(at))
            .is_some_and(|word| {
                [
                    "at", "around", "about", "by", "after", "before", "past", "say", "make", "it",
                ]
                .contains(&word.as_str())
            });
        let named = matches!(after, Some("oclock" | "am" | "pm"))
            || (after == Some("o") && has(words, &["o clock"]));
        if led || named || minute.is_some() || (asked && words.len() <= 6) {
            return Some((found, minute.unwrap_or_default()));
        }
    }
    None
}

const NAME_LEADS: &[&str] = &[
    "my name is",
    "my names",
    "name is",
    "names",
    "i am called",
    "this is",
    "i am",
    "im",
    "it is",
    "its",
    "call me",
];
/// Words that are never part of a name.
const NOT_NAMES: &[&str] = &[
    "its",
    "im",
    "ill",
    "id",
    "lets",
    "thats",
    "ive",
    "a",
    "an",
    "the",
    "not",
    "no",
    "yes",
    "yeah",
    "sure",
    "okay",
    "ok",
    "uh",
    "um",
    "well",
    "so",
    "and",
    "at",
    "on",
    "in",
    "for",
    "to",
    "is",
    "it",
    "am",
    "i",
    "you",
    "my",
    "me",
    "we",
    "calling",
    "looking",
    "interested",
    "sorry",
    "fine",
    "good",
    "here",
    "just",
    "please",
    "speaking",
    "afraid",
    "going",
    "really",
    "happy",
    "late",
    "busy",
    "from",
    "about",
    "that",
    "this",
    "what",
    "where",
    "when",
    "how",
    "can",
    "could",
    "would",
    "like",
    "want",
    "need",
    "right",
    "thanks",
    "thank",
    "name",
    "two",
    "three",
    "people",
    "hello",
    "hi",
    "maybe",
    "think",
    "later",
    "first",
    "second",
    "one",
    "better",
    "appointment",
    "book",
    "hmm",
    "mm",
    "already",
    "told",
    "never",
    "mind",
    "then",
    "do",
    "does",
    "there",
    "with",
    "of",
    "or",
    "but",
    "wait",
    "stop",
    "account",
];

/// The name given. `asked`: the whole of a short answer may be one.
pub(super) fn name(words: &[String], asked: bool) -> Option<String> {
    for lead in NAME_LEADS {
        let certain = lead.contains("name") || lead.contains("call");
        if let Some(at) = find(words, lead)
            && (certain || asked || words.len() <= 6)
        {
            let after = &words[at + lead.split(' ').count()..];
            if let Some(name) = spell(after) {
                return Some(name);
            }
        }
    }
    let short = asked && words.iter().filter(|word| !is_polite(word)).count() <= 4;
    short.then(|| spell(words)).flatten()
}

/// A word around a name, not in it.
fn is_polite(word: &str) -> bool {
    ["please", "thanks", "thank", "you", "uh", "um", "well"].contains(&word)
}

/// Up to three words of a name from the front, capitalised; letters that spell it are left out.
fn spell(words: &[String]) -> Option<String> {
    let taken: Vec<String> = words
        .iter()
        .filter(|word| !is_polite(word))
        .take_while(|word| {
            let letters = word.chars().all(char::is_alphabetic);
            letters
                && !NOT_NAMES.contains(&word.as_str())
                && days(std::slice::from_ref(word)).is_empty()
        })
        .filter(|word| word.chars().count() > 1)
        .take(3)
        .map(|word| {
            let mut chars = word.chars();
            let first = chars
                .next()
                .map(|first| first.to_uppercase().to_string())
                .unwrap_or_default();
            first + chars.as_str()
        })
        .collect();
    (!taken.is_empty()).then(|| taken.join(" "))
}
