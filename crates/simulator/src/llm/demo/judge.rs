//! The model as the judge of a call's end.

use serde_json::{Value, json};

use super::{Call, text_of};

/// Whether the request wants JSON: by its format, or in the words of its system prompt.
pub(super) fn is_asked(request: &Value, messages: &[Value]) -> bool {
    let format = request["response_format"]["type"].as_str();
    matches!(format, Some("json_object" | "json_schema"))
        || messages.iter().any(|message| {
            message["role"] == "system" && {
                let text = text_of(message);
                text.contains("JSON") && text.contains("hangup")
            }
        })
}

/// `{"hangup": "Yes"}` when the caller's last line ends the call. The call comes as one user message with a
/// line for each who spoke (`user: …`, `assistant: …`), or as messages of its own.
pub(super) fn answer(messages: &[Value]) -> String {
    let mut call = Call::default();
    let mut is_over = false;
    let mut user = |call: &mut Call, text: &str| {
        call.user(text);
        is_over = call.heard.ends;
    };
    for message in messages {
        let text = text_of(message);
        match message["role"].as_str() {
            Some("user") if text.lines().any(is_transcript) => {
                for line in text.lines() {
                    match (
                        line.strip_prefix("user: "),
                        line.strip_prefix("assistant: "),
                    ) {
                        (Some(said), _) => user(&mut call, said),
                        (None, Some(said)) => call.assistant(said.to_owned()),
                        (None, None) => {}
                    }
                }
            }
            Some("user") => user(&mut call, &text),
            Some("assistant") => call.assistant(text),
            _ => {}
        }
    }
    json!({"hangup": if is_over { "Yes" } else { "No" }}).to_string()
}

fn is_transcript(line: &str) -> bool {
    line.starts_with("user: ") || line.starts_with("assistant: ")
}
