//! The wires that the fake speaks: what a refusal looks like, how a request is read, what a stream says.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Fault, anthropic, chunks::ChatWords, gemini, responses, rules::ToolCall};

/// Whose wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// OpenAI's chat completions (wire-providers.md §3.1).
    Chat,
    /// The same at an Azure deployment.
    Azure,
    /// OpenAI's Responses API, or Azure's.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `streamGenerateContent`.
    Gemini,
}

/// More about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why<'a> {
    /// The status says it all.
    Status,
    /// The account is out of credit: no wait heals it.
    NoCredit,
    /// This field is at fault.
    Field(&'a str),
}

/// What a stream says, event by event, framed for the wire.
pub(super) trait Words: Send {
    fn begin(&mut self) -> String;
    fn token(&mut self, text: &str) -> String;
    /// A tool call, in pieces where the wire has them.
    fn call(&mut self, number: usize, call: &ToolCall) -> Vec<String>;
    /// Why the model stopped, in OpenAI's word, and the bill: tokens of prompt and answer.
    fn finish(&mut self, reason: &str, bill: Option<(usize, usize)>) -> String;
    /// What nothing follows.
    fn end(&mut self) -> Option<String>;
    /// A failure in mid-stream.
    fn failure(&mut self) -> String;
    /// An event of a kind that no client knows yet.
    fn unknown(&mut self) -> String;
}

impl Wire {
    /// The key that a client shows.
    pub fn key(self, headers: &HeaderMap) -> String {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let bearer = || {
            let value = header("authorization");
            value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
        };
        match self {
            Self::Chat => bearer(),
            Self::Azure => header("api-key"),
            // OpenAI's key comes in the one, Azure's in the other.
            Self::Responses => [bearer(), header("api-key")].concat(),
            // Its own clients send it in the one or the other.
            Self::Anthropic => [header("x-api-key"), bearer()].concat(),
            Self::Gemini => header("x-goog-api-key"),
        }
    }

    /// A refusal as the vendor words it.
    pub fn refuse(self, status: u16, message: &str, why: Why<'_>) -> Response {
        let no_credit = why == Why::NoCredit;
        let (status, body) = match self {
            Self::Chat | Self::Azure | Self::Responses => {
                (status, chat_refusal(status, message, why))
            }
            Self::Anthropic => anthropic::refusal(status, message, no_credit),
            Self::Gemini => gemini::refusal(status, message, no_credit),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (status, json, body.to_string()).into_response();
        self.decorate(&mut response);
        response
    }

    /// Headers of every answer.
    pub fn decorate(self, response: &mut Response) {
        let id = format!("req_{:032x}", rand::random::<u128>());
        let headers: &[(&str, &str)] = match self {
            Self::Chat | Self::Azure | Self::Responses => &[
                ("x-request-id", &id),
                ("openai-processing-ms", "1"),
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
                ("x-ratelimit-reset-requests", "6ms"),
            ],
            Self::Anthropic => &[
                ("request-id", &id),
                ("anthropic-ratelimit-requests-limit", "1000"),
                ("anthropic-ratelimit-requests-remaining", "999"),
            ],
            Self::Gemini => &[("server-timing", "gfet4t7; dur=1")],
        };
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(*name), HeaderValue::from_str(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
    }

    /// What the vendor would refuse about a body: the field and why.
    pub fn fault_of(self, body: &Value) -> Option<(&'static str, String)> {
        match self {
            Self::Chat | Self::Azure => chat_fault(self, body),
            Self::Responses => responses::fault_of(body),
            Self::Anthropic => anthropic::fault_of(body).map(|fault| ("", fault)),
            Self::Gemini => gemini::fault_of(body).map(|fault| ("", fault)),
        }
    }

    /// The request in the form of chat completions, for the rules.
    pub fn as_chat(self, body: &Value) -> Value {
        match self {
            Self::Chat | Self::Azure => body.clone(),
            Self::Responses => responses::as_chat(body),
            Self::Anthropic => anthropic::as_chat(body),
            Self::Gemini => gemini::as_chat(body),
        }
    }

    /// What a stream about `body` will say.
    pub fn words(self, body: &Value, fault: Option<&Fault>) -> Box<dyn Words> {
        match self {
            Self::Chat | Self::Azure => Box::new(ChatWords::new(body, fault, self == Self::Azure)),
            Self::Responses => Box::new(responses::Events::new(body)),
            Self::Anthropic => Box::new(anthropic::Events::new(body)),
            Self::Gemini => Box::new(gemini::Events::new(body)),
        }
    }
}

fn chat_refusal(status: u16, message: &str, why: Why<'_>) -> Value {
    let param = match why {
        Why::Field(field) => Some(field),
        Why::Status | Why::NoCredit => None,
    };
    let (kind, code) = match status {
        _ if why == Why::NoCredit => ("insufficient_quota", "insufficient_quota"),
        401 => ("invalid_request_error", "invalid_api_key"),
        404 => ("invalid_request_error", "model_not_found"),
        429 => ("requests", "rate_limit_exceeded"),
        400..500 => ("invalid_request_error", "invalid_value"),
        _ => ("server_error", "server_error"),
    };
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

fn chat_fault(wire: Wire, body: &Value) -> Option<(&'static str, String)> {
    let fault = |field, text: &str| Some((field, text.to_owned()));
    if wire == Wire::Chat && !body["model"].is_string() {
        return fault("model", "you must provide a model parameter");
    }
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return fault("messages", "[] is too short - 'messages'");
    }
    if body["tools"].as_array().is_some_and(Vec::is_empty) {
        return fault("tools", "[] is too short - 'tools'");
    }
    let has_options = body
        .get("stream_options")
        .is_some_and(|options| !options.is_null());
    if has_options && body["stream"] != true {
        return fault(
            "stream_options",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        );
    }
    None
}
