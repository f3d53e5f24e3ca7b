//! Times of day, heard and spoken.

use super::{days::Part, words::Line};

const NUMBERS: [&str; 20] = [
    "oh",
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
const TENS: [(&str, u16); 4] = [("twenty", 20), ("thirty", 30), ("forty", 40), ("fifty", 50)];

/// What the ear writes for an hour at a line's end, after "at".
const MISHEARD: [(&str, u16); 8] = [
    ("then", 10),
    ("tan", 10),
    ("tenth", 10),
    ("10th", 10),
    ("ate", 8),
    ("for", 4),
    ("too", 2),
    ("won", 1),
];

/// What a number names when it is no time.
const NUMBERED: [&str; 6] = ["flat", "number", "room", "code", "apartment", "house"];

/// What a number counts when it is no time.
const COUNTED: [&str; 13] = [
    "people", "persons", "dollars", "weeks", "days", "hours", "minutes", "percent", "years",
    "months", "kids", "children", "times",
];

/// An hour on a clock face, not yet tied to half a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// 0 to 23; up to 12 it may still be either half.
    hour: u16,
    minute: u16,
    /// "a.m." or "p.m." was said.
    after_noon: Option<bool>,
}

impl Clock {
    fn new(hour: u16, minute: u16) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(Self {
            hour,
            minute,
            after_noon: None,
        })
    }

    /// `minutes` before the hour.
    fn to(hour: u16, minutes: u16) -> Option<Self> {
        let hour = if hour == 1 { 12 } else { hour.checked_sub(1)? };
        Self::new(hour, 60u16.checked_sub(minutes)?)
    }

    /// Minutes since midnight. Where no half was said: within `part`, or else within opening hours.
    pub fn resolve(self, part: Option<Part>, stated: bool) -> u16 {
        let first = self.hour % 12 * 60 + self.minute;
        let second = first + 12 * 60;
        match self.after_noon {
            Some(after_noon) => return if after_noon { second } else { first },
            None if self.hour > 12 || self.hour == 0 => return self.hour * 60 + self.minute,
            None => {}
        }
        let usual = if (7..12).contains(&self.hour) {
            first
        } else {
            second
        };
        match part {
            // Said in the same breath: believed, however odd. Noon has no half.
            Some(part) if stated && self.hour != 12 => {
                if part == Part::Morning {
                    first
                } else {
                    second
                }
            }
            _ => usual,
        }
    }

    /// Times of a line, and where. `loose`: a bare number may be a time, since a time is asked for.
    pub fn mentions(line: &Line, loose: bool) -> Vec<(usize, Self)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < line.words.len() {
            if let Some((mut clock, length)) = read(line, at, loose) {
                found.push((at, clock));
                at += length;
                if let half @ ("am" | "pm") = line.word(at) {
                    clock.after_noon = Some(half == "pm");
                    found.pop();
                    found.push((at, clock));
                }
            } else {
                at += number(line, at).map_or(1, |(_, length)| length); // not the "two" of "twenty two"
            }
        }
        found
    }
}

/// Whether a word is a number.
pub(super) fn is_number(word: &str) -> bool {
    NUMBERS.contains(&word) || TENS.iter().any(|(name, _)| *name == word)
}

/// The number at `at`, and how many words it takes.
fn number(line: &Line, at: usize) -> Option<(u16, usize)> {
    let unit = |word: &str| {
        NUMBERS
            .iter()
            .position(|name| *name == word)
            .filter(|n| *n > 0)
    };
    let word = line.word(at);
    if word.len() <= 4
        && let Ok(value) = word.parse()
    {
        return Some((value, 1));
    }
    if let Some(value) = unit(word) {
        return Some((u16::try_from(value).ok()?, 1));
    }
    let (_, tens) = TENS.iter().find(|(name, _)| *name == word)?;
    match unit(line.word(at + 1)).filter(|n| *n < 10) {
        Some(value) => Some((tens + u16::try_from(value).ok()?, 2)),
        None => Some((*tens, 1)),
    }
}

/// The hour at `at`, 1 to 12.
fn hour(line: &Line, at: usize) -> Option<(u16, usize)> {
    number(line, at).filter(|(value, _)| (1..=12).contains(value))
}

/// The time that begins at `at`, and how many words it takes.
fn read(line: &Line, at: usize, loose: bool) -> Option<(Clock, usize)> {
    let is_past = |word: &str| matches!(word, "past" | "after");
    let is_to = |word: &str| matches!(word, "to" | "till" | "before" | "of");
    match line.word(at) {
        "noon" | "midday" => return Some((Clock::new(12, 0)?, 1)),
        "half" => {
            let skip = usize::from(is_past(line.word(at + 1)));
            let (hour, length) = hour(line, at + 1 + skip)?;
            return Some((Clock::new(hour, 30)?, 1 + skip + length));
        }
        "quarter" => {
            let (hour, length) = hour(line, at + 2)?;
            let clock = match line.word(at + 1) {
                word if is_past(word) => Clock::new(hour, 15),
                word if is_to(word) => Clock::to(hour, 15),
                _ => None,
            };
            return Some((clock?, 2 + length));
        }
        word => {
            if let Some((hour, minute)) = word.split_once(':') {
                return Some((Clock::new(hour.parse().ok()?, minute.parse().ok()?)?, 1));
            }
            if at + 1 == line.words.len() {
                let misheard = MISHEARD.iter().find(|(heard, _)| *heard == word);
                if let Some((_, hour)) = misheard.filter(|_| line.before(at, 1) == "at") {
                    return Some((Clock::new(*hour, 0)?, 1));
                }
                if word == "attend" && loose {
                    return Some((Clock::new(10, 0)?, 1)); // "at ten"
                }
            }
        }
    }
    let (value, length) = number(line, at)?;
    let next = at + length;
    if matches!(value, 5 | 10 | 20 | 25) {
        let skip = usize::from(line.word(next) == "minutes");
        let joint = line.word(next + skip);
        if (is_past(joint) || is_to(joint))
            && let Some((hour, more)) = hour(line, next + skip + 1)
        {
            let clock = if is_past(joint) {
                Clock::new(hour, value)
            } else {
                Clock::to(hour, value)
            };
            return Some((clock?, length + skip + 1 + more));
        }
    }
    bare(line, at, value, length, loose)
}

/// A number that is a time only by what stands around it.
fn bare(line: &Line, at: usize, value: u16, length: usize, loose: bool) -> Option<(Clock, usize)> {
    let next = at + length;
    let is_joined = line.breaks.get(next - 1) == Some(&false);
    let minutes = |minute: &(u16, usize)| is_joined && (10..60).contains(&minute.0);
    let (clock, length) = match (value, line.word(next)) {
        (100.., _) => (Clock::new(value / 100, value % 100)?, length),
        (1..=12, "oh" | "o") => match hour(line, next + 1).filter(|(minute, _)| *minute < 10) {
            Some((minute, more)) => (Clock::new(value, minute)?, length + 1 + more),
            None => (Clock::new(value, 0)?, length),
        },
        (1..=23, _) => match number(line, next).filter(minutes) {
            Some((minute, more)) => (Clock::new(value, minute)?, length + more),
            None if value <= 12 || line.word(next) == "oclock" => (Clock::new(value, 0)?, length),
            None => return None,
        },
        _ => return None,
    };
    let after = line.word(at + length);
    let length = length + usize::from(after == "oclock");
    if matches!(after, "oclock" | "am" | "pm")
        || (after == "in" && line.word(at + length + 1) == "the")
    {
        return Some((clock, length));
    }
    let numbers = (0..line.words.len())
        .filter(|at| number(line, *at).is_some())
        .count();
    if COUNTED.contains(&after) || NUMBERED.contains(&line.before(at, 1)) || numbers > 3 {
        return None;
    }
    let is_pronoun = line.word(at) == "one" && loose && line.words.len() > 1;
    let stands_after = matches!(line.before(at, 1), "at" | "around" | "about" | "by" | "it");
    (stands_after || (loose && !is_pronoun)).then_some((clock, length))
}

/// A time as it is spoken: "ten", "half past three", "a quarter to nine", "ten twenty".
pub(super) fn spoken(time: u16) -> String {
    let name = |hour: u16| {
        NUMBERS
            .get(usize::from((hour + 11) % 12 + 1))
            .copied()
            .unwrap_or("twelve")
    };
    let (hour, minute) = (time / 60, time % 60);
    match minute {
        0 if hour == 12 => "noon".to_owned(),
        0 => name(hour).to_owned(),
        15 => format!("a quarter past {}", name(hour)),
        30 => format!("half past {}", name(hour)),
        45 => format!("a quarter to {}", name(hour + 1)),
        1..=9 => format!("{} oh {}", name(hour), name(minute)),
        10..=19 => format!(
            "{} {}",
            name(hour),
            NUMBERS.get(usize::from(minute)).unwrap_or(&"")
        ),
        _ => {
            let tens = TENS.iter().find(|(_, value)| *value == minute / 10 * 10);
            let tens = tens.map_or("", |(name, _)| name);
            let unit = if minute % 10 == 0 {
                String::new()
            } else {
                format!(" {}", name(minute % 10))
            };
            format!("{} {tens}{unit}", name(hour))
        }
    }
}
