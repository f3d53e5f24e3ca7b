//! Text as it is said: numbers of telephones digit by digit, times, money and addresses in words; then cut into
//! parts, a sentence each.

/// A part of this length ends at the next comma; the sooner it is said.
const SOON: usize = 70;
/// Characters of a part that has no comma.
const LONGEST: usize = 240;
/// Digits from which on a number is no amount.
const LONG_NUMBER: usize = 6;
const DIGITS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// After these a full stop ends no sentence.
const ABBREVIATIONS: [&str; 12] = [
    "dr.", "mr.", "mrs.", "ms.", "prof.", "st.", "vs.", "no.", "e.g.", "i.e.", "a.m.", "p.m.",
];
/// What an address of the web ends with, where it has no scheme.
const DOMAINS: [&str; 9] = ["com", "org", "net", "in", "io", "ai", "co", "dev", "app"];

/// The parts of a text. None, if nothing can be said.
pub(in crate::local) fn parts(text: &str) -> Vec<String> {
    let clean = plain(text);
    let words: Vec<&str> = clean.split_whitespace().collect();
    let mut said = Vec::new();
    let mut rest = words.as_slice();
    while let Some((word, after)) = rest.split_first() {
        let telephone = telephone(rest);
        if telephone > 0 {
            said.push(digits(&rest[..telephone].join(" ")));
            rest = &rest[telephone..];
        } else {
            say(word, after.first().copied(), &mut said);
            rest = after;
        }
    }
    cut(&said.join(" "))
}

/// Letters of other alphabets can't be said; accents are left out.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let written = match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
            'À'..='Å' | 'Ā' => "A",
            'ç' | 'ć' | 'č' => "c",
            'è'..='ë' | 'ē' | 'ę' | 'ě' => "e",
            'È'..='Ë' => "E",
            'ì'..='ï' | 'ī' => "i",
            'ñ' | 'ń' | 'ň' => "n",
            'ò'..='ö' | 'ø' | 'ō' => "o",
            'Ö' | 'Ø' => "O",
            'ś' | 'š' | 'ş' => "s",
            'Š' => "S",
            'ù'..='ü' | 'ū' => "u",
            'Ü' => "U",
            'ý' | 'ÿ' => "y",
            'ź' | 'ż' | 'ž' => "z",
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            '\u{2018}' | '\u{2019}' => "'",
            '\u{2010}' | '\u{2011}' | '\u{2212}' => "-",
            '\u{2012}'..='\u{2015}' => " , ",
            '\u{2026}' => ". ",
            '°' => " degrees ",
            '"' | '*' | '`' | '\u{201C}' | '\u{201D}' | '\u{AB}' | '\u{BB}' => "",
            '_' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | '\\' | '^' | '~' => " ",
            ' '..='~' | '\u{20B9}' | '\u{20AC}' | '£' => {
                out.push(c);
                continue;
            }
            _ => " ",
        };
        out.push_str(written);
    }
    out
}

/// How many words from here on are one number of a telephone; 0: none.
fn telephone(words: &[&str]) -> usize {
    let mut count = 0;
    let mut digits = 0;
    for word in words {
        let number = word.trim_end_matches(['.', ',', ';', ':', '?', '!']);
        let known = |c: char| c.is_ascii_digit() || "+-().".contains(c);
        if number.is_empty() || !number.chars().all(known) || is_date(number) {
            break;
        }
        let more = number.chars().filter(char::is_ascii_digit).count();
        let is_amount = number.contains('.') && more == number.len() - 1;
        if more == 0 || is_amount {
            break;
        }
        count += 1;
        digits += more;
        if number.len() < word.len() {
            break;
        }
    }
    let first = words.first().copied().unwrap_or_default();
    let alone = count == 1 && !first.starts_with('+');
    let long = if alone { LONG_NUMBER } else { 7 };
    let is_round = alone
        && first
            .trim_end_matches(['.', ',', '?', '!'])
            .ends_with("000");
    let is_code = count > 0 && first.len() > 1 && first.starts_with('0') && !first.contains('.');
    match digits >= long && !is_round {
        true => count,
        false => usize::from(is_code),
    }
}

/// Groups of digits, with a pause between them; the last mark stays.
fn digits(number: &str) -> String {
    let end = number.chars().last().filter(|c| ".,;:?!".contains(*c));
    let groups = number.split(|c: char| !c.is_ascii_digit());
    let group = |group: &str| {
        let digits = group
            .bytes()
            .filter_map(|b| DIGITS.get(usize::from(b - b'0')));
        digits.copied().collect::<Vec<_>>().join(" ")
    };
    let groups: Vec<String> = groups.filter(|g| !g.is_empty()).map(group).collect();
    let plus = if number.starts_with('+') { "plus " } else { "" };
    format!(
        "{plus}{}{}",
        groups.join(", "),
        end.map_or(String::new(), String::from)
    )
}

fn is_date(word: &str) -> bool {
    date(word).is_some()
}

/// `2026-05-03` in words.
fn date(word: &str) -> Option<String> {
    let mut numbers = word.split('-');
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if numbers.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let (year, day): (u32, u32) = (year.parse().ok()?, day.parse().ok()?);
    let ending = match day {
        11..=13 => "th",
        _ if day % 10 == 1 => "st",
        _ if day % 10 == 2 => "nd",
        _ if day % 10 == 3 => "rd",
        _ => "th",
    };
    Some(format!("{month} {day}{ending}, {year}"))
}

/// One word in words; `next` is the one after it.
fn say(word: &str, next: Option<&str>, said: &mut Vec<String>) {
    let inner = word.trim_start_matches(['(', '\'']);
    let core = inner.trim_end_matches(['.', ',', ';', ':', '?', '!', ')', '\'']);
    let end = inner[core.len()..].trim_matches(|c| !".,;:?!".contains(c));
    let lower = core.to_ascii_lowercase();
    let is_half = |text: &str| {
        let half = next.unwrap_or_default().to_ascii_lowercase();
        text.is_empty()
            && ["am", "pm", "a.m.", "p.m."]
                .iter()
                .any(|m| half.starts_with(m))
    };
    let text = if core.is_empty() {
        String::new()
    } else if let Some(date) = date(core) {
        date
    } else if is_address(&lower) {
        address(core)
    } else if let Some((hour, minute, half)) = time(&lower) {
        match minute {
            0 if half.is_empty() && !is_half(half) => format!("{hour} o'clock"),
            0 => format!("{hour} {half}"),
            1..10 => format!("{hour} oh {minute} {half}"),
            _ => format!("{hour} {minute} {half}"),
        }
    } else if let Some(amount) = core.strip_prefix('\u{20B9}') {
        format!("{amount} rupees")
    } else if let Some(amount) = core.strip_suffix('%') {
        format!("{amount} percent")
    } else {
        match core {
            "&" => "and".to_owned(),
            "+" => "plus".to_owned(),
            "=" => "equals".to_owned(),
            "1/2" => "one half".to_owned(),
            "1/4" => "one quarter".to_owned(),
            "3/4" => "three quarters".to_owned(),
            _ if inner.starts_with(['$', '\u{20AC}', '£']) => core.to_owned(),
            _ => parted(core),
        }
    };
    // An abbreviation keeps its full stop, which is part of it.
    let text = text.trim();
    if !text.is_empty() || !end.is_empty() && !said.is_empty() {
        said.push(format!("{text}{end}"));
    }
}

/// `3:30pm` → 3, 30, "p m".
fn time(lower: &str) -> Option<(u32, u32, &'static str)> {
    let (hour, rest) = lower.split_once(':')?;
    let minute = rest.get(..2)?;
    let half = match rest.get(2..)? {
        "" => "",
        "am" => "A.M.",
        "pm" => "P.M.",
        _ => return None,
    };
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some((hour, minute, half))
}

fn is_address(lower: &str) -> bool {
    let has = |text: &str| lower.contains(text);
    let is_host = || {
        let host = lower.split('/').next().unwrap_or_default();
        host.rsplit_once('.').is_some_and(|(name, end)| {
            DOMAINS.contains(&end) && name.chars().any(|c| c.is_ascii_alphabetic())
        })
    };
    lower.len() > 3 && (has("://") || lower.starts_with("www.") || is_host())
        || lower
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

fn address(core: &str) -> String {
    let core = core.split_once("://").map_or(core, |(_, rest)| rest);
    let mut out = String::new();
    for c in core.trim_end_matches('/').chars() {
        match c {
            '.' => out.push_str(" dot "),
            '@' => out.push_str(" at "),
            '/' => out.push_str(" slash "),
            '-' => out.push_str(" dash "),
            '+' => out.push_str(" plus "),
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ => out.push(' '),
        }
    }
    // Numbers in it are told from its letters, too.
    let words: Vec<String> = out.split_whitespace().map(parted).collect();
    words.join(" ")
}

/// Letters and digits of one word apart, and what stands between words said or left out.
fn parted(core: &str) -> String {
    let lower = core.to_ascii_lowercase();
    let number = lower.trim_end_matches(char::is_alphabetic);
    let is_ordinal = ["st", "nd", "rd", "th"].contains(&&lower[number.len()..])
        && number.chars().all(|c| c.is_ascii_digit());
    let mixed = core.contains(|c: char| c.is_ascii_digit())
        && core.contains(|c: char| c.is_ascii_alphabetic());
    let mut out = String::new();
    let mut last = ' ';
    for c in core.chars() {
        let changes = last.is_ascii_digit() && c.is_ascii_alphabetic()
            || last.is_ascii_alphabetic() && c.is_ascii_digit();
        match c {
            '/' if last.is_ascii_digit() => out.push_str(" slash "),
            '/' | '(' | ')' | '@' => out.push(' '),
            '&' => out.push_str(" and "),
            '+' => out.push_str(" plus "),
            '=' => out.push_str(" equals "),
            '#' => out.push_str(" number "),
            '-' if mixed => out.push(' '),
            _ => {
                if changes && !is_ordinal {
                    out.push(' ');
                }
                out.push(c);
            }
        }
        last = c;
    }
    out
}

/// Sentences; long ones at their commas, and very long ones between words.
fn cut(said: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    for word in said.split_whitespace() {
        // A word longer than any word is cut, too; all are ASCII, or a sign of money.
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(LONGEST / 4) {
            if part.len() + piece.len() >= LONGEST {
                parts.push(std::mem::take(&mut part));
            }
            if !part.is_empty() {
                part.push(' ');
            }
            part.extend(piece);
        }
        let is_end = word.ends_with(['.', '?', '!'])
            && !ABBREVIATIONS.contains(&word.to_ascii_lowercase().as_str());
        if is_end || word.ends_with([',', ';', ':']) && part.len() >= SOON {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts.push(part);
    parts.retain(|part| part.contains(|c: char| c.is_ascii_alphanumeric()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        parts(text).join(" | ")
    }

    #[test]
    fn numbers_are_said_as_people_say_them() {
        for (text, expected) in [
            (
                "Call +1 415 555 0100.",
                "Call plus one, four one five, five five five, zero one zero zero.",
            ),
            (
                "Ring (080) 4110-2233 now",
                "Ring zero eight zero, four one one zero, two two three three now",
            ),
            (
                "Your code is 482913.",
                "Your code is four eight two nine one three.",
            ),
            (
                "Agent 007, 90210 and 1,50,000",
                "Agent zero zero seven, 90210 and 1,50,000",
            ),
            ("It is 200000 in all", "It is 200000 in all"),
            (
                "At 3:30 pm, 10:05am or 9:00?",
                "At 3 30 pm, 10 oh 5 A.M. or 9 o'clock?",
            ),
            (
                "₹500 or $40.50, 25% off",
                "500 rupees or $40.50, 25 percent off",
            ),
            ("On 2026-05-03 or the 3rd", "On May 3rd, 2026 or the 3rd"),
            ("COVID-19, B2B and 1/2", "COVID 19, B 2 B and one half"),
        ] {
            assert_eq!(said(text), expected);
        }
    }

    #[test]
    fn addresses_are_said_in_words() {
        assert_eq!(
            said("Write to priya.sharma2@example.com!"),
            "Write to priya dot sharma 2 at example dot com!"
        );
        assert_eq!(
            said("See https://bolo.example.com/docs/ or acme.in."),
            "See bolo dot example dot com slash docs or acme dot in."
        );
    }

    #[test]
    fn marks_and_other_alphabets_are_left_out() {
        assert_eq!(
            said("**Café** [hi](/x/) “yes”… naïve 😀"),
            "Cafe hi x yes. | naive"
        );
        assert!(parts("नमस्ते ... 😀 * - ?").is_empty());
        assert!(parts("").is_empty());
    }

    #[test]
    fn parts_are_sentences_and_long_ones_end_at_a_comma() {
        assert_eq!(
            parts("Dr. Rao is here. Is that all right? Yes!"),
            ["Dr. Rao is here.", "Is that all right?", "Yes!"]
        );
        let long = "I can book an appointment for you on Tuesday or on Thursday of the next week, and then \
                    we will call you.";
        assert_eq!(parts(long).len(), 2);
        let endless = "word ".repeat(300) + &"x".repeat(3000);
        assert!(parts(&endless).iter().all(|part| part.len() <= LONGEST));
    }
}
