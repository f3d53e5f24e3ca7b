//! The body of a request.

use serde_json::{Value, json};

use super::super::{
    super::{dialect::Dialect, thoughts::with_thoughts},
    model::Model,
    request::{JSON_IN_WORDS, speaks_of_json},
};
use crate::{Ask, AskMessage, ToolChoice};

/// The least limit that is taken.
const LEAST_TOKENS: u32 = 16;

/// The body, and the effort it asks for. `json_mode`: the server knows it.
pub(in super::super) fn body<'a>(
    ask: &'a Ask,
    dialect: &Dialect,
    json_mode: bool,
) -> (Value, Option<&'a str>) {
    let config = &ask.config;
    let model = Model::of(config, dialect.api);
    // Tools are no hindrance here.
    let effort = model.effort(config.reasoning_effort.as_deref(), false);
    let limit = with_thoughts(config.max_tokens, effort.or(model.own_effort()));
    let json = ask.wants_json();
    let mut body = json!({
        "model": config.model,
        "input": input(ask),
        "stream": true,
        "store": false,
        "max_output_tokens": limit.max(LEAST_TOKENS),
    });
    if let Some(effort) = effort {
        body["reasoning"] = json!({ "effort": effort });
    }
    let is_gpt_5 = matches!(model, Model::Gpt5 { .. });
    if is_gpt_5 {
        body["text"] = json!({"verbosity": config.verbosity.as_deref().unwrap_or("low")});
    }
    if json && json_mode {
        body["text"]["format"] = json!({"type": "json_object"});
    }
    if model == Model::Other {
        body["temperature"] = rounded(ask.temperature);
        if let Some(top_p) = config.top_p {
            body["top_p"] = rounded(top_p);
        }
    }
    tools(&mut body, ask, model);
    if dialect.is_openai {
        body["service_tier"] = "default".into();
        body["stream_options"] = json!({"include_obfuscation": false});
        if !ask.cache_key.is_empty() {
            body["prompt_cache_key"] = ask.cache_key.as_str().into();
        }
    }
    (body, effort)
}

fn tools(body: &mut Value, ask: &Ask, model: Model) {
    if ask.tools.is_empty() {
        return;
    }
    let tools = ask.tools.iter().map(|tool| {
        json!({
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            // Where nothing is said it is on, and most schemas are refused.
            "strict": false,
        })
    });
    body["tools"] = tools.collect();
    body["tool_choice"] = match &ask.tool_choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Forced(name) => json!({"type": "function", "name": name}),
    };
    if model != Model::OSeries {
        body["parallel_tool_calls"] = false.into(); // R100
    }
}

fn input(ask: &Ask) -> Vec<Value> {
    let mut input: Vec<Value> = ask.messages.iter().flat_map(items).collect();
    if ask.wants_json() && !speaks_of_json(&ask.messages) {
        // Refused otherwise. Behind the head, which stays the same.
        let head = input.iter().take_while(|item| item["role"] == "system");
        let at = head.count();
        input.insert(at, said("system", JSON_IN_WORDS));
    }
    input
}

/// A message, its calls apart from its text.
fn items(message: &AskMessage) -> Vec<Value> {
    let text = message.content.as_deref();
    if let Some(id) = &message.tool_call_id {
        let output = text.unwrap_or_default();
        return vec![json!({"type": "function_call_output", "call_id": id, "output": output})];
    }
    let text = text.filter(|text| !text.is_empty());
    let calls = message.tool_calls.iter().map(|(id, name, arguments)| {
        json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
    });
    let text = text.map(|text| said(message.role, text));
    text.into_iter().chain(calls).collect()
}

fn said(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

/// As the agent wrote it: an `f32` would show as 0.10000000149.
fn rounded(number: f32) -> Value {
    json!((f64::from(number) * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::{super::super::super::dialect::dialect, *};
    use crate::{
        AskTool,
        testing::{ask, said},
    };

    fn body_of(ask: &Ask) -> Value {
        body(ask, dialect("openai").unwrap(), true).0
    }

    fn weather() -> AskTool {
        AskTool {
            name: "weather".into(),
            description: "Tells it".into(),
            parameters: json!({"type": "object", "properties": {}}),
        }
    }

    #[test]
    fn a_whole_request() {
        let mut ask = ask("gpt-4.1-mini");
        ask.messages.push(AskMessage {
            tool_calls: vec![("call_1".into(), "weather".into(), "{}".into())],
            ..said("assistant", "Let me see.")
        });
        ask.messages.push(AskMessage {
            tool_call_id: Some("call_1".into()),
            ..said("tool", "sunny")
        });
        ask.tools.push(weather());
        assert_eq!(
            body_of(&ask),
            json!({
                "model": "gpt-4.1-mini",
                "input": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Let me see."},
                    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                ],
                "stream": true,
                "store": false,
                "max_output_tokens": 150,
                "temperature": 0.1,
                "tools": [{
                    "type": "function", "name": "weather", "description": "Tells it",
                    "parameters": {"type": "object", "properties": {}}, "strict": false,
                }],
                "tool_choice": "auto",
                "parallel_tool_calls": false,
                "service_tier": "default",
                "stream_options": {"include_obfuscation": false},
                "prompt_cache_key": "agent-1",
            })
        );
        ask.tool_choice = ToolChoice::Forced("weather".into());
        let forced = json!({"type": "function", "name": "weather"});
        assert_eq!(body_of(&ask)["tool_choice"], forced);
    }

    #[test] // wire-providers.md §3.1
    fn a_model_that_thinks_takes_an_effort_beside_its_tools() {
        let mut ask = ask("gpt-5.4");
        ask.config.reasoning_effort = Some("medium".into());
        ask.tools.push(weather());
        ask.json = true;
        let body = body_of(&ask);
        assert_eq!(body["reasoning"], json!({"effort": "medium"}));
        let text = json!({"verbosity": "low", "format": {"type": "json_object"}});
        assert_eq!(body["text"], text);
        assert_eq!(body["input"][1]["content"], JSON_IN_WORDS);
        assert_eq!(body["max_output_tokens"], 8342);
        assert!(body.get("temperature").is_none());
    }

    #[test]
    fn a_limit_is_no_lower_than_what_is_taken() {
        let mut ask = ask("gpt-4.1-mini");
        ask.config.max_tokens = 5;
        assert_eq!(body_of(&ask)["max_output_tokens"], LEAST_TOKENS);
    }
}
