//! The body of a request to Gemini. Source: wire-providers.md §3.4 (google); Google's API reference.

use bolo_agent::LlmConfig;
use serde_json::{Map, Value, json};

use super::{
    super::{
        thoughts::with_thoughts,
        turns::{Part, Speaker, turns},
    },
    schema,
};
use crate::{Ask, ToolChoice};

/// Most stop sequences that Gemini takes.
const MOST_STOPS: usize = 5;
/// Stands for the signature of a call that was made by another model, or before a node died; Google
/// documents it for histories of others.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// `signature`: of a tool call, by its id.
pub(super) fn body(ask: &Ask, signature: impl Fn(&str) -> Option<String>) -> Value {
    let (head, turns) = turns(&ask.messages);
    let signed = generation(&ask.config.model) >= 3;
    let contents: Vec<Value> = turns
        .iter()
        .map(|turn| {
            let role = match turn.speaker {
                Speaker::User => "user",
                Speaker::Model => "model",
            };
            let parts: Vec<Value> = turn
                .parts
                .iter()
                .map(|said| {
                    let mut told = part(said);
                    if let Part::Call { id, .. } = said {
                        let signature = signature(id);
                        let signature =
                            signature.or_else(|| signed.then(|| NO_SIGNATURE.to_owned()));
                        if let Some(signature) = signature {
                            told["thoughtSignature"] = signature.into();
                        }
                    }
                    told
                })
                .collect();
            json!({"role": role, "parts": parts})
        })
        .collect();
    let mut body = json!({"contents": contents, "generationConfig": generation_config(ask)});
    if !head.trim().is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": head.trim()}]});
    }
    if !ask.tools.is_empty() {
        let declared: Vec<Value> = ask
            .tools
            .iter()
            .map(|tool| {
                let mut declared = json!({"name": tool.name, "description": tool.description});
                if let Some(parameters) = schema::parameters(&tool.parameters) {
                    declared["parameters"] = parameters;
                }
                declared
            })
            .collect();
        body["tools"] = json!([{ "functionDeclarations": declared }]);
        let calling = match &ask.tool_choice {
            ToolChoice::Auto => json!({"mode": "AUTO"}),
            ToolChoice::None => json!({"mode": "NONE"}),
            ToolChoice::Forced(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        body["toolConfig"] = json!({ "functionCallingConfig": calling });
    }
    body
}

fn part(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Call {
            name, arguments, ..
        } => json!({"functionCall": {"name": name, "args": arguments}}),
        Part::Result { name, text, .. } => {
            // The response must be an object.
            let object: Option<Map<String, Value>> = serde_json::from_str(text).ok();
            let response = object.map_or_else(|| json!({ "result": text }), Value::from);
            json!({"functionResponse": {"name": name, "response": response}})
        }
    }
}

fn generation_config(ask: &Ask) -> Value {
    let config = &ask.config;
    let number = |number: f32| json!((f64::from(number) * 1000.0).round() / 1000.0);
    let mut told = json!({
        "temperature": number(ask.temperature),
        "maxOutputTokens": with_thoughts(config.max_tokens, thought(config)),
    });
    if let Some(top_p) = config.top_p {
        told["topP"] = number(top_p);
    }
    if let Some(top_k) = config.top_k {
        told["topK"] = top_k.into();
    }
    if let Some(penalty) = config.presence_penalty {
        told["presencePenalty"] = number(penalty);
    }
    if let Some(penalty) = config.frequency_penalty {
        told["frequencyPenalty"] = number(penalty);
    }
    let stops = config.stop.iter().filter(|stop| !stop.is_empty());
    let stops: Vec<&String> = stops.take(MOST_STOPS).collect();
    if !stops.is_empty() {
        told["stopSequences"] = json!(stops);
    }
    if ask.wants_json() {
        told["responseMimeType"] = "application/json".into();
    }
    if let Some(thinking) = thinking(&config.model, config.reasoning_effort.as_deref()) {
        told["thinkingConfig"] = thinking;
    }
    told
}

/// As little as the model can, unless the agent says otherwise: a caller waits. 2.5 counts tokens, 3
/// knows levels; the wrong one is refused.
fn thinking(model: &str, effort: Option<&str>) -> Option<Value> {
    let effort = effort.unwrap_or("none");
    let is_pro = model.contains("pro");
    if generation(model) >= 3 {
        let level = match (effort, is_pro) {
            ("none" | "minimal", false) => "minimal",
            ("none" | "minimal" | "low", _) => "low",
            ("medium", false) => "medium",
            _ => "high",
        };
        return Some(json!({ "thinkingLevel": level }));
    }
    model.contains("2.5").then(|| {
        let budget = match effort {
            "none" if is_pro => 128,
            "none" => 0,
            "minimal" => 512,
            "low" => 1024,
            "medium" => 8192,
            _ => 24576,
        };
        json!({ "thinkingBudget": budget })
    })
}

/// How much it thinks, whether it was told or not.
fn thought(config: &LlmConfig) -> Option<&str> {
    let model = &config.model;
    let effort = config.reasoning_effort.as_deref();
    match (generation(model), effort) {
        // `gemini-flash-latest` is told nothing.
        (0, _) if model.starts_with("gemini-") => Some("medium"),
        (3.., None | Some("none" | "minimal")) if !model.contains("pro") => Some("minimal"),
        (3.., None | Some("none" | "minimal")) => Some("low"),
        (3.., Some("medium")) if model.contains("pro") => Some("high"),
        (3.., effort) => effort,
        _ if !model.contains("2.5") => None,
        (_, None | Some("none" | "minimal")) if model.contains("pro") => Some("low"),
        (_, effort) => effort,
    }
}

/// `gemini-3.5-flash` → 3; 0 for names without a number.
fn generation(model: &str) -> u32 {
    let number = model
        .strip_prefix("gemini-")
        .and_then(|rest| rest.split(['.', '-']).next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::{super::super::turns::tests::history, *};
    use crate::{AskTool, testing::ask};

    #[test]
    fn a_whole_request() {
        let mut ask = ask("gemini-2.5-flash");
        ask.messages = history();
        ask.tools.push(AskTool {
            name: "weather".into(),
            description: "Tells it".into(),
            parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": false}),
        });
        ask.config.stop = vec!["User:".into()];
        ask.config.top_k = Some(40);
        assert_eq!(
            body(&ask, |_| None),
            json!({
                "contents": [
                    {"role": "user", "parts": [{"text": "(The caller says nothing.)"}]},
                    {"role": "model", "parts": [{"text": "Hello!"}]},
                    {"role": "user", "parts": [{"text": "Weather?"}]},
                    {"role": "model", "parts": [
                        {"text": "Let me see."},
                        {"functionCall": {"name": "weather", "args": {"city": "Pune"}}},
                    ]},
                    {"role": "user", "parts": [
                        {"functionResponse": {"name": "weather", "response": {"result": "sunny"}}},
                        {"text": "The caller is in a hurry."},
                    ]},
                ],
                "generationConfig": {
                    "temperature": 0.1,
                    "maxOutputTokens": 150,
                    "topK": 40,
                    "stopSequences": ["User:"],
                    "thinkingConfig": {"thinkingBudget": 0},
                },
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "tools": [{"functionDeclarations": [{
                    "name": "weather",
                    "description": "Tells it",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                }]}],
                "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            })
        );
    }

    #[test]
    fn a_call_goes_back_with_its_signature_or_says_that_it_has_none() {
        let mut ask = ask("gemini-3.5-flash");
        ask.messages = history();
        let sealed = |body: Value| body["contents"][3]["parts"][1]["thoughtSignature"].clone();
        assert_eq!(
            sealed(body(&ask, |id| Some(format!("of {id}")))),
            "of call_1"
        );
        assert_eq!(sealed(body(&ask, |_| None)), NO_SIGNATURE);
        ask.config.model = "gemini-2.5-flash".into();
        assert_eq!(sealed(body(&ask, |_| None)), Value::Null);
    }

    #[test]
    fn thinking_by_generation() {
        for (model, effort, expected) in [
            ("gemini-2.0-flash", None, Value::Null),
            (
                "gemini-2.5-flash",
                Some("low"),
                json!({"thinkingBudget": 1024}),
            ),
            ("gemini-2.5-pro", None, json!({"thinkingBudget": 128})),
            (
                "gemini-3.5-flash",
                None,
                json!({"thinkingLevel": "minimal"}),
            ),
            ("gemini-3-pro", None, json!({"thinkingLevel": "low"})),
            (
                "gemini-3-pro",
                Some("medium"),
                json!({"thinkingLevel": "high"}),
            ),
        ] {
            let told = thinking(model, effort).unwrap_or_default();
            assert_eq!(told, expected, "{model}");
        }
    }

    #[test]
    fn the_limit_has_room_for_thoughts() {
        for (model, effort, expected) in [
            ("gemini-2.0-flash", Some("high"), 20),
            ("gemini-2.0-pro", None, 20),
            ("gemini-2.5-flash", None, 20),
            ("gemini-2.5-flash", Some("low"), 2068),
            ("gemini-2.5-pro", None, 2068),
            ("gemini-3.5-flash", None, 532),
            ("gemini-3-pro", None, 2068),
            ("gemini-3-pro", Some("high"), 24_596),
            ("gemini-flash-latest", None, 8212),
        ] {
            let mut ask = ask(model);
            ask.config.max_tokens = 20;
            ask.config.reasoning_effort = effort.map(str::to_owned);
            let told = &body(&ask, |_| None)["generationConfig"]["maxOutputTokens"];
            assert_eq!(told, expected, "{model}");
        }
    }

    #[test]
    fn tools_may_be_forced_or_forbidden() {
        let mut ask = ask("gemini-2.5-flash");
        ask.tools.push(AskTool {
            name: "f".into(),
            description: "d".into(),
            parameters: json!({"type": "object", "properties": {}}),
        });
        ask.json = true;
        ask.tool_choice = ToolChoice::Forced("f".into());
        let told = body(&ask, |_| None);
        assert_eq!(
            told["toolConfig"]["functionCallingConfig"],
            json!({"mode": "ANY", "allowedFunctionNames": ["f"]})
        );
        assert_eq!(
            told["tools"][0]["functionDeclarations"][0],
            json!({"name": "f", "description": "d"})
        );
        assert_eq!(
            told["generationConfig"]["responseMimeType"],
            "application/json"
        );
        ask.tool_choice = ToolChoice::None;
        let told = body(&ask, |_| None);
        assert_eq!(told["toolConfig"]["functionCallingConfig"]["mode"], "NONE");
    }
}
