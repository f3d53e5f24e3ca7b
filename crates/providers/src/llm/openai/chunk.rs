//! Chunks of an answer, read leniently, and the tool calls gathered from them.
//! Source: wire-providers.md §3.2, §3.7.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::Called;

/// One chunk. A field of a type that we don't expect counts as absent: each vendor has its own oddities.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk {
    #[serde(deserialize_with = "lenient")]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(deserialize_with = "lenient")]
    usage: Option<Usage>,
    #[serde(deserialize_with = "lenient")]
    x_groq: Option<XGroq>,
    /// Set when the server failed in mid-stream.
    pub(super) error: Option<Value>,
    /// `error` where a server puts the failure at the top level.
    #[serde(deserialize_with = "lenient")]
    object: Option<String>,
    pub(super) message: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    /// `message` in an answer that is not streamed.
    #[serde(alias = "message", deserialize_with = "lenient")]
    pub(super) delta: Option<Part>,
    #[serde(deserialize_with = "lenient")]
    pub(super) finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    #[serde(deserialize_with = "lenient")]
    pub(super) content: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reasoning_content: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reasoning: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) refusal: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) tool_calls: Option<Vec<CallPart>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CallPart {
    #[serde(deserialize_with = "lenient")]
    index: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    function: Option<FunctionPart>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FunctionPart {
    #[serde(deserialize_with = "lenient")]
    name: Option<String>,
    /// A piece of JSON text; some servers send the object itself.
    arguments: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    #[serde(deserialize_with = "count")]
    pub(super) prompt_tokens: u64,
    #[serde(deserialize_with = "count")]
    pub(super) completion_tokens: u64,
    #[serde(deserialize_with = "lenient")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(deserialize_with = "count")]
    prompt_cache_hit_tokens: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    #[serde(deserialize_with = "count")]
    cached_tokens: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct XGroq {
    #[serde(deserialize_with = "lenient")]
    usage: Option<Usage>,
}

impl Chunk {
    pub(super) fn usage(&mut self) -> Option<Usage> {
        let usage = self.usage.take();
        usage.or_else(|| self.x_groq.take()?.usage)
    }

    /// The server's words for a failure in mid-stream.
    pub(super) fn failure(&mut self) -> Option<Value> {
        let error = self.error.take().filter(|error| !error.is_null());
        error.or_else(|| {
            (self.object.as_deref() == Some("error"))
                .then(|| self.message.take().unwrap_or_default())
        })
    }
}

impl Part {
    pub(super) fn reasoning(&mut self) -> Option<String> {
        let text = self
            .reasoning_content
            .take()
            .or_else(|| self.reasoning.take());
        text.filter(|text| !text.is_empty())
    }
}

impl Usage {
    pub(super) fn cached(&self) -> u64 {
        match &self.prompt_tokens_details {
            Some(details) => details.cached_tokens,
            None => self.prompt_cache_hit_tokens,
        }
    }
}

/// Tool calls, put together from their pieces.
#[derive(Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
}

struct Call {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Calls {
    /// Takes the pieces of one chunk; gives the names of calls that begin with it.
    pub(super) fn add(&mut self, parts: Vec<CallPart>) -> Vec<String> {
        let mut begun = Vec::new();
        for (position, part) in parts.into_iter().enumerate() {
            let index = part.index.unwrap_or(position as u64);
            let id = part.id.unwrap_or_default();
            let open = self.calls.iter().rposition(|call| {
                // One index for several calls, each whole: told apart by their ids.
                call.index == index && (id.is_empty() || call.id.is_empty() || call.id == id)
            });
            let at = open.unwrap_or(self.calls.len());
            if at == self.calls.len() {
                self.calls.push(Call {
                    index,
                    id: String::new(),
                    name: String::new(),
                    arguments: String::new(),
                });
            }
            let call = &mut self.calls[at];
            let function = part.function.unwrap_or_default();
            if call.id.is_empty() {
                call.id = id;
            }
            if call.name.is_empty()
                && let Some(name) = function.name.filter(|name| !name.is_empty())
            {
                begun.push(name.clone());
                call.name = name;
            }
            match function.arguments {
                Some(Value::String(piece)) => call.arguments.push_str(&piece),
                Some(Value::Null) | None => {}
                Some(whole) => call.arguments.push_str(&whole.to_string()),
            }
        }
        begun
    }

    /// Characters of all arguments, for an estimate.
    pub(super) fn characters(&self) -> usize {
        self.calls
            .iter()
            .map(|call| call.name.len() + call.arguments.len())
            .sum()
    }

    /// The calls, whole; those without a name can't be made.
    pub(super) fn take(&mut self) -> Vec<Called> {
        let calls = std::mem::take(&mut self.calls).into_iter();
        calls
            .enumerate()
            .filter(|(_, call)| {
                if call.name.is_empty() {
                    tracing::warn!("the model called a tool without a name");
                }
                !call.name.is_empty()
            })
            .map(|(number, call)| Called {
                id: if call.id.is_empty() {
                    format!("call_{number}")
                } else {
                    call.id
                },
                name: call.name,
                arguments: if call.arguments.trim().is_empty() {
                    "{}".into()
                } else {
                    call.arguments
                },
            })
            .collect()
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_null() {
        None
    } else {
        serde_json::from_value(value).ok()
    })
}

/// A count that may be a float or absent.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value
        .as_u64()
        .or_else(|| value.as_f64().map(|count| count as u64))
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn gather(chunks: &[&str]) -> Vec<(String, String, String)> {
        let mut calls = Calls::default();
        for chunk in chunks {
            calls.add(serde_json::from_str(chunk).unwrap());
        }
        calls
            .take()
            .into_iter()
            .map(|call| (call.id, call.name, call.arguments))
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn pieces_by_index() {
        let calls = gather(&[
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]"#,
            r#"[{"index":0,"function":{"arguments":"{\"x\":"}}]"#,
            r#"[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"1}"}}]"#,
        ]);
        assert_eq!(calls, [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")]);
    }

    #[test]
    fn whole_calls_without_index_or_id() {
        let calls = gather(&[
            r#"[{"id":"","function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"g"}}]"#,
        ]);
        assert_eq!(
            calls,
            [call("call_0", "f", "{\"x\":1}"), call("call_1", "g", "{}")]
        );
    }

    #[test]
    fn one_index_for_two_calls() {
        let calls = gather(&[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]"#,
        ]);
        assert_eq!(calls, [call("a", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn a_repeated_name_is_taken_once_and_a_nameless_call_is_none() {
        let calls = gather(&[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]"#,
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}},{"index":1,"id":"z"}]"#,
        ]);
        assert_eq!(calls, [call("a", "f", "{}")]);
    }

    #[test]
    fn odd_types_count_as_absent() {
        for text in [
            r#"{"choices":[{"delta":{"content":"Hi","role":7},"finish_reason":5}],"service_tier":"on_demand"}"#,
            r#"{"choices":[{"delta":{"content":"Hi","tool_calls":"no","refusal":null}}],"usage":"none","created":null}"#,
        ] {
            let mut chunk: Chunk = serde_json::from_str(text).unwrap();
            assert!(
                chunk.usage().is_none() && chunk.failure().is_none(),
                "{text}"
            );
            let choice = chunk.choices.unwrap().remove(0);
            assert_eq!(choice.finish_reason, None);
            assert_eq!(choice.delta.unwrap().content.as_deref(), Some("Hi"));
        }
    }

    #[test]
    fn usage_of_every_kind() {
        for (text, cached) in [
            (
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8}}}"#,
                8,
            ),
            (
                r#"{"usage":{"prompt_tokens":9.0,"completion_tokens":4,"prompt_cache_hit_tokens":7}}"#,
                7,
            ),
            (
                r#"{"x_groq":{"id":"x","usage":{"prompt_tokens":9,"completion_tokens":4,"queue_time":0.1}}}"#,
                0,
            ),
        ] {
            let usage = serde_json::from_str::<Chunk>(text)
                .unwrap()
                .usage()
                .unwrap();
            assert_eq!(
                (usage.prompt_tokens, usage.completion_tokens, usage.cached()),
                (9, 4, cached),
                "{text}"
            );
        }
    }
}
