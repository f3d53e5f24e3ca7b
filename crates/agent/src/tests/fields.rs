//! Every field there is, given something else than it should be.

use serde_json::{Value, json};

use super::{minimal_with, tools, whole};
use crate::{Agent, PostCallTask};

/// Pointers to every value of a document, its own root included.
fn pointers(value: &Value) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let below = members.into_iter().flat_map(|(key, value)| {
        pointers(value)
            .into_iter()
            .map(move |pointer| format!("/{key}{pointer}"))
    });
    std::iter::once(String::new()).chain(below).collect()
}

/// `/agent_config/tasks/0/x` as faults name it: `tasks[0].x`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for key in pointer
        .trim_start_matches("/agent_config")
        .split('/')
        .skip(1)
    {
        match key.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(key),
            Err(_) => path.push_str(&format!(".{key}")),
        }
    }
    path
}

/// Stored and returned, but nothing of ours.
fn is_foreign(pointer: &str) -> bool {
    let foreign = [
        "something_",
        "/bolo/",
        "/llm_config/agent_flow_type",
        "/multilingual_config/",
    ];
    foreign.iter().any(|part| pointer.contains(part))
}

#[test]
fn a_value_of_another_type_is_a_fault_at_its_path() {
    let body = whole();
    let mut checked = 0;
    for pointer in pointers(&body)
        .into_iter()
        .filter(|pointer| !is_foreign(pointer))
    {
        let mut wrong = body.clone();
        let place = wrong.pointer_mut(&pointer).unwrap();
        *place = match place {
            Value::String(_) => json!(7.5),
            Value::Number(_) | Value::Bool(_) => json!("text"),
            _ => continue,
        };
        let faults = Agent::parse(&wrong).expect_err(&pointer);
        let path = path_of(&pointer);
        assert!(
            faults.0.iter().any(|fault| fault.path == path),
            "{pointer}: {faults}"
        );
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn no_document_makes_it_panic() {
    let body = whole();
    let junk = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(0),
        json!(""),
        json!("x"),
        json!("é{"),
        json!([]),
        json!({}),
        json!([[], {}]),
        json!({ "a": { "b": [] } }),
    ];
    for pointer in pointers(&body) {
        for junk in &junk {
            let mut odd = body.clone();
            *odd.pointer_mut(&pointer).unwrap() = junk.clone();
            match Agent::parse(&odd) {
                Ok(agent) => drop(agent.warnings()),
                Err(faults) => assert!(!faults.0.is_empty(), "{pointer} {junk}"),
            }
        }
    }
}

#[test]
fn custom_questions_are_those_of_the_first_assistant() {
    let with = |assistants: Value| {
        let mut body = whole();
        body["agent_config"]["gpt_assistants"] = assistants;
        Agent::parse(&body)
    };
    let agent = with(json!([{ "custom_questions": "1. interested:" }, {}])).unwrap();
    let own = &agent.conversation.llm.config;
    let [PostCallTask::CustomQuestions { questions, model }] = &agent.post_call[..] else {
        panic!("{:?}", agent.post_call)
    };
    assert_eq!(questions, "1. interested:");
    assert_eq!((&model.model, model.request_json), (&own.model, true));
    for none in [
        json!(null),
        json!([]),
        json!([{ "custom_questions": null }]),
    ] {
        assert_eq!(with(none).unwrap().post_call, []);
    }
    let faults = with(json!([{ "custom_questions": ["interested"] }])).unwrap_err();
    assert_eq!(faults.0[0].path, "gpt_assistants[0].custom_questions");
}

#[test]
fn a_carrier_comes_from_the_agent_or_else_its_task() {
    let carrier = |changes: &[(&str, Value)]| {
        Agent::parse(&minimal_with(changes))
            .unwrap()
            .telephony_provider
    };
    let input = tools("input/provider");
    assert_eq!(carrier(&[]), None);
    assert_eq!(carrier(&[(&input, json!("default"))]), None);
    assert_eq!(
        carrier(&[(&input, json!("twilio"))]).as_deref(),
        Some("twilio")
    );
    assert_eq!(
        carrier(&[("/agent_config/telephony_provider", json!("twilio"))]).as_deref(),
        Some("twilio")
    );
}
