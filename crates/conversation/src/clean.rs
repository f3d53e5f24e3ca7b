//! Text for the ear: what a model writes minus what nobody would read aloud (R90). History keeps the
//! text as it was written, without the model's thoughts.

/// Takes `<think>` blocks out of a stream of tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Thoughts {
    inside: bool,
    /// The beginning of what may become a tag.
    partial: String,
    /// What was thought, for the log.
    pub(crate) thought: String,
}

impl Thoughts {
    /// The part of `token` that is not thought, with what an earlier one held back.
    pub(crate) fn pass(&mut self, token: &str) -> String {
        let mut text = std::mem::take(&mut self.partial);
        text.push_str(token);
        let mut out = String::new();
        loop {
            let tag = if self.inside { "</think>" } else { "<think>" };
            let into = if self.inside {
                &mut self.thought
            } else {
                &mut out
            };
            match text.find(tag) {
                Some(index) => {
                    into.push_str(&text[..index]);
                    text.drain(..index + tag.len());
                    self.inside = !self.inside;
                }
                None => {
                    let held = (1..tag.len())
                        .rev()
                        .find(|n| text.ends_with(&tag[..*n]))
                        .unwrap_or(0);
                    self.partial = text.split_off(text.len() - held);
                    into.push_str(&text);
                    break;
                }
            }
        }
        if self.thought.len() > 4000 {
            self.thought = self.thought.chars().take(1000).collect();
        }
        out
    }

    /// What was held back and turned out to be no tag.
    pub(crate) fn rest(&mut self) -> String {
        let rest = std::mem::take(&mut self.partial);
        if self.inside { String::new() } else { rest }
    }
}

/// Cleans the pieces of one answer, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cleaner {
    in_code: bool,
    group_digits: bool,
}

impl Cleaner {
    pub(crate) fn new(group_digits: bool) -> Self {
        Self {
            in_code: false,
            group_digits,
        }
    }

    /// The next piece as it is to be spoken; "" if nothing of it is.
    pub(crate) fn clean(&mut self, raw: &str) -> String {
        let text = self.without_code(raw);
        let text = without_calls(&text);
        let text = without_tags(&text);
        let text = with_links_as_text(&text);
        let text = text
            .lines()
            .map(without_line_marks)
            .collect::<Vec<_>>()
            .join("\n");
        let text = without_stage_directions(&text);
        let text = without_marks(&text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.chars().any(char::is_alphanumeric) {
            return String::new();
        }
        if self.group_digits {
            grouped(&text)
        } else {
            text
        }
    }

    fn without_code(&mut self, raw: &str) -> String {
        let mut out = String::new();
        for (index, part) in raw.split("```").enumerate() {
            if index > 0 {
                self.in_code = !self.in_code;
            }
            if !self.in_code {
                out.push_str(part);
            }
        }
        out
    }
}

/// Without the `user:` that some models write where the caller is to speak next.
pub(crate) fn without_next_speaker(text: &str) -> &str {
    let trimmed = text.trim_end();
    let head = |tail: &str| {
        let cut = trimmed.len().checked_sub(tail.len())?;
        let (head, found) = (trimmed.get(..cut)?, trimmed.get(cut..)?);
        found.eq_ignore_ascii_case(tail).then_some(head)
    };
    if let Some(rest) = head("user:") {
        return rest.trim_end();
    }
    match head("user") {
        Some(rest) if rest.ends_with('\n') => rest.trim_end(),
        _ => text,
    }
}

/// A call that a model wrote as text: `functions.name(…)`.
pub(crate) struct Narrated<'a> {
    pub(crate) start: usize,
    pub(crate) name: &'a str,
    /// What stands between the brackets.
    pub(crate) arguments: &'a str,
    end: usize,
}

/// The first of them.
pub(crate) fn narrated(text: &str) -> Option<Narrated<'_>> {
    let mut from = 0;
    while let Some(index) = text[from..].find("functions.") {
        let start = from + index;
        from = start + "functions.".len();
        let call = &text[from..];
        let name = call
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(call.len());
        if name == 0 || !call[name..].starts_with('(') {
            continue;
        }
        let mut depth = 0;
        let close = call[name..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        });
        let (inner, end) = close.map_or((call.len(), text.len()), |(at, _)| {
            (name + at, from + name + at + 1)
        });
        return Some(Narrated {
            start,
            name: &call[..name],
            arguments: &call[name + 1..inner],
            end,
        });
    }
    None
}

/// Removes calls that a model wrote as text.
fn without_calls(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(call) = narrated(rest) {
        out.push_str(&rest[..call.start]);
        rest = &rest[call.end..];
    }
    out + rest
}

fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(index) = rest.find('<') {
        let tag = &rest[index + 1..];
        let is_tag = tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        out.push_str(&rest[..index]);
        match tag.find('>') {
            Some(end) if is_tag => {
                if tag.starts_with("br") || tag.starts_with("/p") || tag.starts_with("/li") {
                    out.push(' ');
                }
                rest = &tag[end + 1..];
            }
            _ => {
                out.push('<');
                rest = tag;
            }
        }
    }
    out + rest
}

/// `[text](target)` and `![text](target)` become `text`.
fn with_links_as_text(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(index) = rest.find('[') {
        let inner = &rest[index + 1..];
        let link = inner
            .find("](")
            .and_then(|close| Some((close, close + inner[close..].find(')')?)));
        match link {
            Some((close, end)) => {
                out.push_str(rest[..index].strip_suffix('!').unwrap_or(&rest[..index]));
                out.push_str(&inner[..close]);
                rest = &inner[end + 1..];
            }
            None => {
                out.push_str(&rest[..=index]);
                rest = inner;
            }
        }
    }
    out + rest
}

fn without_line_marks(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.trim_start_matches('>').trim_start();
    let heading = line.trim_start_matches('#');
    if heading.len() < line.len() && (heading.starts_with(' ') || heading.is_empty()) {
        return heading.trim_start();
    }
    ["- ", "* ", "+ ", "• "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line)
}

/// `*sighs*` that stands alone is done, not said; `*very*` within a sentence is said.
fn without_stage_directions(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(index) = rest.find('*') {
        let said = |text: &str| text.trim_end().chars().next_back();
        let before = said(&rest[..index]).or_else(|| said(&out));
        let (head, tail) = rest.split_at(index);
        out.push_str(head);
        let doubled = tail[1..].starts_with('*');
        let alone = before.is_none_or(|c| matches!(c, '.' | '!' | '?' | '…' | '*' | ':'));
        let end = tail[1..].find('*').map(|end| end + 1);
        match end {
            Some(end) if !doubled && alone && is_direction(&tail[1..end]) => {
                rest = &tail[end + 1..]
            }
            _ => {
                let marks = if doubled { 2 } else { 1 };
                out.push_str(&tail[..marks]);
                rest = &tail[marks..];
            }
        }
    }
    out + rest
}

fn is_direction(inner: &str) -> bool {
    let Some(verb) = inner.split_whitespace().next() else {
        return false;
    };
    let lower = inner.chars().next().is_some_and(char::is_lowercase);
    lower && inner.split_whitespace().count() <= 6 && (verb.ends_with('s') || verb.ends_with("ing"))
}

fn without_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '`' | '~' => {}
            '#' if !out.ends_with(char::is_alphanumeric) => {}
            '_' | '|' => out.push(' '),
            c if is_pictograph(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{2190}'..='\u{21ff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{200d}' | '\u{20e3}' | '\u{e0020}'..='\u{e007f}')
}

/// Digits of long numbers in groups of three.
fn grouped(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if digits.len() >= 5 {
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && index % 3 == 0 {
                    out.push(' ');
                }
                out.push(digit);
            }
        } else {
            out.push_str(&digits);
        }
        digits.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(raw: &str) -> String {
        Cleaner::default().clean(raw)
    }

    #[test] // R90
    fn markdown_is_not_read_aloud() {
        assert_eq!(
            spoken("**Great!** Your `order` is # 5."),
            "Great! Your order is 5."
        );
        assert_eq!(
            spoken("## Hours\n- Monday\n- *Tuesday*\n> quoted"),
            "Hours Monday Tuesday quoted"
        );
        assert_eq!(
            spoken("See [our page](https://e.org/a?b=c) or ![map](m.png)."),
            "See our page or map."
        );
        assert_eq!(spoken("snake_case | cell"), "snake case cell");
        assert_eq!(spoken("Room A#3 costs 5 < 6"), "Room A#3 costs 5 < 6");
    }

    #[test] // R90
    fn code_tags_and_narrated_calls_are_dropped() {
        assert_eq!(spoken("Here: ```let x = 1;``` done."), "Here: done.");
        assert_eq!(spoken("Hello<br/>there <b>you</b>"), "Hello there you");
        assert_eq!(
            spoken("Sure. functions.book({\"a\": (1)}) Booked."),
            "Sure. Booked."
        );
        let mut cleaner = Cleaner::default();
        assert_eq!(cleaner.clean("Look: ```let x"), "Look:");
        assert_eq!(cleaner.clean(" = 1;``` that is it."), "that is it.");
    }

    #[test] // R90
    fn emoji_and_stage_directions_are_dropped() {
        assert_eq!(spoken("Done! 🎉 See you ☀️"), "Done! See you");
        assert_eq!(
            spoken("*sighs softly* Well, that is *very* good."),
            "Well, that is very good."
        );
        assert_eq!(spoken("🙂 …"), "");
    }

    #[test] // R90
    fn thoughts_are_no_text_even_when_their_tags_are_torn() {
        let mut thoughts = Thoughts::default();
        let tokens = ["Hi <", "thi", "nk>secret", " plan</th", "ink>there <", "b"];
        let text: String = tokens.iter().map(|token| thoughts.pass(token)).collect();
        assert_eq!(text + &thoughts.rest(), "Hi there <b");
        assert_eq!(thoughts.thought, "secret plan");
    }

    #[test] // R90
    fn the_next_speakers_name_is_dropped() {
        assert_eq!(without_next_speaker("How are you?\nuser:"), "How are you?");
        assert_eq!(without_next_speaker("How are you?\nUser"), "How are you?");
        assert_eq!(
            without_next_speaker("You are our best user"),
            "You are our best user"
        );
    }

    #[test] // R90
    fn long_numbers_are_grouped_on_wish() {
        assert_eq!(
            Cleaner::new(true).clean("Id 1234567, 2026."),
            "Id 123 456 7, 2026."
        );
        assert_eq!(spoken("Id 1234567."), "Id 1234567.");
    }
}
