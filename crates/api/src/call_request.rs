//! The body of `POST /call`, checked field by field: every fault is reported at once. Source: api.md §7.

use bolo_execution::{AgentId, E164};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    error::{ApiError, FieldError},
    time,
    values::{Time, whole},
};

/// A checked body.
#[derive(Debug)]
pub struct CallRequest {
    pub agent: AgentId,
    pub to: E164,
    pub from: Option<E164>,
    /// Epoch ms.
    pub scheduled_at: Option<i64>,
    pub user_data: Map<String, Value>,
    pub voice_id: Option<String>,
    /// As sent.
    pub retry_config: Option<Value>,
    pub bypass_guardrails: bool,
}

/// The body as documented.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct CallBody {
    /// The agent that calls.
    agent_id: uuid::Uuid,
    /// E.164.
    #[schema(pattern = r"^\+[1-9]\d{1,14}$", example = "+10123456789")]
    recipient_phone_number: String,
    /// E.164; default: the account's number at the carrier.
    #[schema(pattern = r"^\+[1-9]\d{1,14}$", example = "+19876543007")]
    from_phone_number: Option<String>,
    /// A time in the past means now.
    scheduled_at: Option<Time>,
    /// Variables of prompts and lines.
    #[schema(value_type = Option<Object>, example = json!({"variable1": "value1"}))]
    user_data: Option<Map<String, Value>>,
    agent_data: Option<AgentData>,
    retry_config: Option<RetryConfig>,
    /// Call outside the agent's calling hours too.
    #[schema(default = false)]
    bypass_call_guardrails: Option<bool>,
}

/// What one call changes of its agent.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct AgentData {
    /// Another voice of the same synthesizer.
    #[schema(pattern = r"\S")]
    voice_id: Option<String>,
}

/// When to try again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct RetryConfig {
    #[schema(default = false)]
    enabled: Option<bool>,
    #[schema(minimum = 1, maximum = 3, default = 3)]
    max_retries: Option<u8>,
    #[schema(default = json!(["no-answer", "busy", "failed"]))]
    retry_on_statuses: Option<Vec<RetryStatus>>,
    #[schema(default = false)]
    retry_on_voicemail: Option<bool>,
    /// The last value repeats.
    #[schema(default = json!([30, 60, 120]), min_items = 1)]
    retry_intervals_minutes: Option<Vec<Minutes>>,
}

/// A status that a call is tried again after.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "read by the derive only")]
enum RetryStatus {
    NoAnswer,
    Busy,
    Failed,
    Error,
}

#[derive(ToSchema)]
#[schema(minimum = 1)]
#[allow(dead_code, reason = "read by the derive only")]
struct Minutes(u32);

const RETRY_STATUSES: [&str; 4] = ["no-answer", "busy", "failed", "error"];
/// Longest pause before another try.
const MINUTES: u64 = u32::MAX as u64;

/// Reads a body; every fault at once.
pub fn read(body: &Value) -> Result<CallRequest, ApiError> {
    let Some(fields) = body.as_object() else {
        return Err(ApiError::field("", "the body must be a JSON object"));
    };
    let mut faults = Faults::default();
    let agent = faults.required(fields, "agent_id", |value| {
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or("must be an agent's id (a uuid)".into())
    });
    let to = faults.required(fields, "recipient_phone_number", phone);
    let call = CallRequest {
        agent: agent.unwrap_or_default(),
        from: faults.optional(fields, "from_phone_number", phone),
        scheduled_at: faults.optional(fields, "scheduled_at", |value| {
            let at = value.as_str().and_then(time::parse).map(|(at, _)| at);
            at.ok_or("must be an ISO 8601 time, such as 2025-08-21T10:35:00+05:30".into())
        }),
        user_data: faults
            .optional(fields, "user_data", object)
            .unwrap_or_default(),
        voice_id: faults
            .optional(fields, "agent_data", object)
            .and_then(|data| faults.agent_data(&data)),
        retry_config: faults
            .optional(fields, "retry_config", retries)
            .map(|config| {
                faults.retry_config(&config);
                Value::Object(config)
            }),
        bypass_guardrails: faults
            .optional(fields, "bypass_call_guardrails", boolean)
            .unwrap_or_default(),
        to: match to {
            Some(to) => to,
            None => return Err(ApiError::Invalid(faults.0)),
        },
    };
    if faults.0.is_empty() {
        Ok(call)
    } else {
        Err(ApiError::Invalid(faults.0))
    }
}

/// Reads a `retry_config` that came as text; an empty one is none.
pub fn retry_config(text: &str) -> Result<Option<Value>, ApiError> {
    const NAME: &str = "retry_config";
    if text.trim().is_empty() {
        return Ok(None);
    }
    let config: Value = serde_json::from_str(text)
        .map_err(|error| ApiError::field(NAME, format!("malformed JSON: {error}")))?;
    let mut faults = Faults::default();
    let fields = Map::from_iter([(NAME.to_owned(), config)]);
    let config = faults.optional(&fields, NAME, retries);
    if let Some(config) = &config {
        faults.retry_config(config);
    }
    if faults.0.is_empty() {
        Ok(config.map(Value::Object))
    } else {
        Err(ApiError::Invalid(faults.0))
    }
}

type Read<T> = Result<T, String>;

fn phone(value: &Value) -> Read<E164> {
    let text = value.as_str().ok_or("must be a string")?;
    text.parse()
        .map_err(|error: bolo_execution::NotE164| error.to_string())
}

fn object(value: &Value) -> Read<Map<String, Value>> {
    value
        .as_object()
        .cloned()
        .ok_or_else(|| "must be an object".to_owned())
}

/// An object in which `2.0` has become 2.
fn retries(value: &Value) -> Read<Map<String, Value>> {
    fn settle(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(settle),
            Value::Number(number) => {
                if let Some(number) = whole(number) {
                    *value = number.into();
                }
            }
            _ => {}
        }
    }
    let mut config = object(value)?;
    config.values_mut().for_each(settle);
    Ok(config)
}

fn boolean(value: &Value) -> Read<bool> {
    value
        .as_bool()
        .ok_or_else(|| "must be true or false".to_owned())
}

/// The faults found so far, in the order of the documented fields.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn required<T>(
        &mut self,
        from: &Map<String, Value>,
        name: &str,
        read: impl Fn(&Value) -> Read<T>,
    ) -> Option<T> {
        if from.get(name).is_none_or(Value::is_null) {
            self.0.push(FieldError::new(name, "field required"));
            return None;
        }
        self.optional(from, name, read)
    }

    /// `null` counts as absent. `name` may be a path; its last key is looked up.
    fn optional<T>(
        &mut self,
        from: &Map<String, Value>,
        name: &str,
        read: impl Fn(&Value) -> Read<T>,
    ) -> Option<T> {
        let key = name.rsplit('.').next().unwrap_or(name);
        let value = from.get(key).filter(|value| !value.is_null())?;
        read(value)
            .map_err(|msg| self.0.push(FieldError::new(name, msg)))
            .ok()
    }

    /// The keys of an object that are none of these.
    fn unknown(&mut self, from: &Map<String, Value>, at: &str, known: &[&str]) {
        for key in from.keys().filter(|key| !known.contains(&key.as_str())) {
            let msg = format!("unknown field; known are {}", known.join(", "));
            self.0.push(FieldError::new(&format!("{at}.{key}"), msg));
        }
    }

    fn agent_data(&mut self, data: &Map<String, Value>) -> Option<String> {
        self.unknown(data, "agent_data", &["voice_id"]);
        self.optional(data, "agent_data.voice_id", |value| match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err("must be a voice's id (a string)".to_owned()),
        })
    }

    fn retry_config(&mut self, config: &Map<String, Value>) {
        const AT: &str = "retry_config";
        let known = [
            "enabled",
            "max_retries",
            "retry_on_statuses",
            "retry_on_voicemail",
            "retry_intervals_minutes",
        ];
        self.unknown(config, AT, &known);
        self.optional(config, "retry_config.enabled", boolean);
        self.optional(config, "retry_config.retry_on_voicemail", boolean);
        self.optional(config, "retry_config.max_retries", |value| {
            match value.as_u64() {
                Some(1..=3) => Ok(()),
                _ => Err("must be a whole number from 1 to 3".to_owned()),
            }
        });
        self.optional(config, "retry_config.retry_on_statuses", |value| {
            let fault = || format!("must be a list of {}", RETRY_STATUSES.join(", "));
            let words = value.as_array().ok_or_else(fault)?;
            let fits = |word: &Value| {
                word.as_str()
                    .is_some_and(|word| RETRY_STATUSES.contains(&word))
            };
            if words.iter().all(fits) {
                Ok(())
            } else {
                Err(fault())
            }
        });
        self.optional(config, "retry_config.retry_intervals_minutes", |value| {
            let fault = "must be a list of at least one whole number from 1 (minutes)";
            let minutes = value.as_array().ok_or(fault)?;
            let fits = minutes.iter().all(|minute| {
                minute
                    .as_u64()
                    .is_some_and(|minute| (1..=MINUTES).contains(&minute))
            });
            if fits && !minutes.is_empty() {
                Ok(())
            } else {
                Err(fault.to_owned())
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    fn faults_of(change: Value) -> String {
        let mut body = json!({
            "agent_id": "123e4567-e89b-12d3-a456-426655440000",
            "recipient_phone_number": "+10123456789",
        });
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        read(&body)
            .map(|_| String::new())
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_documented_body_is_taken() {
        let call = read(&json!({
            "agent_id": "123e4567-e89b-12d3-a456-426655440000",
            "recipient_phone_number": "+10123456789",
            "from_phone_number": "+19876543007",
            "scheduled_at": "2025-08-21T10:35:00",
            "user_data": {"variable1": "value1", "variable2": "value2"},
            "retry_config": {"enabled": true, "max_retries": 2.0, "retry_intervals_minutes": [5]},
            "agent_data": {"voice_id": "v"},
            "something_else": 1,
        }))
        .unwrap();
        assert_eq!(call.to.as_str(), "+10123456789");
        assert_eq!(call.scheduled_at, Some(1_755_772_500_000));
        assert_eq!(call.user_data["variable2"], "value2");
        assert_eq!(call.voice_id.as_deref(), Some("v"));
        assert_eq!(call.retry_config.unwrap()["max_retries"], 2);
        assert!(!call.bypass_guardrails);
    }

    #[test]
    fn null_is_absent() {
        assert_eq!(
            faults_of(
                json!({"from_phone_number": null, "scheduled_at": null, "user_data": null, "agent_data": null,
                "retry_config": null, "bypass_call_guardrails": null})
            ),
            ""
        );
    }

    #[test]
    fn each_fault_names_its_field() {
        for (change, field) in [
            (json!({"agent_id": null}), "agent_id: field required"),
            (json!({"agent_id": 7}), "agent_id: must be"),
            (json!({"agent_id": "not-a-uuid"}), "agent_id: must be"),
            (
                json!({"recipient_phone_number": null}),
                "recipient_phone_number: field required",
            ),
            (
                json!({"recipient_phone_number": "0123"}),
                "recipient_phone_number: must be",
            ),
            (
                json!({"recipient_phone_number": "+0123456"}),
                "recipient_phone_number: must be",
            ),
            (
                json!({"recipient_phone_number": "+1234567890123456"}),
                "recipient_phone_number: must be",
            ),
            (
                json!({"recipient_phone_number": 14155550100_u64}),
                "recipient_phone_number: must be a string",
            ),
            (
                json!({"from_phone_number": "+1 415"}),
                "from_phone_number: must be",
            ),
            (json!({"scheduled_at": "tomorrow"}), "scheduled_at: must be"),
            (json!({"scheduled_at": 1}), "scheduled_at: must be"),
            (json!({"user_data": []}), "user_data: must be an object"),
            (json!({"agent_data": "v"}), "agent_data: must be an object"),
            (
                json!({"agent_data": {"voice_id": 1}}),
                "agent_data.voice_id: must be",
            ),
            (
                json!({"agent_data": {"llm": "x"}}),
                "agent_data.llm: unknown field",
            ),
            (
                json!({"retry_config": true}),
                "retry_config: must be an object",
            ),
            (
                json!({"retry_config": {"enabled": 1}}),
                "retry_config.enabled: must be",
            ),
            (
                json!({"retry_config": {"max_retries": 0}}),
                "retry_config.max_retries: must be",
            ),
            (
                json!({"retry_config": {"max_retries": 4}}),
                "retry_config.max_retries: must be",
            ),
            (
                json!({"retry_config": {"retry_on_statuses": ["completed"]}}),
                "retry_config.retry_on_statuses: must",
            ),
            (
                json!({"retry_config": {"retry_on_voicemail": "no"}}),
                "retry_config.retry_on_voicemail: must be",
            ),
            (
                json!({"retry_config": {"retry_intervals_minutes": []}}),
                "retry_config.retry_intervals_minutes: must",
            ),
            (
                json!({"retry_config": {"retry_intervals_minutes": [0]}}),
                "retry_config.retry_intervals_minutes: must",
            ),
            (
                json!({"retry_config": {"tries": 1}}),
                "retry_config.tries: unknown field",
            ),
            (
                json!({"bypass_call_guardrails": "yes"}),
                "bypass_call_guardrails: must be",
            ),
        ] {
            let message = faults_of(change.clone());
            assert!(message.starts_with(field), "{change} answers {message:?}");
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let message = read(&json!({"user_data": 1})).unwrap_err().to_string();
        for field in ["agent_id", "recipient_phone_number", "user_data"] {
            assert!(message.contains(field), "{message}");
        }
        assert!(read(&json!([])).is_err());
    }
}
