//! The booking itself: what is known, what is asked next.

use super::{
    hear::{self, Time, words},
    topics::{self, Answer, TOPICS},
};

/// What the caller was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Need,
    WhichDay(Vec<String>),
    Day,
    Time,
    Name,
    Confirm,
    WhatIsWrong,
    AnythingElse,
    Nothing,
}

/// A conversation so far.
#[derive(Debug)]
pub(super) struct Booking {
    told: Vec<String>,
    day: Option<String>,
    time: Time,
    name: Option<String>,
    people: Option<String>,
    booked: bool,
    over: bool,
    asked: Asked,
    said: String,
    misses: u32,
}

impl Booking {
    /// `told`: the sentences of the agent's instructions.
    pub fn new(told: Vec<String>) -> Self {
        Self {
            told,
            day: None,
            time: Time::default(),
            name: None,
            people: None,
            booked: false,
            over: false,
            asked: Asked::Need,
            said: String::new(),
            misses: 0,
        }
    }

    /// Whether the conversation has been brought to its end.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The answer to a turn of the caller.
    pub fn hear(&mut self, text: &str) -> String {
        let answer = self.answer(&words(text));
        self.said.clone_from(&answer);
        answer
    }

    /// What to say when asked to speak without a turn of the caller, as at the call's start.
    pub fn prompted(&mut self) -> String {
        if self.said.is_empty() {
            return "Hello! I can book an appointment for you. What can I do?".into();
        }
        self.question()
    }

    fn answer(&mut self, heard: &[String]) -> String {
        self.over = false;
        if let Some(topic) = TOPICS.iter().find(|topic| hear::has(heard, topic.phrases))
            && let Some(answer) = self.topic(topic.answer, heard)
        {
            self.misses = 0;
            return answer;
        }
        if self.learn(heard) {
            self.misses = 0;
            self.booked = false;
            return self.proceed("");
        }
        if let Some(answer) = self.yes_or_no(heard) {
            self.misses = 0;
            return answer;
        }
        if hear::has(
            heard,
            &[
                "appointment",
                "book",
                "booking",
                "visit",
                "see a doctor",
                "make an",
            ],
        ) {
            return self.proceed("Gladly.");
        }
        if hear::has(heard, &["hello", "hi", "good morning", "good afternoon"]) {
            return self.proceed("Hello!");
        }
        if hear::has(heard, &["thanks", "thank you"]) {
            return self.proceed("You are welcome.");
        }
        if hear::has(
            heard,
            &[
                "earlier",
                "later",
                "another time",
                "anything else available",
                "sooner",
            ],
        ) && !self.booked
        {
            return self.proceed("All times are free in this demo.");
        }
        self.misses += 1;
        let sorry = if self.misses > 1 {
            "I am a simple demo and did not understand that."
        } else {
            "Sorry, I did not get that."
        };
        self.proceed(sorry)
    }

    /// The answer to a side topic; `None` if the turn is rather about the booking.
    fn topic(&mut self, answer: Answer, heard: &[String]) -> Option<String> {
        match answer {
            Answer::End(text) => {
                self.over = true;
                self.asked = Asked::Nothing;
                Some(text.to_owned())
            }
            Answer::Say(text) => Some(self.proceed(text)),
            Answer::Told { signs, else_say } => {
                let text = topics::told(&self.told, signs)
                    .unwrap_or(else_say)
                    .to_owned();
                Some(self.proceed(&text))
            }
            Answer::Repeat => {
                let again = if self.said.is_empty() {
                    self.question()
                } else {
                    self.said.clone()
                };
                Some(again)
            }
            // "Wait, make it Friday" is a booking.
            Answer::Wait(_) if !hear::days(heard).is_empty() => None,
            Answer::Wait(text) => Some(text.to_owned()),
        }
    }

    /// Takes what a turn tells of day, time, name and number of people; false if it tells nothing.
    fn learn(&mut self, heard: &[String]) -> bool {
        let mut learnt = false;
        let days = hear::days(heard);
        match days.as_slice() {
            [] => {}
            [first, .., last] if hear::has(heard, &["or"]) && first != last => {
                self.asked = Asked::WhichDay(days);
                self.day = None;
                learnt = true;
            }
            [.., last] => {
                self.day = Some(last.clone());
                learnt = true;
            }
        }
        if let Asked::WhichDay(days) = &self.asked
            && !learnt
        {
            let pick = if hear::has(heard, &["first", "former", "earlier"]) {
                days.first()
            } else if hear::has(heard, &["second", "latter", "last", "later"]) {
                days.last()
            } else {
                None
            };
            if let Some(day) = pick.cloned() {
                self.day = Some(day);
                learnt = true;
            }
        }
        if let Some(time) = hear::time(heard, self.asked == Asked::Time) {
            self.time = match (time.hour, self.time.hour) {
                (Some(_), _) => Time {
                    part: time.part.or(self.time.part),
                    ..time
                },
                // A new part of the day alone: the old hour no longer holds.
                (None, Some(_)) if time.part != self.time.part => time,
                (None, _) => Time {
                    part: time.part,
                    ..self.time.clone()
                },
            };
            learnt = true;
        }
        if let Some(name) = hear::name(heard, self.asked == Asked::Name) {
            self.name = Some(name);
            learnt = true;
        }
        for (n, word) in heard.iter().enumerate().skip(1) {
            if ["people", "persons", "of us"]
                .iter()
                .any(|unit| word == unit)
            {
                self.people = Some(format!("{} {word}", heard[n - 1]));
                learnt = true;
            }
        }
        learnt
    }

    fn yes_or_no(&mut self, heard: &[String]) -> Option<String> {
        let yes = hear::yes_or_no(heard);
        match (&self.asked, yes) {
            (Asked::Confirm, Some(true)) => {
                self.booked = true;
                self.asked = Asked::AnythingElse;
                Some(format!(
                    "Done, you are booked {}. Is there anything else?",
                    self.when()
                ))
            }
            (Asked::Confirm, Some(false)) => {
                self.asked = Asked::WhatIsWrong;
                Some("I am sorry. What shall I change: the day, the time or the name?".into())
            }
            (Asked::WhatIsWrong, _) if hear::has(heard, &["day", "date"]) => {
                self.day = None;
                Some(self.proceed("All right."))
            }
            (Asked::WhatIsWrong, _) if hear::has(heard, &["time", "hour"]) => {
                self.time = Time::default();
                Some(self.proceed("All right."))
            }
            (Asked::WhatIsWrong, _) if hear::has(heard, &["name"]) => {
                self.name = None;
                Some(self.proceed("All right."))
            }
            (Asked::AnythingElse, Some(false)) => {
                self.over = true;
                self.asked = Asked::Nothing;
                Some(topics::GOODBYE.into())
            }
            (Asked::AnythingElse, Some(true)) => Some("What else can I do for you?".into()),
            (Asked::Need, Some(true)) => Some(self.proceed("Good.")),
            (Asked::Need, Some(false)) => {
                self.over = true;
                Some("All right. Thank you for your time. Goodbye!".into())
            }
            _ => None,
        }
    }

    /// Says something and asks for what is missing.
    fn proceed(&mut self, first: &str) -> String {
        let question = self.question();
        if first.is_empty() {
            question
        } else {
            format!("{first} {question}")
        }
    }

    fn when(&self) -> String {
        let day = self.day.as_deref().unwrap_or_default();
        format!("{day} at {}", self.time.say())
    }

    /// The next question, remembered as asked.
    fn question(&mut self) -> String {
        if self.booked {
            self.asked = Asked::AnythingElse;
            return "Is there anything else?".into();
        }
        let Some(day) = &self.day else {
            if let Asked::WhichDay(days) = &self.asked {
                let plain: Vec<&str> = days
                    .iter()
                    .map(|day| day.trim_start_matches("on "))
                    .collect();
                return format!("Which is better for you, {}?", plain.join(" or "));
            }
            self.asked = Asked::Day;
            return "Which day suits you?".into();
        };
        if self.time.hour.is_none() {
            self.asked = Asked::Time;
            let part = self.time.part.unwrap_or_default();
            return format!("{} What time {part}", sentence(day))
                .trim_end()
                .to_owned()
                + "?";
        }
        let Some(name) = &self.name else {
            self.asked = Asked::Name;
            return format!("{} May I have your name?", sentence(&self.when()));
        };
        let people = self
            .people
            .as_ref()
            .map(|people| format!(", {people}"))
            .unwrap_or_default();
        let question = format!(
            "So that is {} for {name}{people}. Shall I book it?",
            self.when()
        );
        self.asked = Asked::Confirm;
        question
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
