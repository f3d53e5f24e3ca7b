//! Logs of calls, replayed.
#![allow(clippy::unwrap_used, clippy::panic)]

use bolo_agent::Agent;
use bolo_conversation::{Rules, Script, TurnEndWhy};
use bolo_execution::Direction;
use serde_json::json;

use super::*;
use crate::{
    bench,
    journal::{line, text},
    prepare::facts,
};

/// The log of a call in which the agent was asked once.
fn log() -> Vec<String> {
    let agent = Agent::parse(&bench::agent("Hi.", json!({}))).unwrap();
    let facts = facts(
        &bench::record(Direction::Inbound),
        chrono::DateTime::UNIX_EPOCH,
    );
    let script = Script::new(&agent, facts, &Rules::default());
    let mut machine = Conversation::new(script.clone());
    let mut lines = vec![text(&Head {
        version: 1,
        started_at: 5,
        script,
    })];
    let start = Input::MediaStart {
        direction: Direction::Inbound,
        marks: true,
        web: false,
        seed: 3,
    };
    let turn = Input::TurnEnd {
        text: "where is my order".into(),
        why: TurnEndWhy::SpeechFinal,
    };
    let done = |answer| Input::SpeechDone { answer };
    let welcome = bolo_conversation::AnswerId(1);
    let audio = Input::Audio {
        answer: welcome,
        piece: 0,
        chunk: 1,
        ms: 300,
        words: Vec::new(),
    };
    let inputs = [
        (0, start),
        (5, audio),
        (5, done(welcome)),
        (900, Input::Tick),
        (2500, turn),
        (4000, Input::MediaStop),
    ];
    for (at, input) in inputs {
        let told = text(&input);
        let outputs = machine.handle(At(at), input);
        lines.push(line(At(at), &told, &outputs));
    }
    lines
}

#[test]
fn a_log_replays_to_the_same_decisions() {
    let lines = log();
    let replayed = replay(&lines).unwrap();
    assert_eq!((replayed.inputs, replayed.last), (6, At(4000)));
    assert!(replayed.decisions > 5);
    assert_eq!(
        replayed.transcript,
        "assistant: Hi.\nuser: where is my order"
    );
}

#[test]
fn the_messages_of_a_question_are_kept_as_a_digest_only() {
    let lines = log();
    let asked = lines.iter().find(|line| line.contains("\"ask\":")).unwrap();
    let read: serde_json::Value = serde_json::from_str(asked).unwrap();
    let ask = read["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|output| output.get("ask"))
        .unwrap();
    let digest = ask["messages"].as_str().unwrap();
    assert!(
        digest.len() < 24 && digest.starts_with(|first: char| first.is_ascii_digit()),
        "{digest}"
    );
}

#[test]
fn the_first_other_decision_is_shown() {
    let mut lines = log();
    let place = lines
        .iter()
        .position(|line| line.contains("\"ask\":"))
        .unwrap();
    lines[place] = lines[place].replace("\"ask\":", "\"ask_never\":");
    let Err(Difference::Decision {
        line,
        at,
        input,
        recorded,
        now,
    }) = replay(&lines)
    else {
        panic!()
    };
    assert_eq!((line, at), (place + 1, At(2500)));
    assert!(input.contains("where is my order"));
    assert!(
        recorded.starts_with("{\"ask_never\"") && now.starts_with("{\"ask\""),
        "{recorded} {now}"
    );

    // A decision that is missing in the log differs too.
    let mut lines = log();
    lines[1] = r#"{"at":0,"input":"tick","outputs":[]}"#.into();
    lines.truncate(2);
    assert!(replay(&lines).is_ok());
    lines[1] = r#"{"at":0,"input":"tick","outputs":["answered"]}"#.into();
    let Err(Difference::Decision { recorded, now, .. }) = replay(&lines) else {
        panic!()
    };
    assert_eq!((recorded.as_str(), now.as_str()), ("\"answered\"", ""));
}

#[test]
fn what_is_no_log_is_named() {
    assert!(matches!(replay(&[]), Err(Difference::NoLog(_))));
    assert!(matches!(replay(&["{}".into()]), Err(Difference::NoLog(_))));
    let mut lines = log();
    lines[3] = "{\"at\":".into();
    assert!(matches!(
        replay(&lines),
        Err(Difference::Unreadable { line: 4, .. })
    ));
}

#[test]
fn a_rebuilt_call_knows_what_was_said_and_used_even_if_the_last_line_was_cut_off() {
    let mut lines = log();
    lines.pop();
    let whole = lines.len();
    lines.push("{\"at\":3000,\"inp".into());
    let mut books = Books::default();
    let rebuilt = rebuild(&lines, ("openai", "gpt-4.1-mini"), &mut books).unwrap();
    assert_eq!((rebuilt.last, rebuilt.started_at, whole), (At(2500), 5, 6));
    assert_eq!(books.transcript, "assistant: Hi.\nuser: where is my order");
    assert_eq!(books.usage.synthesizer_characters, 3);
    assert_eq!(books.usage.transcriber_duration, 2.5);
    assert!(books.agent_heard && !rebuilt.machine.is_over());
}
