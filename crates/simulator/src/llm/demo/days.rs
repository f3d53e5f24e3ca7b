//! Days and parts of the day, as callers say them.

use super::words::Line;

/// A day of the appointment; the demo has no calendar, so it keeps what the caller calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    Today,
    Tomorrow,
    InTwoDays,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

const DAYS: [(Day, &str); 10] = [
    (Day::Today, "today"),
    (Day::Tomorrow, "tomorrow"),
    (Day::InTwoDays, "the day after tomorrow"),
    (Day::Monday, "Monday"),
    (Day::Tuesday, "Tuesday"),
    (Day::Wednesday, "Wednesday"),
    (Day::Thursday, "Thursday"),
    (Day::Friday, "Friday"),
    (Day::Saturday, "Saturday"),
    (Day::Sunday, "Sunday"),
];

/// Words that the ear writes for a day and that spelling alone does not lead back to it.
const MISHEARD: [(&str, Day); 3] = [
    ("thirsty", Day::Thursday),
    ("wensday", Day::Wednesday),
    ("tonight", Day::Today),
];

impl Day {
    /// As spoken: "Thursday", "tomorrow".
    pub fn spoken(self) -> &'static str {
        DAYS.iter()
            .find(|(day, _)| *day == self)
            .map_or("that day", |(_, name)| name)
    }

    /// First and last start of a visit, minutes since midnight; `None` = closed.
    pub fn open(self) -> Option<(u16, u16)> {
        match self {
            Self::Sunday => None,
            Self::Saturday => Some((9 * 60, 12 * 60 + 30)),
            _ => Some((8 * 60, 17 * 60 + 30)),
        }
    }

    fn of(word: &str) -> Option<Self> {
        if let Some((_, day)) = MISHEARD.iter().find(|(heard, _)| *heard == word) {
            return Some(*day);
        }
        let singular = word.strip_suffix('s').unwrap_or(word);
        let far = |name: &str| {
            let name = name.to_lowercase();
            let is_like =
                name.len() > 5 && singular.len() > 5 && name.get(..1) == singular.get(..1);
            if is_like {
                distance(&name, singular)
            } else {
                usize::from(name != singular) * 9
            }
        };
        let nearest = DAYS
            .iter()
            .map(|(day, name)| (*day, far(name)))
            .min_by_key(|(_, far)| *far);
        // Of short names one letter only, or "monkey" were a Monday.
        nearest
            .filter(|(day, far)| *far <= if day.spoken().len() > 6 { 2 } else { 1 })
            .map(|(day, _)| day)
    }

    /// Days of a line, and where; without those that the caller refuses ("not on Tuesday").
    pub fn mentions(line: &Line) -> Vec<(usize, Self)> {
        let mut found = Vec::new();
        for (at, word) in line.words.iter().enumerate() {
            let Some(mut day) = Self::of(word) else {
                if matches!(word.as_str(), "morning" | "afternoon" | "evening")
                    && line.before(at, 1) == "this"
                {
                    found.push((at, Self::Today));
                }
                continue;
            };
            let refused = (1..=2).any(|back| line.before(at, back) == "not")
                || (matches!(line.word(at + 1), "is" | "does" | "will" | "would" | "can")
                    && line.word(at + 2) == "not");
            if day == Self::Tomorrow && line.before(at, 1) == "after" {
                day = Self::InTwoDays;
            }
            if !refused {
                found.push((at, day));
            }
        }
        found
    }
}

/// Part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Morning,
    Afternoon,
    Evening,
}

impl Part {
    /// As spoken: "morning".
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Morning => "morning",
            Self::Afternoon => "afternoon",
            Self::Evening => "evening",
        }
    }

    /// Whether a time, minutes since midnight, lies in it.
    pub fn holds(self, time: u16) -> bool {
        match self {
            Self::Morning => time < 12 * 60,
            Self::Afternoon => (12 * 60..=18 * 60).contains(&time),
            Self::Evening => time >= 17 * 60,
        }
    }

    /// Parts named in a line; a greeting ("good morning") names none.
    pub fn mentions(line: &Line) -> Vec<(usize, Self)> {
        let named = |word: &str| match word {
            "morning" | "mornings" => Some(Self::Morning),
            "afternoon" | "afternoons" => Some(Self::Afternoon),
            "evening" | "evenings" | "tonight" => Some(Self::Evening),
            _ => None,
        };
        let words = line.words.iter().enumerate();
        words
            .filter(|(at, _)| !matches!(line.before(*at, 1), "good" | "not"))
            .filter_map(|(at, word)| named(word).map(|part| (at, part)))
            .collect()
    }
}

/// Letters to insert, remove or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let change = row[j] + usize::from(left != *right);
            next.push(change.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[b.len()]
}
