//! The body of a request to Anthropic. Source: wire-providers.md §3.4; Anthropic's API reference.

use bolo_agent::LlmConfig;
use serde_json::{Value, json};

use super::super::{
    thoughts::with_thoughts,
    turns::{Part, Speaker, Turn, called, turns},
};
use crate::{Ask, ToolChoice};

/// Before the models of this generation thinking was not asked for by effort, and sampling was free.
const EFFORT_SINCE: (u32, u32) = (4, 7);
/// These think unless they are told not to.
const THINKS_SINCE: (u32, u32) = (5, 0);

pub(super) fn body(ask: &Ask) -> Value {
    let config = &ask.config;
    let (head, turns) = turns(&ask.messages);
    let mut body = json!({
        "model": config.model,
        "max_tokens": config.max_tokens,
        "messages": turns.iter().map(message).collect::<Vec<_>>(),
        "stream": true,
    });
    let head = match ask.wants_json() {
        true => format!("{head}\n\nAnswer with one JSON object and nothing else."),
        false => head,
    };
    if !head.trim().is_empty() {
        // The same through the call, tools before it included: read from the vendor's cache.
        body["system"] = json!([
            {"type": "text", "text": head.trim(), "cache_control": {"type": "ephemeral"}}
        ]);
    }
    tools(&mut body, ask, &turns);
    if !config.stop.is_empty() {
        let stops = config.stop.iter().filter(|stop| !stop.trim().is_empty());
        body["stop_sequences"] = stops.cloned().collect();
    }
    let version = version(&config.model);
    if version >= EFFORT_SINCE {
        thinking(&mut body, config);
    } else {
        sampling(&mut body, ask);
    }
    body
}

fn sampling(body: &mut Value, ask: &Ask) {
    match ask.config.top_p {
        // One or the other, not both.
        Some(top_p) => body["top_p"] = rounded(top_p),
        None => body["temperature"] = rounded(ask.temperature.min(1.0)),
    }
    if let Some(top_k) = ask.config.top_k {
        body["top_k"] = top_k.into();
    }
}

/// Nothing is thought over unless the agent says so: a caller waits.
fn thinking(body: &mut Value, config: &LlmConfig) {
    let (model, effort) = (&config.model, config.reasoning_effort.as_deref());
    let effort = match effort {
        None | Some("none") => None,
        Some("minimal") => Some("low"),
        other => other,
    };
    let always = ["fable", "mythos"].iter().any(|name| model.contains(name));
    let thought = effort.or(always.then_some("low"));
    body["max_tokens"] = with_thoughts(config.max_tokens, thought).into();
    match effort {
        Some(effort) => {
            body["thinking"] = json!({"type": "adaptive"});
            body["output_config"] = json!({ "effort": effort });
        }
        None if always => body["output_config"] = json!({"effort": "low"}),
        None if version(model) >= THINKS_SINCE => body["thinking"] = json!({"type": "disabled"}),
        None => {}
    }
}

fn tools(body: &mut Value, ask: &Ask, turns: &[Turn<'_>]) {
    let mut tools: Vec<Value> = ask
        .tools
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": schema(&tool.parameters),
            })
        })
        .collect();
    let mut choice = match &ask.tool_choice {
        ToolChoice::Auto => json!({"type": "auto", "disable_parallel_tool_use": true}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Forced(name) => {
            json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
        }
    };
    if tools.is_empty() {
        // A history with calls is refused unless the tools are named.
        let names = called(turns);
        tools.extend(
            names
                .iter()
                .map(|name| json!({"name": name, "input_schema": {"type": "object"}})),
        );
        choice = json!({"type": "none"});
    }
    if !tools.is_empty() {
        body["tools"] = tools.into();
        body["tool_choice"] = choice;
    }
}

/// A schema must say that it is one of an object.
fn schema(parameters: &Value) -> Value {
    let mut schema = parameters.clone();
    match schema.as_object_mut() {
        Some(fields) => {
            fields.entry("type").or_insert_with(|| "object".into());
        }
        None => schema = json!({"type": "object"}),
    }
    schema
}

fn message(turn: &Turn<'_>) -> Value {
    // Results come before text, or they are refused.
    let (results, others): (Vec<&Part<'_>>, Vec<&Part<'_>>) = turn
        .parts
        .iter()
        .partition(|part| matches!(part, Part::Result { .. }));
    let content: Vec<Value> = results.into_iter().chain(others).map(block).collect();
    let role = match turn.speaker {
        Speaker::User => "user",
        Speaker::Model => "assistant",
    };
    json!({"role": role, "content": content})
}

fn block(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Call {
            id,
            name,
            arguments,
        } => {
            json!({"type": "tool_use", "id": fit(id), "name": name, "input": arguments})
        }
        Part::Result { id, text, .. } => {
            json!({"type": "tool_result", "tool_use_id": fit(id), "content": text})
        }
    }
}

/// Ids hold letters, digits, `_` and `-`; those of another vendor may not.
fn fit(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    id.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// As the agent wrote it: an `f32` would show as 0.10000000149.
fn rounded(number: f32) -> Value {
    json!((f64::from(number) * 1000.0).round() / 1000.0)
}

/// `claude-opus-4-7` → 4.7, `claude-3-5-haiku-20241022` → 3.5, `claude-sonnet-5` → 5.0. What has no
/// number is taken for new.
fn version(model: &str) -> (u32, u32) {
    let mut numbers = model
        .split(['-', '.'])
        .filter(|part| part.len() <= 2)
        .filter_map(|part| part.parse().ok());
    (
        numbers.next().unwrap_or(u32::MAX),
        numbers.next().unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::{super::super::turns::tests::history, *};
    use crate::{
        AskTool,
        testing::{ask, said},
    };

    fn weather() -> AskTool {
        AskTool {
            name: "weather".into(),
            description: "Tells it".into(),
            parameters: json!({"properties": {"city": {"type": "string"}}}),
        }
    }

    #[test]
    fn a_whole_request() {
        let mut ask = ask("claude-haiku-4-5");
        ask.messages = history();
        ask.tools.push(weather());
        ask.config.stop = vec!["User:".into()];
        assert_eq!(
            body(&ask),
            json!({
                "model": "claude-haiku-4-5",
                "max_tokens": 150,
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "(The caller says nothing.)"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "Hello!"}]},
                    {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                    {"role": "assistant", "content": [
                        {"type": "text", "text": "Let me see."},
                        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Pune"}},
                    ]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
                        {"type": "text", "text": "The caller is in a hurry."},
                    ]},
                ],
                "stream": true,
                "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
                "tools": [{
                    "name": "weather",
                    "description": "Tells it",
                    "input_schema": {"properties": {"city": {"type": "string"}}, "type": "object"},
                }],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
                "stop_sequences": ["User:"],
                "temperature": 0.1,
            })
        );
    }

    #[test]
    fn a_tool_may_be_forced_or_forbidden_and_a_past_call_is_explained() {
        let mut ask = ask("claude-haiku-4-5");
        ask.messages = history();
        let told = body(&ask);
        assert_eq!(
            (&told["tools"][0]["name"], &told["tool_choice"]),
            (&json!("weather"), &json!({"type": "none"}))
        );
        ask.tools.push(weather());
        ask.tool_choice = ToolChoice::Forced("weather".into());
        assert_eq!(body(&ask)["tool_choice"]["name"], "weather");
        ask.tool_choice = ToolChoice::None;
        assert_eq!(body(&ask)["tool_choice"], json!({"type": "none"}));
        ask.messages = vec![said("user", "Hi")];
        ask.tools.clear();
        let told = body(&ask);
        assert!(told.get("tools").is_none() && told.get("tool_choice").is_none());
    }

    #[test]
    fn later_models_take_no_temperature_and_think_only_when_told() {
        let told = |model: &str, effort: Option<&str>| {
            let mut ask = ask(model);
            ask.config.reasoning_effort = effort.map(str::to_owned);
            body(&ask)
        };
        for (model, thinking) in [
            ("claude-opus-4-7", Value::Null),
            ("claude-sonnet-5", json!({"type": "disabled"})),
            ("claude-haiku-5-5", json!({"type": "disabled"})),
            ("claude-fable-5", Value::Null),
        ] {
            let told = told(model, None);
            assert!(told.get("temperature").is_none(), "{model}");
            assert_eq!(told["thinking"], thinking, "{model}");
        }
        assert_eq!(
            told("claude-fable-5", None)["output_config"]["effort"],
            "low"
        );
        let thoughtful = told("claude-sonnet-5", Some("medium"));
        assert_eq!(thoughtful["thinking"], json!({"type": "adaptive"}));
        assert_eq!(thoughtful["output_config"], json!({"effort": "medium"}));
        // Thoughts count into the limit.
        assert_eq!(thoughtful["max_tokens"], 8342);
        assert_eq!(told("claude-fable-5", None)["max_tokens"], 2198);
        for model in ["claude-sonnet-5", "claude-opus-4-7"] {
            assert_eq!(told(model, None)["max_tokens"], 150, "{model}");
        }
        for model in [
            "claude-3-5-haiku-20241022",
            "claude-sonnet-4-20250514",
            "claude-opus-4-6",
        ] {
            assert_eq!(told(model, None)["temperature"], 0.1, "{model}");
        }
        let mut ask = ask("claude-haiku-4-5");
        (ask.config.top_p, ask.config.top_k) = (Some(0.9), Some(40));
        let told = body(&ask);
        assert_eq!(
            (told.get("temperature"), &told["top_p"], &told["top_k"]),
            (None, &json!(0.9), &json!(40))
        );
        ask.config.model = "claude-sonnet-5".into();
        assert!(body(&ask).get("top_k").is_none());
    }
}
