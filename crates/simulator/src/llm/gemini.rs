//! Google's `streamGenerateContent` (wire-providers.md §3.4): its refusals, its checks, its events.

use serde_json::{Value, json};

use super::{rules::ToolCall, wire::Words};

pub(super) fn refusal(status: u16, message: &str, no_credit: bool) -> (u16, Value) {
    let mut details = Value::Array(Vec::new());
    let (status, name, message) = match status {
        _ if no_credit => (
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota.",
        ),
        // A wrong key is a bad request here.
        401 => {
            details = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID", "domain": "googleapis.com",
            }]);
            let message = "API key not valid. Please pass a valid API key.";
            (400, "INVALID_ARGUMENT", message)
        }
        403 => (403, "PERMISSION_DENIED", message),
        404 => (404, "NOT_FOUND", message),
        429 => (429, "RESOURCE_EXHAUSTED", message),
        503 => (503, "UNAVAILABLE", "The model is overloaded."),
        400..500 => (400, "INVALID_ARGUMENT", message),
        _ => (status, "INTERNAL", message),
    };
    let error = json!({"code": status, "message": message, "status": name, "details": details});
    (status, json!({ "error": error }))
}

/// Keys of a schema that Google does not know.
const FOREIGN: [&str; 4] = ["additionalProperties", "$schema", "strict", "const"];

/// What Google refuses, checked here because a client easily gets it wrong.
pub(super) fn fault_of(body: &Value) -> Option<String> {
    let fault = |text: &str| Some(text.to_owned());
    let Some(contents) = body["contents"].as_array().filter(|all| !all.is_empty()) else {
        return fault("* GenerateContentRequest.contents: contents is not specified");
    };
    let parts = |content: &Value| content["parts"].as_array().cloned().unwrap_or_default();
    let mut open = Vec::new();
    for content in contents {
        if !(content["role"] == "user" || content["role"] == "model") {
            return fault("Please use a valid role: user, model.");
        }
        if parts(content).is_empty() {
            return fault("* GenerateContentRequest.contents: must not be empty");
        }
        let named = |kind: &str| -> Vec<Value> {
            let found = parts(content)
                .into_iter()
                .filter_map(|part| part.get(kind).cloned());
            found.map(|call| call["name"].clone()).collect()
        };
        if named("functionResponse") != open {
            return fault(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            );
        }
        open = named("functionCall");
    }
    let declared = body["tools"][0]["functionDeclarations"].as_array();
    for tool in declared.map(Vec::as_slice).unwrap_or_default() {
        let schema = tool["parameters"].to_string();
        let foreign = FOREIGN
            .iter()
            .find(|key| schema.contains(&format!("\"{key}\":")));
        if let Some(key) = foreign {
            return Some(format!(
                "Invalid JSON payload received. Unknown name \"{key}\" at 'tools[0].function_declarations[0].parameters': Cannot find field."
            ));
        }
    }
    None
}

pub(super) fn as_chat(body: &Value) -> Value {
    let said = |content: &Value, role: &Value| json!({"role": role, "content": content["parts"]});
    let mut messages = vec![said(&body["systemInstruction"], &"system".into())];
    let contents = body["contents"].as_array().cloned().unwrap_or_default();
    messages.extend(
        contents
            .iter()
            .map(|content| said(content, &content["role"])),
    );
    let declared = body["tools"][0]["functionDeclarations"].as_array().cloned();
    let named = |tool: &Value| json!({"function": {"name": tool["name"]}});
    let config = &body["generationConfig"];
    json!({
        "model": body["model"],
        "messages": messages,
        "tools": declared.unwrap_or_default().iter().map(named).collect::<Vec<_>>(),
        "stream": true,
        "max_tokens": config["maxOutputTokens"],
        "stop": config["stopSequences"],
    })
}

/// The events of one answer.
pub(super) struct Events {
    model: Value,
    id: String,
    /// From this generation on, calls carry a signature.
    signs: bool,
}

impl Events {
    pub fn new(body: &Value) -> Self {
        let model = body["model"].as_str().unwrap_or_default();
        Self {
            signs: model.contains("gemini-3"),
            model: model.into(),
            id: format!("{:016x}", rand::random::<u64>()),
        }
    }

    fn event(&self, candidate: Value, bill: Option<(usize, usize)>) -> String {
        let mut event = json!({
            "candidates": [candidate], "modelVersion": self.model, "responseId": self.id,
        });
        if let Some((prompt, answer)) = bill {
            event["usageMetadata"] = json!({
                "promptTokenCount": prompt, "candidatesTokenCount": answer,
                "totalTokenCount": prompt + answer,
            });
        }
        format!("data: {event}\r\n\r\n")
    }

    fn part(&self, part: Value) -> String {
        let content = json!({"role": "model", "parts": [part]});
        self.event(json!({"content": content, "index": 0}), None)
    }
}

impl Words for Events {
    fn begin(&mut self) -> String {
        String::new()
    }

    fn token(&mut self, text: &str) -> String {
        self.part(json!({ "text": text }))
    }

    fn call(&mut self, number: usize, call: &ToolCall) -> Vec<String> {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        let mut part = json!({"functionCall": {"name": call.name, "args": arguments}});
        // Of several calls the first carries it.
        if self.signs && number == 0 {
            part["thoughtSignature"] = SIGNATURE.into();
        }
        vec![self.part(part)]
    }

    fn finish(&mut self, reason: &str, bill: Option<(usize, usize)>) -> String {
        let reason = if reason == "length" {
            "MAX_TOKENS"
        } else {
            "STOP"
        };
        let content = json!({"role": "model", "parts": [{"text": ""}]});
        let candidate = json!({"content": content, "finishReason": reason, "index": 0});
        self.event(candidate, bill)
    }

    fn end(&mut self) -> Option<String> {
        None
    }

    fn failure(&mut self) -> String {
        let (_, body) = refusal(503, "", false);
        format!("data: {body}\r\n\r\n")
    }

    fn unknown(&mut self) -> String {
        "data: {\"ofTomorrow\": {\"x\": [1, null]}}\r\n\r\n".to_owned()
    }
}

/// A thought, sealed: base64 on the wire.
const SIGNATURE: &str = "c2VhbGVkIHRob3VnaHQ=";
