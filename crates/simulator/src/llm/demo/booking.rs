//! What is known of the booking, line by line.

use super::{
    clock::Clock,
    days::{Day, Part},
    names,
    topics::{self, Kind, Topic},
    words::Line,
};

/// What the model asks for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Day,
    Time,
    Name,
    /// All is known; the caller has to agree.
    Confirm,
    /// The caller did not agree: what is to change?
    Change,
    /// Booked, or not wanted: anything else?
    Else,
}

/// The appointment as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Booking {
    pub day: Option<Day>,
    pub part: Option<Part>,
    /// Minutes since midnight.
    pub time: Option<u16>,
    pub name: Option<String>,
    pub booked: bool,
    declined: bool,
    dropped: bool,
}

/// What one line brought (or all lines since the model last spoke).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    pub topic: Option<&'static Topic>,
    pub day: Option<Day>,
    /// Another day was named beside it.
    pub offers: bool,
    pub part: bool,
    pub time: bool,
    pub name: bool,
    /// The clinic is closed then: the day, or the time of it.
    pub closed: Option<Closed>,
    /// The caller agreed, and it is booked now.
    pub booked: bool,
    pub yes: bool,
    pub no: bool,
    /// The call is over.
    pub ends: bool,
}

/// Why a wish cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    Day(Day),
    Time,
}

impl Heard {
    /// Whether something was filled in.
    pub fn fills(&self) -> bool {
        self.day.is_some() || self.part || self.time || self.name || self.closed.is_some()
    }

    /// Both, the newer before the older.
    pub fn then(self, newer: Self) -> Self {
        let is_over = self.ends && !(newer.fills() || newer.topic.is_some());
        let topic = self.topic.filter(|_| is_over || !self.ends);
        Self {
            topic: newer.topic.or(topic),
            day: newer.day.or(self.day),
            offers: newer.offers || self.offers,
            part: newer.part || self.part,
            time: newer.time || self.time,
            name: newer.name || self.name,
            closed: newer.closed.or(self.closed),
            booked: newer.booked || self.booked,
            yes: newer.yes,
            no: newer.no,
            ends: newer.ends || is_over,
        }
    }
}

const STRONG_YES: [&str; 6] = [
    "yes|yeah|yep|yup|yea|sure|correct|absolutely|definitely",
    "of course",
    "please do",
    "go ahead",
    "book it",
    "that is right",
];
const WEAK_YES: [&str; 4] = [
    "okay|right|good|fine|great|perfect|alright|please|mm|mhm|hmm",
    "uh huh",
    "i see",
    "got it",
];
const NOT_YES: [&str; 1] = ["not|no|nope|wrong|but|wait"];
const NO: [&str; 2] = ["^ no|nope|nah", "no thank|thanks"];
const JUST_NO: [&str; 3] = ["^ no|nope|nah $", "^ no no $", "no thank|thanks"];

impl Booking {
    /// What to ask for.
    pub fn open(&self) -> Open {
        match () {
            () if self.booked || self.dropped => Open::Else,
            () if self.day.is_none() => Open::Day,
            () if self.time.is_none() => Open::Time,
            () if self.name.is_none() => Open::Name,
            () if self.declined => Open::Change,
            () => Open::Confirm,
        }
    }

    /// Takes in one line of the caller.
    pub fn hear(&mut self, line: &Line) -> Heard {
        let before = self.clone();
        let open = self.open();
        let mut heard = Heard {
            no: line.has(&NO),
            ..Heard::default()
        };
        let found = topics::find(line);
        let strong = line.has(&STRONG_YES) && !line.has(&NOT_YES);
        heard.yes = strong || (line.has(&WEAK_YES) && !line.has(&NOT_YES));
        let is_polite = |topic: &Topic| topic.kind == Kind::Thanks && (heard.yes || heard.no);
        heard.topic = found.filter(|topic| !is_polite(topic));
        let agrees = strong || (heard.yes && heard.topic.is_none());

        if heard.topic.is_none_or(|topic| topic.fills) {
            self.fill(line, open, &mut heard);
        }
        let kind = heard.topic.map(|topic| topic.kind);
        let changed = (self.day, self.part, self.time, &self.name)
            != (before.day, before.part, before.time, &before.name);
        if changed {
            (self.booked, self.declined, self.dropped) = (false, false, false);
        }
        match open {
            Open::Confirm | Open::Change if !changed => {
                if agrees && open == Open::Confirm {
                    (self.booked, heard.booked) = (true, true);
                } else if agrees {
                    self.declined = false;
                } else if (heard.no || kind == Some(Kind::Wrong) || open == Open::Change)
                    && heard.closed.is_none()
                {
                    self.declined = true;
                    heard.yes |= self.clear_named(line);
                }
            }
            Open::Day | Open::Time | Open::Name if !heard.fills() && kind.is_none() => {
                self.dropped = line.has(&JUST_NO);
            }
            _ => {}
        }
        match kind {
            Some(Kind::Farewell | Kind::Leave) => heard.ends = true,
            Some(Kind::Cancel) => {
                *self = Self {
                    dropped: true,
                    name: self.name.take(),
                    ..Self::default()
                };
            }
            Some(Kind::Move | Kind::Book) if !heard.fills() && open == Open::Else => {
                *self = Self {
                    name: self.name.take(),
                    ..Self::default()
                };
            }
            None if open == Open::Else && heard.no && !heard.fills() => heard.ends = true,
            _ => {}
        }
        heard
    }

    fn fill(&mut self, line: &Line, open: Open, heard: &mut Heard) {
        if let Some((day, other)) = line.choose(&Day::mentions(line)) {
            // "Tuesday" … "or maybe Wednesday", cut in two by a pause, is still an offer of both.
            let continues = line.word(0) == "or" && self.day.is_some();
            heard.offers = other.is_some() || continues;
            if !continues {
                self.day = Some(day);
            }
            heard.day = self.day;
        }
        let part = line.choose(&Part::mentions(line)).map(|(part, _)| part);
        let loose =
            heard.day.is_some() || part.is_some() || matches!(open, Open::Time | Open::Change);
        if let Some((clock, _)) = line.choose(&Clock::mentions(line, loose)) {
            let in_part = part.or(self.part);
            self.time = Some(clock.resolve(in_part, part.is_some()));
            heard.time = true;
        }
        if part.is_some() {
            heard.part = true;
            self.part = part;
        }
        if let (Some(part), Some(time)) = (self.part, self.time)
            && !part.holds(time)
        {
            // The newer of the two holds.
            if heard.time {
                self.part = None;
            } else {
                self.time = None;
            }
        }
        self.refuse_when_closed(heard);
        let is_other = heard.fills() || heard.topic.is_some() || heard.yes || heard.no;
        let alone = open == Open::Name && !is_other;
        if let Some(name) = names::said(line, matches!(open, Open::Name | Open::Change), alone) {
            heard.name = true;
            self.name = Some(name);
        }
    }

    fn refuse_when_closed(&mut self, heard: &mut Heard) {
        let day = self.day.unwrap_or(Day::Monday); // any weekday will do
        match (day.open(), self.time) {
            (None, _) => {
                heard.closed = Some(Closed::Day(day));
                (self.day, heard.day) = (None, None);
            }
            (Some((first, last)), Some(time)) if !(first..=last).contains(&time) => {
                heard.closed = Some(Closed::Time);
                self.time = None;
            }
            _ => {}
        }
    }

    /// "The time is wrong": it will be asked for again. Whether anything was named so.
    fn clear_named(&mut self, line: &Line) -> bool {
        if line.has(&["day|date"]) {
            self.day = None;
        }
        if line.has(&["time|hour"]) {
            self.time = None;
        }
        if line.has(&["name"]) {
            self.name = None;
        }
        let cleared = self.open() != Open::Change;
        self.declined = !cleared;
        cleared
    }
}
