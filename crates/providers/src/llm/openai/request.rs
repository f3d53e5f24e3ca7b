//! The body of a request: what the agent says, in the form that the model takes.
//! Sources: wire-providers.md §3.1, §3.4; runtime.md R86.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{dialect::Dialect, thoughts::with_thoughts},
    model::Model,
};
use crate::{Ask, AskMessage, AskTool, ToolChoice};

/// What asks for JSON, where the prompt does not.
pub(super) const JSON_IN_WORDS: &str = "Answer with one JSON object.";
/// Most stop sequences that OpenAI takes.
const MOST_STOPS: usize = 4;

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(flatten)]
    sampling: Sampling<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_obfuscation: Option<bool>,
}

/// Reasoning models take other parameters than the rest.
#[derive(Default, Serialize)]
struct Sampling<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Body<'a> {
    /// `json_mode`: the server knows it. Where it is wanted, words ask for JSON in any case.
    pub(super) fn new(ask: &'a Ask, dialect: &Dialect, json_mode: bool) -> Self {
        let model = Model::of(&ask.config, dialect.api);
        let tools: Vec<Value> = ask.tools.iter().map(tool).collect();
        let has_tools = !tools.is_empty();
        let json = ask.wants_json();
        let mut messages: Vec<Message<'a>> = ask.messages.iter().map(message).collect();
        if json && !speaks_of_json(&ask.messages) {
            // Refused otherwise. Behind the head, which stays the same.
            let head = messages.iter().take_while(|said| said.role == "system");
            let at = head.count();
            messages.insert(at, Message::system(JSON_IN_WORDS));
        }
        Self {
            model: &ask.config.model,
            messages,
            stream: true,
            stream_options: StreamOptions {
                include_usage: true,
                include_obfuscation: dialect.is_openai.then_some(false),
            },
            sampling: Sampling::new(ask, model, has_tools, dialect),
            tools,
            tool_choice: has_tools.then(|| choice(&ask.tool_choice)),
            // R100. OpenAI's o-models refuse the field itself.
            parallel_tool_calls: (has_tools && model != Model::OSeries).then_some(false),
            response_format: (json && json_mode).then(|| json!({"type": "json_object"})),
            service_tier: dialect.is_openai.then_some("default"),
            prompt_cache_key: (dialect.is_openai && !ask.cache_key.is_empty())
                .then_some(ask.cache_key.as_str()),
        }
    }
}

impl<'a> Body<'a> {
    /// The effort that is asked for.
    pub(super) fn effort(&self) -> Option<&'a str> {
        self.sampling.reasoning_effort
    }
}

/// The effort that is asked for, where it is not what the agent wishes.
pub(super) fn other_effort<'a>(sent: Option<&'a str>, ask: &Ask) -> Option<&'a str> {
    let wished = ask.config.reasoning_effort.as_deref()?;
    let sent = sent.unwrap_or("none");
    (sent != wished).then_some(sent)
}

impl<'a> Message<'a> {
    fn system(text: &'a str) -> Self {
        Self {
            role: "system",
            content: Some(text),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

pub(super) fn speaks_of_json(messages: &[AskMessage]) -> bool {
    let mut texts = messages
        .iter()
        .filter_map(|message| message.content.as_deref());
    texts.any(|text| text.to_ascii_lowercase().contains("json"))
}

impl<'a> Sampling<'a> {
    fn new(ask: &'a Ask, model: Model, has_tools: bool, dialect: &Dialect) -> Self {
        let config = &ask.config;
        let reasoning_effort = model.effort(config.reasoning_effort.as_deref(), has_tools);
        let limit = with_thoughts(config.max_tokens, reasoning_effort.or(model.own_effort()));
        if let Model::Gpt5 { .. } = model {
            return Self {
                max_completion_tokens: Some(limit),
                reasoning_effort,
                verbosity: Some(config.verbosity.as_deref().unwrap_or("low")),
                ..Self::default()
            };
        }
        if matches!(model, Model::OSeries | Model::OwnEffort) {
            return Self {
                max_completion_tokens: Some(limit),
                reasoning_effort,
                ..Self::default()
            };
        }
        let mut stop: Vec<&str> = config
            .stop
            .iter()
            .map(String::as_str)
            .filter(|stop| !stop.is_empty())
            .collect();
        if !stop.contains(&"User:") {
            stop.truncate(MOST_STOPS - 1);
            stop.push("User:");
        }
        stop.truncate(MOST_STOPS);
        Self {
            max_tokens: Some(limit),
            temperature: Some(ask.temperature),
            top_p: config.top_p,
            top_k: config.top_k.filter(|_| dialect.takes_top_k),
            min_p: config.min_p.filter(|_| dialect.takes_top_k),
            presence_penalty: config.presence_penalty,
            frequency_penalty: config.frequency_penalty,
            stop,
            reasoning_effort,
            ..Self::default()
        }
    }
}

fn message(message: &AskMessage) -> Message<'_> {
    // Some servers refuse a null where no tool was called.
    let content = message
        .content
        .as_deref()
        .or(message.tool_calls.is_empty().then_some(""));
    Message {
        role: message.role,
        content,
        tool_calls: message
            .tool_calls
            .iter()
            .map(|(id, name, arguments)| {
                json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect(),
        tool_call_id: message.tool_call_id.as_deref(),
    }
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Forced(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn tool(tool: &AskTool) -> Value {
    json!({"type": "function", "function": {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters,
    }})
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
