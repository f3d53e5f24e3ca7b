//! Whole conversations with the scripted model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

/// A call in the making.
struct Talk {
    messages: Vec<Value>,
}

impl Talk {
    fn new() -> Self {
        Self {
            messages: vec![json!({"role": "system", "content": "You book appointments."})],
        }
    }

    fn request(&self) -> Value {
        let end_call =
            json!({"type": "function", "function": {"name": "end_call", "parameters": {}}});
        json!({"model": "demo", "messages": self.messages, "tools": [end_call]})
    }

    fn say(&mut self, text: &str) -> Reply {
        self.messages.push(json!({"role": "user", "content": text}));
        let answer = reply(&self.request());
        assert!(!answer.text.is_empty(), "no answer to {text:?}");
        assert!(
            !answer.text.contains(['{', '*', '#', '\n']),
            "not for the ear: {}",
            answer.text
        );
        assert_eq!(answer.text, reply(&self.request()).text, "the same again");
        self.messages
            .push(json!({"role": "assistant", "content": answer.text}));
        answer
    }

    /// The last answer was cut off after so many words.
    fn cut(&mut self, words: usize) {
        let last = self.messages.last_mut().unwrap();
        let text: Vec<&str> = last["content"]
            .as_str()
            .unwrap()
            .split(' ')
            .take(words)
            .collect();
        last["content"] = text.join(" ").into();
    }
}

fn question_of(text: &str) -> &str {
    let before = text.trim_end_matches('?');
    let from = before.rfind(['.', '!', '?']).map_or(0, |at| at + 1);
    text[from..].trim()
}

/// Lines of the caller and what the answer holds; `end_call` stands for the tool.
type Lines = [(&'static str, &'static [&'static str])];

fn play(lines: &Lines) {
    let mut talk = Talk::new();
    let mut asked = String::new();
    for (line, holds) in lines {
        let answer = talk.say(line);
        for part in *holds {
            let found = match *part {
                "end_call" => answer
                    .calls
                    .iter()
                    .any(|call| call.name == "end_call" && call.arguments == "{}"),
                part => answer.text.to_lowercase().contains(&part.to_lowercase()),
            };
            assert!(found, "{line:?}: no {part:?} in {:?}", answer.text);
        }
        assert_eq!(
            holds.contains(&"end_call"),
            !answer.calls.is_empty(),
            "{line:?}: {:?}",
            answer.calls
        );
        let question = question_of(&answer.text).to_owned();
        assert!(
            !question.ends_with('?') || question != asked,
            "asked twice in the same words: {question}"
        );
        asked = question;
    }
}

#[test]
fn the_demos_call_books_an_appointment() {
    play(&[
        (
            "I would like to come on Tuesday, or maybe Wednesday.",
            &["I can offer you Tuesday.", "time", "?"],
        ),
        (
            "Just tell me the price.",
            &["forty dollars", "Tuesday", "time", "?"],
        ),
        (
            "Are you a robot or a real person?",
            &["robot", "without any key", "scripted model", "?"],
        ),
        (
            "Do you have anything earlier in the day?",
            &["on Tuesday", "eight", "time", "?"],
        ),
        (
            "That sounds good, let us do Thursday at ten.",
            &["Thursday at ten", "name", "?"],
        ),
        (
            "My name is Priya Sharma.",
            &["Thank", "Thursday at ten for Priya Sharma", "?"],
        ),
        (
            "Yes, please.",
            &[
                "Your appointment is booked for Thursday at ten.",
                "else",
                "?",
            ],
        ),
        (
            "Okay, thanks for your help, goodbye.",
            &["goodbye", "end_call"],
        ),
    ]);
}

#[test]
fn the_demos_call_survives_a_bad_ear() {
    play(&[
        (
            "i would like to come on tuesdays or may be wensday",
            &["I can offer you Tuesday."],
        ),
        ("just tell me the prize", &["forty dollars", "Tuesday"]),
        ("ARE YOU A ROBOT? Or a real person", &["scripted model"]),
        (
            "do you have anything earlier in the day",
            &["on Tuesday", "eight"],
        ),
        (
            "that sounds good lets do thirsty at then",
            &["Thursday at ten", "name"],
        ),
        (
            "My names praise sharma",
            &["Thursday at ten for Praise Sharma"],
        ),
        ("yes police", &["booked for Thursday at ten"]),
        (
            "ok thanks for you're help good buy",
            &["goodbye", "end_call"],
        ),
    ]);
}

#[test]
fn a_morning_is_asked_for_its_hour_and_no_ends_the_call() {
    play(&[
        (
            "I would like to book an appointment for tomorrow morning",
            &["tomorrow morning", "?"],
        ),
        (
            "At a quarter to nine.",
            &["tomorrow morning at a quarter to nine", "name"],
        ),
        ("Mm hmm.", &["name"]),
        ("Two", &["name"]),
        (
            "Sam Lee",
            &["tomorrow morning at a quarter to nine for Sam Lee"],
        ),
        (
            "Yeah, sure.",
            &["booked for tomorrow morning at a quarter to nine", "else"],
        ),
        ("No thank you.", &["goodbye", "end_call"]),
    ]);
}

#[test]
fn the_newest_word_on_the_booking_holds() {
    play(&[
        ("Hello?", &["demo receptionist", "day"]),
        ("Friday at 10 a.m.", &["Friday at ten", "name"]),
        ("This is John, J O H N.", &["Friday at ten for John."]),
        (
            "No, no, that is not right.",
            &["sorry", "the day, the time or the name"],
        ),
        (
            "My name is Jane.",
            &["So that is Friday at ten for Jane. Shall I book it?"],
        ),
        ("Nope", &["the day, the time or the name"]),
        ("The time.", &["on Friday", "time"]),
        (
            "I would rather come in the afternoon",
            &["on Friday afternoon"],
        ),
        (
            "half past three",
            &["Friday afternoon at half past three for Jane"],
        ),
        (
            "Actually make it Monday, sorry, Wednesday",
            &["Wednesday afternoon at half past three for Jane"],
        ),
        (
            "Yes, but how much does it cost?",
            &["forty dollars", "Wednesday afternoon at half past three"],
        ),
        ("Yes.", &["booked for Wednesday afternoon"]),
        ("I need to reschedule", &["moved", "day"]),
        (
            "Saturday at 11:30",
            &["Saturday at half past eleven for Jane"],
        ),
        (
            "Great, book it, bye",
            &[
                "booked for Saturday at half past eleven",
                "goodbye",
                "end_call",
            ],
        ),
    ]);
}

#[test]
fn side_questions_lead_back_to_the_open_one() {
    play(&[
        ("I would like to come on Monday", &["time"]),
        (
            "What are your opening hours on Saturday?",
            &["from eight to six", "Monday", "time"],
        ),
        (
            "Where exactly is your office?",
            &["Garden Street", "Monday"],
        ),
        (
            "Is there any discount for students?",
            &["half the price", "Monday"],
        ),
        ("Sorry, I cannot hear you very well.", &["sorry", "Monday"]),
        ("I want to speak to a human agent.", &["demo", "Monday"]),
        (
            "I am calling about the invoice you sent me last week.",
            &["not part of this demo", "Monday"],
        ),
        (
            "I need to reschedule my delivery to Friday.",
            &["demo", "Monday"],
        ),
        (
            "Can you call me back at half past three?",
            &["cannot call back", "Monday"],
        ),
        (
            "My account number is four two seven one.",
            &["do not need that", "Monday"],
        ),
        ("It is for two people.", &["welcome", "Monday"]),
        (
            "Purple monkeys sing",
            &["I am only a scripted demo, ", "Monday"],
        ),
        (
            "The moon is blue",
            &["I am only a scripted demo, ", "Monday"],
        ),
        ("Uh huh.", &["Monday"]),
        ("Wait, wait.", &["."]),
        (
            "I am not interested, please remove me from your list.",
            &["oodbye", "end_call"],
        ),
    ]);
}

#[test]
fn closed_days_and_hours_are_refused() {
    play(&[
        ("Do you have time on Sunday?", &["closed on Sunday", "day"]),
        (
            "Then Saturday at three p.m.",
            &["not possible", "nine", "Saturday"],
        ),
        (
            "at nine thirty then",
            &["Saturday at half past nine", "name"],
        ),
        ("No thank you", &["book", "else"]),
        ("That is all, bye.", &["goodbye", "end_call"]),
    ]);
}

#[test]
fn times_are_heard_in_words_and_figures() {
    let table = [
        ("ten", "ten"),
        ("at 10", "ten"),
        ("10 a.m. please", "ten"),
        ("10AM.", "ten"),
        ("around 1030", "half past ten"),
        ("quarter past 2", "a quarter past two"),
        ("twenty to four", "three forty"),
        ("five past eleven", "eleven oh five"),
        ("nine forty-five", "a quarter to ten"),
        ("14:20", "two twenty"),
        ("2 o'clock", "two"),
        ("at noon", "noon"),
        ("three or four", "three"),
        ("at nine, no, at eleven", "eleven"),
        ("at ate", "eight"),
        ("3 in the afternoon", "three"),
    ];
    for (heard, spoken) in table {
        let mut booking = Booking::default();
        booking.day = Some(days::Day::Monday);
        booking.hear(&Line::new(heard));
        assert_eq!(
            booking.time.map(clock::spoken).as_deref(),
            Some(spoken),
            "{heard}"
        );
    }
    for none in [
        "the second one is better",
        "It is for two people",
        "My number is",
        "flat three, twenty two park street",
    ] {
        let mut booking = Booking::default();
        booking.day = Some(days::Day::Monday);
        booking.hear(&Line::new(none));
        assert_eq!(booking.time, None, "{none}");
    }
}

#[test]
fn names_end_where_the_sentence_does() {
    let table = [
        (
            "My name is, uh, priya SHARMA. Thank you.",
            Some("Priya Sharma"),
        ),
        ("i'm Ana Maria de Souza", Some("Ana Maria De")),
        ("It's Tom and I am late", Some("Tom")),
        ("I am not sure", None),
        ("this is a bad line", None),
        ("I am calling for my son", None),
        ("My name is", None),
        ("What?", None),
    ];
    for (heard, name) in table {
        assert_eq!(
            names::said(&Line::new(heard), true, true).as_deref(),
            name,
            "{heard}"
        );
    }
    assert_eq!(names::said(&Line::new("Purple rain"), false, true), None);
}

#[test]
fn answers_cut_short_and_lines_joined_are_understood() {
    let mut talk = Talk::new();
    talk.say("I want to come on Tuesday,\nor maybe Wednesday at 10");
    let robot = talk.say("Are you human?").text;
    assert!(robot.matches(['.', '!', '?']).count() >= 5, "{robot}");
    talk.cut(7);
    let again = talk.say("Could you repeat that more slowly?").text;
    assert!(
        again.starts_with("Of course.") && again.ends_with('?'),
        "{again}"
    );
    talk.say("My name is Priya Sharma");
    talk.cut(5);
    let booked = talk.say("Yes, please.\nHow much is it?").text;
    assert!(booked.contains("forty dollars"), "{booked}");
    assert!(booked.contains("booked for Tuesday at ten"), "{booked}");
    let same = talk.say("Can you say that again?").text;
    assert_eq!(same, format!("Of course. I said: {booked}"));
    assert_eq!(talk.say("Pardon?").text, same);
    let more = talk.say("Okay bye.\nOh wait, where is your office?");
    assert!(
        more.text.contains("Garden Street") && more.calls.is_empty(),
        "{more:?}"
    );
}

#[test]
fn a_question_cut_in_its_middle_comes_back_in_other_words() {
    let mut talk = Talk::new();
    let first = talk.say("Hello").text;
    let cut = first.split(' ').count() - 1;
    talk.cut(cut);
    let second = talk.say("Uh huh.").text;
    assert_ne!(question_of(&first), question_of(&second));
}

#[test]
fn an_unclear_or_silent_start_is_told_what_the_demo_can_do() {
    for line in ["Mumble fizz", "", "...", "Hi"] {
        let answer = Talk::new().say(line).text;
        assert!(
            answer.contains("book an appointment") && answer.ends_with('?'),
            "{line}: {answer}"
        );
    }
}

#[test]
fn the_tool_is_called_only_where_it_is_offered() {
    let mut request =
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Goodbye!"}]}]});
    assert!(reply(&request).calls.is_empty());
    request["tools"] = json!([{"type": "function", "function": {"name": "transfer"}}]);
    assert!(reply(&request).calls.is_empty());
    request["tools"] = json!([{"type": "function", "function": {"name": "end_call"}}]);
    assert_eq!(reply(&request).calls.len(), 1);
    request["tool_choice"] = "none".into();
    assert!(reply(&request).calls.is_empty());
}

#[test]
fn after_a_tool_or_when_asked_only_a_goodbye_is_said() {
    let talk = json!({"role": "user", "content": "Are you a robot?"});
    let lasts = [
        json!({"role": "tool", "tool_call_id": "c", "content": "The call will end now. Say one short goodbye."}),
        json!({"role": "system", "content": "The time is up. Say a brief goodbye."}),
    ];
    for last in lasts {
        let answer = reply(&json!({"messages": [talk, last]}));
        assert_eq!(answer, Reply::text(speech::GOODBYE));
    }
}

#[test]
fn as_a_judge_it_answers_in_json() {
    let judged = |transcript: &str| {
        let prompt = "Answer with JSON only: {\"hangup\": \"Yes\"} or {\"hangup\": \"No\"}.";
        let messages =
            json!([{"role": "system", "content": prompt}, {"role": "user", "content": transcript}]);
        let by_words = reply(&json!({"messages": messages}));
        let by_format =
            reply(&json!({"messages": [messages[1]], "response_format": {"type": "json_object"}}));
        assert_eq!(by_words, by_format);
        by_words.text
    };
    let (yes, no) = (r#"{"hangup":"Yes"}"#, r#"{"hangup":"No"}"#);
    let table = [
        (
            "assistant: Hello\nuser: Okay, thanks for your help, goodbye.\nassistant: Goodbye!",
            yes,
        ),
        (
            "user: goodbye\nassistant: Bye\nuser: wait, how much is it?\nassistant: Forty dollars, goodbye",
            no,
        ),
        ("assistant: Goodbye!", no),
        ("user: That is all right, Tuesday then", no),
        ("Thank you, goodbye.", yes),
        ("user: Great, see you then.", yes),
    ];
    for (transcript, verdict) in table {
        assert_eq!(judged(transcript), verdict, "{transcript}");
    }
}
