//! What the model says.

use super::{
    Call,
    booking::{Booking, Closed, Open},
    clock,
    days::{Day, Part},
    topics::Kind,
    words::Line,
};

/// Said when only a goodbye is wanted.
pub(super) const GOODBYE: &str = "Thank you for calling, goodbye!";

const INTRO: &str =
    "Hello! I am the demo receptionist of a clinic, and I can book an appointment for you.";
const UNKNOWN: [&str; 3] = [
    "I am only a scripted demo, and I did not understand that.",
    "I am only a scripted demo, so that is beyond me.",
    "I am only a scripted demo, and my rules have no answer to that.",
];
const NODS: [&str; 3] = ["Good.", "All right.", "Very well."];
const DROPPED: [&str; 2] = [
    "All right, I will not book anything.",
    "No problem, then I book nothing.",
];
const DAY_TAKEN: [&str; 3] = ["{Day} is fine.", "{Day} it is.", "Good, {day} works."];
const TIME_TAKEN: [&str; 3] = [
    "{When} is free.",
    "Good, {when} works.",
    "Very well, {when}.",
];
const NAME_TAKEN: [&str; 3] = ["Thank you.", "Thank you very much.", "Lovely, thank you."];

const ASK_DAY: [&str; 3] = [
    "Which day would you like to come?",
    "What day suits you best?",
    "For which day shall I look?",
];
const ASK_TIME: [&str; 3] = [
    "At what time {on_day} would you like to come?",
    "What time suits you {on_day}?",
    "Which time {on_day} is best for you?",
];
const ASK_NAME: [&str; 3] = [
    "May I have your name, please?",
    "What is your name, please?",
    "Which name shall I write down?",
];
const ASK_CONFIRM: [&str; 3] = [
    "So that is {when} for {name}. Shall I book it?",
    "I have {when} for {name}. Is that right?",
    "Then it would be {when} for {name}. May I book it?",
];
const ASK_CHANGE: [&str; 2] = [
    "What shall I change, the day, the time or the name?",
    "Which is wrong, the day, the time or the name?",
];
const ASK_ELSE: [&str; 2] = [
    "Is there anything else I can do for you?",
    "Can I help you with anything else?",
];
const WHAT_ELSE: [&str; 2] = [
    "What else can I do for you?",
    "What would you like to know?",
];

/// The answer to the caller's newest lines.
pub(super) fn answer(call: &Call) -> String {
    let heard = &call.heard;
    if heard.ends {
        return farewell(call);
    }
    // Too weak to stand beside what the same line says about the booking.
    let topic = heard.topic.filter(|topic| {
        let weak = [
            Kind::Listen,
            Kind::Book,
            Kind::Greeting,
            Kind::Thanks,
            Kind::Move,
        ];
        !(weak.contains(&topic.kind) && (heard.fills() || heard.booked))
    });
    match topic.map(|topic| topic.kind) {
        Some(Kind::Repeat) if call.answers > 0 => return again(call),
        Some(Kind::Listen) => return pick(call, topic.map_or(&[], |topic| topic.says)),
        _ => {}
    }
    let is_lost = topic.is_none() && !heard.fills() && !heard.yes && !heard.no;
    let greets = topic.is_some_and(|topic| matches!(topic.kind, Kind::Greeting | Kind::Repeat));
    if call.lines == 0 || greets || (is_lost && call.lines == 1) {
        let intro = if call.answers == 0 || call.lines == 0 {
            INTRO.to_owned()
        } else {
            pick(call, &[INTRO, "Hello!"])
        };
        return join([intro, question(call)]);
    }
    let side = topic.map(|topic| pick(call, topic.says));
    let news = news(call, side.is_some());
    let lost = if is_lost {
        pick(call, &UNKNOWN)
    } else {
        String::new()
    };
    join([side.unwrap_or_default(), news, lost, question(call)])
}

/// What follows from the caller's lines for the booking.
fn news(call: &Call, has_side: bool) -> String {
    let (heard, booking) = (&call.heard, &call.booking);
    if let Some(closed) = heard.closed {
        return match closed {
            Closed::Day(day) => format!("I am sorry, we are closed on {}.", day.spoken()),
            Closed::Time => {
                let (first, last) = hours(booking.day, None);
                format!(
                    "I am sorry, that is not possible, visits begin between {first} and {last}."
                )
            }
        };
    }
    if heard.booked {
        return fill(call, "Your appointment is booked for {when}.");
    }
    // With a side answer the open question alone shows what was taken.
    if has_side || booking.booked {
        return String::new();
    }
    let open = booking.open();
    match () {
        // The question that follows repeats it all.
        () if open == Open::Confirm && heard.fills() => {
            if heard.name {
                pick(call, &NAME_TAKEN)
            } else {
                pick(call, &NODS)
            }
        }
        () if heard.name => pick(call, &NAME_TAKEN),
        () if heard.time && booking.day.is_some() => pick(call, &TIME_TAKEN),
        () if heard.day.is_some() && heard.offers => fill(call, "I can offer you {day}."),
        () if heard.day.is_some() => pick(call, &DAY_TAKEN),
        () if heard.fills() => pick(call, &NODS),
        () if open == Open::Else && heard.no => pick(call, &DROPPED),
        () if heard.no => "I see.".to_owned(),
        () if heard.yes && open != Open::Else => pick(call, &NODS),
        () => String::new(),
    }
}

/// First and last start of a visit, within the part of the day.
fn hours(day: Option<Day>, part: Option<Part>) -> (String, String) {
    let (first, last) = day
        .and_then(Day::open)
        .or(Day::Monday.open())
        .unwrap_or_default();
    let (first, last) = match part {
        None => (first, last),
        Some(Part::Morning) => (first, last.min(11 * 60 + 30)),
        Some(Part::Afternoon) => (12 * 60, last),
        Some(Part::Evening) => (last.min(17 * 60), last),
    };
    (clock::spoken(first), clock::spoken(last))
}

/// The open question, in other words than the last time.
fn question(call: &Call) -> String {
    match call.booking.open() {
        Open::Day => pick(call, &ASK_DAY),
        Open::Time => pick(call, &ASK_TIME),
        Open::Name => pick(call, &ASK_NAME),
        Open::Confirm => pick_from(0, call, &ASK_CONFIRM),
        Open::Change => pick(call, &ASK_CHANGE),
        Open::Else if call.heard.yes && !call.heard.booked && call.heard.topic.is_none() => {
            pick(call, &WHAT_ELSE)
        }
        Open::Else => pick(call, &ASK_ELSE),
    }
}

fn farewell(call: &Call) -> String {
    if let Some(topic) = call.heard.topic.filter(|topic| topic.kind == Kind::Leave) {
        return pick(call, topic.says);
    }
    let text = match (call.heard.booked, call.booking.booked) {
        (true, _) => "It is booked for {when}, thank you for calling and goodbye!",
        (false, true) => "Thank you for calling, see you {on_day}, goodbye!",
        (false, false) => GOODBYE,
    };
    fill(call, text)
}

/// The last answer again; of one that was cut short the whole sentences, and then the open question.
fn again(call: &Call) -> String {
    let said = call.last_answer.trim();
    let said = said.strip_prefix("Of course. I said: ").unwrap_or(said);
    if said.ends_with(['.', '?', '!']) {
        return format!("Of course. I said: {said}");
    }
    let whole = said.rfind(['.', '?', '!']).and_then(|end| said.get(..=end));
    join([
        "Of course.".to_owned(),
        whole.unwrap_or_default().to_owned(),
        question(call),
    ])
}

/// One of the texts, filled in: in turn, but never what the last answer held already.
fn pick(call: &Call, texts: &[&str]) -> String {
    pick_from(call.answers, call, texts)
}

fn pick_from(turn: usize, call: &Call, texts: &[&str]) -> String {
    let last = Line::new(&call.last_answer).words;
    let start = turn.checked_rem(texts.len()).unwrap_or(0);
    let mut filled = texts
        .iter()
        .cycle()
        .skip(start)
        .take(texts.len())
        .map(|text| fill(call, text));
    let first = filled.next().unwrap_or_default();
    if !is_in(&first, &last) {
        return first;
    }
    filled.find(|text| !is_in(text, &last)).unwrap_or(first)
}

/// Whether `text` or its last sentence is in the words, or its beginning is where they were cut short.
fn is_in(text: &str, words: &[String]) -> bool {
    let bare = text.trim_end_matches(['.', '!', '?']);
    let last = bare.rsplit(['.', '!', '?']).next().unwrap_or(bare);
    [text, last].into_iter().any(|text| {
        let sought = Line::new(text).words;
        let whole = words
            .windows(sought.len().max(1))
            .any(|window| window == sought);
        whole || (3..sought.len()).any(|length| words.ends_with(&sought[..length]))
    })
}

/// Puts what is known of the booking into a text.
fn fill(call: &Call, text: &str) -> String {
    let Booking {
        day,
        part,
        time,
        name,
        ..
    } = &call.booking;
    let day_name = day.map_or("that day", Day::spoken);
    let when = match (day, time) {
        (Some(day), Some(time)) => {
            let on = on_day(*day, *part);
            format!(
                "{} at {}",
                on.strip_prefix("on ").unwrap_or(&on),
                clock::spoken(*time)
            )
        }
        _ => day_name.to_owned(),
    };
    let on = day.map_or("on most days".to_owned(), |day| on_day(day, *part));
    let (first, last) = hours(*day, *part);
    text.replace("{When}", &capital(&when))
        .replace("{when}", &when)
        .replace("{Day}", &capital(day_name))
        .replace("{day}", day_name)
        .replace("{on_day}", &on)
        .replace("{first}", &first)
        .replace("{last}", &last)
        .replace("{name}", name.as_deref().unwrap_or("you"))
}

/// "on Tuesday", "tomorrow morning", "this evening".
fn on_day(day: Day, part: Option<Part>) -> String {
    let name = day.spoken();
    let on = if matches!(day, Day::Today | Day::Tomorrow | Day::InTwoDays) {
        ""
    } else {
        "on "
    };
    match part.map(Part::spoken) {
        None => format!("{on}{name}"),
        Some(part) if day == Day::Today => format!("this {part}"),
        Some(part) if day == Day::InTwoDays => format!("{name} in the {part}"),
        Some(part) => format!("{on}{name} {part}"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn join<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}
