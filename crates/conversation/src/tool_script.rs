//! A tool as the machine knows it: what the model is shown of it, what it is said while it runs. Where its
//! request goes is the driver's (R80, R98, R101).

use bolo_agent::{ToolAction, Variables};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Tool;

/// Known to the server only; the model neither sees nor sets them (R80, R104).
const SERVER_OWNED: [&str; 3] = ["call_sid", "stream_sid", "execution_id"];

/// A tool of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolScript {
    /// Its name.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON Schema of the arguments that the model gives.
    pub parameters: Map<String, Value>,
    /// Said while it runs; empty = a line of the runtime's own when it takes long (R102).
    pub line: String,
    /// The model is asked again with its result (R111).
    pub speak_result: bool,
    /// Its request may take this long.
    pub limit_ms: u64,
    /// It hands the caller over (R113).
    pub is_transfer: bool,
    /// It asks whoever is called first (R115).
    #[serde(default)]
    pub is_warm: bool,
}

impl ToolScript {
    pub(crate) fn new(tool: &bolo_agent::Tool, line: String, variables: &Variables) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: shown(&tool.parameters, variables),
            line,
            speak_result: tool.speak_result,
            limit_ms: tool.timeout_ms,
            is_transfer: matches!(tool.action, ToolAction::Transfer(_)),
            is_warm: tool.is_warm_transfer(),
        }
    }

    /// As the model sees it.
    pub(crate) fn offered(&self) -> Tool {
        Tool {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: Value::Object(self.parameters.clone()),
        }
    }

    /// Arguments fit to be used; else what is wrong with them, for the model (R101).
    pub(crate) fn arguments(&self, text: &str) -> Result<Map<String, Value>, String> {
        let mut arguments = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(arguments)) => arguments,
            Ok(_) => return Err("the arguments are no JSON object".to_owned()),
            Err(error) => return Err(format!("the arguments are no JSON: {error}")),
        };
        let required = self.parameters.get("required").and_then(Value::as_array);
        let missing: Vec<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|name| arguments.get(*name).is_none_or(Value::is_null))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "these arguments are missing: {}",
                missing.join(", ")
            ));
        }
        for name in SERVER_OWNED {
            arguments.shift_remove(name);
        }
        Ok(arguments)
    }
}

/// The schema without what the server fills in: its own ids, and what the call knows already.
fn shown(parameters: &Map<String, Value>, variables: &Variables) -> Map<String, Value> {
    let is_known = |name: &str| {
        let value = variables.get(name);
        value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    let stays = |name: &str| !SERVER_OWNED.contains(&name) && !is_known(name);
    let mut shown = parameters.clone();
    if let Some(Value::Object(properties)) = shown.get_mut("properties") {
        properties.retain(|name, _| stays(name));
    }
    if let Some(Value::Array(required)) = shown.get_mut("required") {
        required.retain(|name| name.as_str().is_some_and(stays));
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn script(variables: Value) -> ToolScript {
        let parameters = map(json!({
            "type": "object",
            "properties": {"id": {"type": "string"}, "city": {"type": "string"}, "call_sid": {"type": "string"}},
            "required": ["id", "city", "call_sid"],
        }));
        let variables = Variables {
            recipient: map(variables),
            ..Variables::default()
        };
        ToolScript {
            name: "look_up".into(),
            description: "d".into(),
            parameters: shown(&parameters, &variables),
            line: String::new(),
            speak_result: true,
            limit_ms: 10_000,
            is_transfer: false,
            is_warm: false,
        }
    }

    #[test] // R80, R104
    fn the_model_is_not_asked_for_what_the_server_knows() {
        let known = script(json!({"city": "Pune", "id": ""}));
        assert_eq!(
            Value::Object(known.parameters),
            json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]})
        );
    }

    #[test] // R101
    fn arguments_are_checked_before_anything_is_sent() {
        let tool = script(json!({}));
        let check = |text: &str| tool.arguments(text);
        assert_eq!(
            check(r#"{"id":"7"}"#).unwrap_err(),
            "these arguments are missing: city"
        );
        assert_eq!(
            check(r#"{"id":null,"city":null}"#).unwrap_err(),
            "these arguments are missing: id, city"
        );
        assert!(
            check(r#"{"id":"#)
                .unwrap_err()
                .starts_with("the arguments are no JSON: ")
        );
        assert_eq!(check("[]").unwrap_err(), "the arguments are no JSON object");
        assert_eq!(
            Value::Object(check(r#"{"id":"7","city":"Pune","call_sid":"made up"}"#).unwrap()),
            json!({"id": "7", "city": "Pune"})
        );
    }
}
