//! `PATCH /v2/agent/{id}` on a stored document. Source: api.md §6.

use serde_json::{Map, Value, json};

use crate::{Fault, Faults};

/// Keys of `agent_config` that are replaced as they stand.
const REPLACED: [&str; 9] = [
    "agent_name",
    "agent_welcome_message",
    "webhook_url",
    "webhook_statuses",
    "agent_type",
    "ingest_source_config",
    "calling_guardrails",
    "telephony_provider",
    "tasks",
];

/// Applies a patch body to the stored body; absent ≠ null. The result still has to be parsed.
/// Fails when the patch holds nothing that can be patched.
pub fn patch(stored: &Value, patch: &Value) -> Result<Value, Faults> {
    let (config, prompts) = (part(patch, "agent_config")?, part(patch, "agent_prompts")?);
    let is_known = |key: &String| REPLACED.contains(&key.as_str()) || key == "synthesizer";
    if !config.is_some_and(|config| config.keys().any(is_known))
        && prompts.is_none_or(Map::is_empty)
    {
        return Err(fault(
            "",
            format!(
                "nothing to change: give agent_config with any of {}, synthesizer, or agent_prompts",
                REPLACED.join(", ")
            ),
        ));
    }
    let mut body = stored.clone();
    if let (Some(config), Some(stored)) = (config, object_at(&mut body, "agent_config")) {
        apply_config(stored, config);
    }
    if let (Some(prompts), Some(stored)) = (prompts, object_at(&mut body, "agent_prompts")) {
        for (task, prompt) in prompts {
            set_or_remove(stored, task, prompt);
        }
    }
    Ok(body)
}

fn apply_config(stored: &mut Map<String, Value>, config: &Map<String, Value>) {
    for key in REPLACED {
        if let Some(value) = config.get(key) {
            stored.insert(key.to_owned(), value.clone());
        }
    }
    let tasks = stored.get_mut("tasks").and_then(Value::as_array_mut);
    let conversation = tasks.and_then(|tasks| tasks.iter_mut().find(|task| is_conversation(task)));
    let Some(tools) = conversation.and_then(|task| object_at(task, "tools_config")) else {
        return;
    };
    if let Some(synthesizer) = config.get("synthesizer") {
        tools.insert("synthesizer".to_owned(), synthesizer.clone());
    }
    if let Some(provider) = config.get("telephony_provider").and_then(Value::as_str) {
        let format = if provider == "sip-trunk" {
            "ulaw"
        } else {
            "wav"
        };
        for end in ["input", "output"] {
            tools.insert(
                end.to_owned(),
                json!({ "provider": provider, "format": format }),
            );
        }
    }
}

fn is_conversation(task: &Value) -> bool {
    matches!(task.get("task_type"), None | Some(Value::Null)) || task["task_type"] == "conversation"
}

fn set_or_remove(map: &mut Map<String, Value>, key: &str, value: &Value) {
    if value.is_null() {
        map.shift_remove(key);
    } else {
        map.insert(key.to_owned(), value.clone());
    }
}

/// A part of the patch; `None` when it is absent or null.
fn part<'p>(patch: &'p Value, key: &str) -> Result<Option<&'p Map<String, Value>>, Faults> {
    let patch = patch
        .as_object()
        .ok_or_else(|| fault("", "must be an object".to_owned()))?;
    match patch.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_object()
            .map(Some)
            .ok_or_else(|| fault(key, "must be an object".to_owned())),
    }
}

/// The object at `key`, made if there is none.
fn object_at<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    let inner = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    inner.as_object_mut()
}

fn fault(path: &str, message: String) -> Faults {
    Faults(vec![Fault {
        path: path.to_owned(),
        message,
    }])
}
