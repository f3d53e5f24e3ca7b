//! Chunks of an answer, read leniently: each server has its own oddities.
//! Source: wire-providers.md §3.2, §3.7.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::super::{
    failure,
    gathered::{Gathered, Piece, Usage as Bill},
    server::Reader,
};
use crate::{Error, ErrorKind, error::Origin};

/// One chunk. A field of a type that we don't expect counts as absent: each vendor has its own oddities.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Chunk {
    #[serde(deserialize_with = "lenient")]
    choices: Option<Vec<Choice>>,
    #[serde(deserialize_with = "lenient")]
    usage: Option<Usage>,
    #[serde(deserialize_with = "lenient")]
    x_groq: Option<XGroq>,
    /// Set when the server failed in mid-stream.
    error: Option<Value>,
    /// `error` where a server puts the failure at the top level.
    #[serde(deserialize_with = "lenient")]
    object: Option<String>,
    message: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    /// `message` in an answer that is not streamed.
    #[serde(alias = "message", deserialize_with = "lenient")]
    delta: Option<Part>,
    #[serde(deserialize_with = "lenient")]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(deserialize_with = "lenient")]
    content: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reasoning_content: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reasoning: Option<String>,
    #[serde(deserialize_with = "lenient")]
    refusal: Option<String>,
    #[serde(deserialize_with = "lenient")]
    tool_calls: Option<Vec<CallPart>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CallPart {
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
struct Usage {
    #[serde(deserialize_with = "count")]
    prompt_tokens: u64,
    #[serde(deserialize_with = "count")]
    completion_tokens: u64,
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
    fn usage(&mut self) -> Option<Bill> {
        let usage = self.usage.take();
        let usage = usage.or_else(|| self.x_groq.take()?.usage)?;
        Some(Bill {
            input: usage.prompt_tokens,
            output: usage.completion_tokens,
            cached: match usage.prompt_tokens_details {
                Some(details) => details.cached_tokens,
                None => usage.prompt_cache_hit_tokens,
            },
        })
    }

    /// The server's words for a failure in mid-stream.
    fn failure(&mut self) -> Option<Value> {
        let error = self.error.take().filter(|error| !error.is_null());
        error.or_else(|| {
            (self.object.as_deref() == Some("error"))
                .then(|| self.message.take().unwrap_or_default())
        })
    }
}

impl Part {
    /// Pieces of tool calls.
    fn calls(&mut self) -> Vec<Piece> {
        let parts = self.tool_calls.take().into_iter().flatten();
        parts
            .enumerate()
            .map(|(position, part)| part.piece(position))
            .collect()
    }

    fn reasoning(&mut self) -> Option<String> {
        let text = self
            .reasoning_content
            .take()
            .or_else(|| self.reasoning.take());
        text.filter(|text| !text.is_empty())
    }
}

impl CallPart {
    /// `position` stands in for an index that some servers leave out.
    fn piece(self, position: usize) -> Piece {
        let function = self.function.unwrap_or_default();
        Piece {
            index: self.index.unwrap_or(position as u64),
            id: self.id.unwrap_or_default(),
            name: function.name.unwrap_or_default(),
            arguments: match function.arguments {
                Some(Value::String(piece)) => piece,
                Some(Value::Null) | None => String::new(),
                Some(whole) => whole.to_string(),
            },
        }
    }
}

/// Reads the chunks of one answer.
pub(super) struct Chunks {
    pub(super) origin: Origin,
}

impl Reader for Chunks {
    fn event(&mut self, event: &RawValue, gathered: &mut Gathered) -> Result<bool, Error> {
        let Some(mut chunk) = read::<Chunk>(event) else {
            return Ok(true); // no object
        };
        if let Some(error) = chunk.failure() {
            return Err(failure::in_stream(self.origin, &error));
        }
        if let Some(usage) = chunk.usage() {
            gathered.usage(usage);
        }
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            self.choice(choice, gathered)?;
        }
        Ok(true)
    }
}

impl Chunks {
    fn choice(&self, choice: Choice, gathered: &mut Gathered) -> Result<(), Error> {
        if let Some(mut part) = choice.delta {
            if part.refusal.as_ref().is_some_and(|words| !words.is_empty()) {
                return Err(self
                    .origin
                    .fault(ErrorKind::Content, "the model refused to answer"));
            }
            gathered.thought(part.reasoning().unwrap_or_default());
            gathered.text(part.content.take().unwrap_or_default());
            for piece in part.calls() {
                gathered.call(piece);
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            gathered.finish(match reason.as_str() {
                "length" => "length",
                "tool_calls" | "function_call" => "tool_calls",
                "content_filter" => "content_filter",
                "stop" => "stop",
                other => {
                    let vendor = self.origin.vendor;
                    tracing::info!(vendor, reason = other, "unknown finish reason");
                    "stop"
                }
            });
        }
        Ok(())
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(read::<Option<T>>(<&RawValue>::deserialize(deserializer)?).flatten())
}

/// Straight from the text; of a field told twice, for which that is too strict, the last counts.
fn read<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    let once = || Some(serde_json::from_str::<Value>(json.get()).ok()?.to_string());
    let straight = serde_json::from_str(json.get()).ok();
    straight.or_else(|| serde_json::from_str(&once()?).ok())
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

    #[test]
    fn whole_calls_without_index_or_id() {
        let text = r#"{"tool_calls":[{"id":"","function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"g"}}]}"#;
        let mut part: Part = serde_json::from_str(text).unwrap();
        let pieces = part.calls();
        let told: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.index, &*piece.id, &*piece.name, &*piece.arguments))
            .collect();
        assert_eq!(told, [(0, "", "f", "{\"x\":1}"), (1, "", "g", "")]);
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
    fn of_a_field_told_twice_the_last_counts() {
        let text = r#"{"id":"a","id":"b","choices":[{"delta":{"content":null,"content":"Hi"}}],"usage":null,"usage":{"prompt_tokens":9}}"#;
        let mut chunk: Chunk = read(&RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        assert_eq!(chunk.usage().unwrap().input, 9);
        let choice = chunk.choices.unwrap().remove(0);
        assert_eq!(choice.delta.unwrap().content.as_deref(), Some("Hi"));
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
            let expected = Bill {
                input: 9,
                output: 4,
                cached,
            };
            assert_eq!(usage, expected, "{text}");
        }
    }
}
