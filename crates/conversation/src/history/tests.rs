//! Rules of the history: what the model and the transcript see of it.

#![allow(clippy::unwrap_used)]
use super::*;

fn user(turn: u32, text: &str) -> Said {
    Said::User {
        turn: TurnId(turn),
        text: text.into(),
    }
}
fn agent(answer: u32, kind: Kind, text: &str) -> Said {
    Said::Agent {
        answer: AnswerId(answer),
        kind,
        text: Some(text.into()),
        calls: vec![],
    }
}
fn calling(answer: u32, call: &str) -> Said {
    let call = ToolCall {
        id: call.into(),
        name: "lookup".into(),
        arguments: "{}".into(),
    };
    Said::Agent {
        answer: AnswerId(answer),
        kind: Kind::Answer,
        text: Some(String::new()),
        calls: vec![call],
    }
}
fn of(entries: Vec<Said>) -> History {
    let mut history = History::default();
    for entry in entries {
        history.push(entry);
    }
    history
}
fn shown(history: &History, limit: usize) -> Vec<String> {
    history
        .messages("S", limit, None, |_| "live".into())
        .iter()
        .map(|message| {
            format!(
                "{:?} {}",
                message.role,
                message.content.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

#[test] // R84
fn messages_leave_out_what_is_not_for_the_model_and_join_the_callers_lines() {
    let history = of(vec![
        agent(1, Kind::Welcome, "Hello"),
        user(1, "I want"),
        user(2, "to book"),
        agent(2, Kind::OnlineCheck, "Still there?"),
        agent(3, Kind::Answer, "Sure"),
    ]);
    assert_eq!(
        shown(&history, 100),
        [
            "System S",
            "Assistant Hello",
            "User I want\nto book",
            "Assistant Sure"
        ]
    );
}

#[test] // R84, R85
fn results_follow_their_calls_and_orphans_go() {
    let result = |id: &str| Said::Tool {
        call_id: id.into(),
        text: "done".into(),
    };
    let history = of(vec![
        user(1, "a"),
        calling(1, "x"),
        result("x"),
        result("y"),
        user(2, "b"),
        calling(2, "z"),
    ]);
    assert_eq!(
        shown(&history, 100),
        ["System S", "User a", "Assistant -", "Tool done", "User b"]
    );
    assert_eq!(shown(&history, 2), ["System S", "User b"]);
}

#[test] // R55, R56
fn a_bare_history_is_half_as_long_and_knows_no_tools() {
    let calling = Message {
        tool_calls: vec![crate::ToolCall {
            id: "c".into(),
            name: "f".into(),
            arguments: "{}".into(),
        }],
        ..message(Role::Assistant, Some("One moment.".into()))
    };
    let silent = Message {
        content: None,
        ..calling.clone()
    };
    let said = |role, text: &str| message(role, Some(text.to_owned()));
    let told = bare(vec![
        said(Role::System, "Be brief."),
        said(Role::Assistant, "Hello."),
        said(Role::User, "Hi."),
        calling,
        said(Role::Tool, "result"),
        silent,
        said(Role::Tool, "result"),
        said(Role::User, "And?"),
    ]);
    assert_eq!(
        told,
        [
            said(Role::System, "Be brief."),
            said(Role::Assistant, "One moment."),
            said(Role::User, "And?"),
        ]
    );
}

#[test]
fn an_unheard_answer_leaves_no_message_but_its_tools_do() {
    let mut history = of(vec![user(1, "a"), agent(1, Kind::Answer, "text")]);
    history.fix(AnswerId(1), "");
    assert_eq!(shown(&history, 100), ["System S", "User a"]);
    let mut history = of(vec![
        calling(1, "x"),
        Said::Tool {
            call_id: "x".into(),
            text: "done".into(),
        },
    ]);
    history.fix(AnswerId(1), "");
    assert_eq!(
        shown(&history, 100),
        ["System S", "Assistant -", "Tool done"]
    );
}

#[test] // R182
fn the_transcript_drops_a_users_beginning_of_the_next_line() {
    let history = of(vec![
        agent(1, Kind::Welcome, "Hello"),
        user(1, "my number"),
        user(2, "my number is nine"),
        agent(2, Kind::Goodbye, "Bye"),
    ]);
    assert_eq!(
        history.transcript(|_| String::new()),
        "assistant: Hello\nuser: my number is nine\nassistant: Bye"
    );
}

#[test] // R204
fn old_entries_stay_in_the_transcript() {
    let mut history = History::default();
    for turn in 0..250 {
        history.push(user(turn, &format!("line {turn}.")));
    }
    assert_eq!(history.transcript(|_| String::new()).lines().count(), 250);
    assert_eq!(history.said.len(), LIMIT);
}

#[test] // R93
fn two_equal_answers_in_a_row_are_noticed() {
    let entries = vec![
        agent(1, Kind::Answer, "Yes."),
        user(1, "?"),
        agent(2, Kind::Answer, "yes"),
    ];
    assert!(of(entries.clone()).repeats_itself());
    assert!(!of(entries[..2].to_vec()).repeats_itself());
}
