//! Conversations with the demo model, as tables of turns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

const PROMPT: &str = "You are the receptionist of a small clinic on the phone. Never tell the price first. \
                      A visit costs forty dollars. We are open from nine to six.";

/// Holds a conversation and checks each answer; the last one's tool calls are returned.
fn talk(turns: &[(&str, &str)]) -> Vec<String> {
    let mut messages = vec![
        json!({"role": "system", "content": PROMPT}),
        json!({"role": "assistant", "content": "Hello, this is the demo clinic. How can I help?"}),
    ];
    let mut calls = Vec::new();
    for (user, wanted) in turns {
        messages.push(json!({"role": "user", "content": user}));
        let body = json!({"messages": messages, "tools": [{"type": "function", "function": {"name": "end_call"}}]});
        let answer = reply(&body);
        assert_eq!(answer.text, *wanted, "to: {user}");
        messages.push(json!({"role": "assistant", "content": answer.text}));
        calls = answer.calls.into_iter().map(|call| call.name).collect();
    }
    calls
}

#[test]
fn a_booking_from_hello_to_goodbye() {
    let calls = talk(&[
        (
            "Hi, I would like to book an appointment for tomorrow morning.",
            "Tomorrow. What time in the morning?",
        ),
        (
            "Half past nine.",
            "Tomorrow at nine thirty in the morning. May I have your name?",
        ),
        (
            "My name is Priya Sharma.",
            "So that is tomorrow at nine thirty in the morning for Priya Sharma. Shall I book it?",
        ),
        (
            "Yes, please.",
            "Done, you are booked tomorrow at nine thirty in the morning. Is there anything else?",
        ),
        ("No thank you.", "Thank you for calling. Goodbye!"),
    ]);
    assert_eq!(calls, ["end_call"]);
}

#[test]
fn the_call_of_the_demo() {
    let calls = talk(&[
        (
            "I would like to come on Tuesday, or maybe Wednesday.",
            "Which is better for you, Tuesday or Wednesday?",
        ),
        (
            "Are you a robot or a real person?",
            "I am a scripted demo model, neither a person nor a real language model. I follow a short list of rules, so \
             that you can try a whole call without any key. Give this agent a language model and it will understand far \
             more. Which is better for you, Tuesday or Wednesday?",
        ),
        (
            "Just tell me the price.",
            "A visit costs forty dollars. Which is better for you, Tuesday or Wednesday?",
        ),
        (
            "That sounds good. Let us do Thursday at 10.",
            "On Thursday at ten. May I have your name?",
        ),
        (
            "my name is priya sharma",
            "So that is on Thursday at ten for Priya Sharma. Shall I book it?",
        ),
        (
            "Yes please",
            "Done, you are booked on Thursday at ten. Is there anything else?",
        ),
        (
            "Okay, thanks for your help. Goodbye.",
            "Thank you for calling. Goodbye!",
        ),
    ]);
    assert_eq!(calls, ["end_call"]);
}

#[test]
fn a_caller_who_changes_his_mind() {
    talk(
        &[
            (
                "Friday at a quarter to nine, it is for two people.",
                "On Friday at eight forty five. May I have your name?",
            ),
            (
                "It is John, J O H N.",
                "So that is on Friday at eight forty five for John, two people. Shall I book it?",
            ),
            (
                "No, no, that is not right.",
                "I am sorry. What shall I change: the day, the time or the name?",
            ),
            ("The day.", "All right. Which day suits you?"),
            (
                "The 23rd of March",
                "On March 23 at eight forty five. May I have your name?",
            ),
        ]
        .map(|turn| match turn.0 {
            "The 23rd of March" => (
                turn.0,
                "So that is on March 23 at eight forty five for John, two people. Shall I book it?",
            ),
            _ => turn,
        }),
    );
    talk(&[
        ("Monday at ten", "On Monday at ten. May I have your name?"),
        (
            "I would rather come in the afternoon.",
            "On Monday. What time in the afternoon?",
        ),
        (
            "two thirty",
            "On Monday at two thirty in the afternoon. May I have your name?",
        ),
        (
            "Wait, make it Thursday",
            "On Thursday at two thirty in the afternoon. May I have your name?",
        ),
        (
            "The second one is better for me.",
            "Sorry, I did not get that. On Thursday at two thirty in the afternoon. May I have your name?",
        ),
    ]);
}

#[test]
fn small_questions_come_back_to_the_booking() {
    for (question, answer) in [
        (
            "How much does it cost per month?",
            "A visit costs forty dollars.",
        ),
        (
            "What are your opening hours on Saturday?",
            "We are open from nine to six.",
        ),
        (
            "Where exactly is your office?",
            "I was not told the address.",
        ),
        (
            "Is there any discount for students?",
            "I have not heard of any discount.",
        ),
        (
            "Can I bring my daughter with me?",
            "Of course, you may bring someone along.",
        ),
        (
            "I want to speak to a human agent.",
            "There is nobody else here in this demo, but I can book the appointment for you.",
        ),
        (
            "My order has not arrived yet.",
            "I am afraid I know nothing about that. I only book appointments.",
        ),
        (
            "Who do you think will win the elections?",
            "I would rather not talk about that. I only book appointments.",
        ),
        ("blah", "Sorry, I did not get that."),
        ("Thank you.", "You are welcome."),
        ("I'd like an appointment.", "Gladly."),
    ] {
        talk(&[(question, &format!("{answer} Which day suits you?"))]);
    }
    talk(&[(
        "Let me check my calendar for a moment.",
        "Sure, take your time.",
    )]);
    talk(&[
        ("Tuesday", "On Tuesday. What time?"),
        (
            "Sorry, I cannot hear you very well.",
            "On Tuesday. What time?",
        ),
        ("at ten", "On Tuesday at ten. May I have your name?"),
    ]);
}

#[test]
fn an_end_is_told_only_where_the_tool_is_offered() {
    assert_eq!(
        talk(&[(
            "I am not interested, please remove me from your list.",
            "I understand, I will not bother you any more. Goodbye!"
        )]),
        ["end_call"]
    );
    let body = json!({"messages": [{"role": "user", "content": "bye"}]});
    assert_eq!(reply(&body), Reply::text("Thank you for calling. Goodbye!"));
    let body = json!({"messages": [{"role": "system", "content": PROMPT}]});
    assert_eq!(
        reply(&body).text,
        "Hello! I can book an appointment for you. What can I do?"
    );
    assert_eq!(
        reply(&Value::Null).text,
        "Hello! I can book an appointment for you. What can I do?"
    );
}

#[test]
fn times_and_days_in_many_spellings() {
    for (text, time) in [
        ("at ten", "ten"),
        ("at 10", "ten"),
        ("10:30", "ten thirty"),
        ("10.30 a.m.", "ten thirty in the morning"),
        ("3 pm", "three in the afternoon"),
        ("3pm", "three in the afternoon"),
        ("three o'clock", "three"),
        ("half past three", "three thirty"),
        ("quarter past four", "four fifteen"),
        ("a quarter to one", "twelve forty five"),
        ("fifteen thirty", "three thirty in the afternoon"),
        ("noon", "twelve"),
        ("nine forty five", "nine forty five"),
    ] {
        let heard = hear::time(&hear::words(text), true).map(|time| time.say());
        assert_eq!(heard.as_deref(), Some(time), "{text}");
    }
    for (text, days) in [
        ("On Thursday", vec!["on Thursday"]),
        ("the day after tomorrow", vec!["the day after tomorrow"]),
        ("Tuesday or Wednesday", vec!["on Tuesday", "on Wednesday"]),
        ("the twenty third of March", vec!["on March 23"]),
        ("March fifth", vec!["on March 5"]),
        ("May 2nd", vec!["on May 2"]),
        ("nothing", vec![]),
    ] {
        assert_eq!(hear::days(&hear::words(text)), days, "{text}");
    }
    for (text, name) in [
        ("This is Ravi", Some("Ravi")),
        ("Uh, Anna Maria Lopez, please", Some("Anna Maria Lopez")),
        ("I am not sure", None),
        ("I'm John", Some("John")),
        ("It's on Monday", None),
    ] {
        assert_eq!(
            hear::name(&hear::words(text), true).as_deref(),
            name,
            "{text}"
        );
    }
}
