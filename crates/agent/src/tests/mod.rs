//! Tests over whole documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod faults;
mod patches;

use serde_json::{Value, json};

use crate::Agent;

/// The least that is needed to talk without a key.
fn minimal() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Asha",
            "tasks": [{
                "tools_config": {
                    "llm_agent": { "llm_config": { "provider": "demo" } },
                    "synthesizer": { "provider": "local" },
                    "transcriber": { "provider": "local" },
                },
            }],
        },
        "agent_prompts": { "task_1": { "system_prompt": "You book appointments." } },
    })
}

/// [`minimal`] with the values at these JSON pointers replaced.
fn minimal_with(changes: &[(&str, Value)]) -> Value {
    let mut body = minimal();
    for (pointer, value) in changes {
        set(&mut body, pointer, value.clone());
    }
    body
}

/// Sets the value at a JSON pointer; makes the objects on the way.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
}

const TOOLS: &str = "/agent_config/tasks/0/tools_config";
const SETTINGS: &str = "/agent_config/tasks/0/task_config";

fn tools(key: &str) -> String {
    format!("{TOOLS}/{key}")
}

fn settings(key: &str) -> String {
    format!("{SETTINGS}/{key}")
}

/// All faults of a body, one a line; "none" for a good one.
fn faults(body: &Value) -> String {
    match Agent::parse(body) {
        Ok(_) => "none".to_owned(),
        Err(faults) => {
            let lines: Vec<String> = faults
                .0
                .iter()
                .map(|fault| format!("{}: {}", fault.path, fault.message))
                .collect();
            lines.join("\n")
        }
    }
}
