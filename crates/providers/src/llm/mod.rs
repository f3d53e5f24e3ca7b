//! Language models: the trait, and a module a vendor's wire.

mod answer;
mod anthropic;
mod dialect;
mod failure;
mod fallback;
mod gathered;
mod gemini;
mod hedged;
mod openai;
mod server;
mod sse;
mod thoughts;
mod turns;
mod whole;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bolo_agent::LlmConfig;
use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};

pub(crate) use dialect::{DIALECTS, dialect};
pub use fallback::{Fallback, Gate};
pub(crate) use hedged::{Allowance, Hedged};
pub use server::Limits;
pub(crate) use server::Server;
pub use whole::{Broken, Whole, whole};

use crate::Error;

/// One request to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Model and parameters, as the agent says.
    pub config: LlmConfig,
    /// Overrides `config.temperature`.
    pub temperature: f32,
    /// In order.
    pub messages: Vec<AskMessage>,
    /// Empty = none are sent.
    pub tools: Vec<AskTool>,
    /// Whether it may, must not or must call one; means nothing without tools.
    pub tool_choice: ToolChoice,
    /// JSON mode.
    pub json: bool,
    /// Steers the vendor's prompt cache; the agent's id.
    pub cache_key: String,
    /// Told how often it was sent.
    pub sent: Sent,
}

/// How often a request was sent beyond the first time, without any of them being refused: whoever cuts its answer pays
/// for each. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicU64>);

impl Sent {
    /// Once more.
    pub fn again(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them was refused.
    pub(crate) fn in_vain(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Once at least.
    pub fn times(&self) -> u64 {
        1 + self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        self.times() == other.times()
    }
}

impl Ask {
    pub(crate) fn wants_json(&self) -> bool {
        self.json || self.config.request_json
    }
}

/// A message, shaped as in chat completions.
#[derive(Debug, Clone, PartialEq)]
pub struct AskMessage {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: &'static str,
    /// Text.
    pub content: Option<String>,
    /// Calls of an assistant message: (id, name, arguments).
    pub tool_calls: Vec<(String, String, String)>,
    /// The call that a tool message answers.
    pub tool_call_id: Option<String>,
}

/// A tool offered.
#[derive(Debug, Clone, PartialEq)]
pub struct AskTool {
    /// Its name.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON Schema.
    pub parameters: serde_json::Value,
}

/// Whether the model calls a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// None, although tools are shown (they stand in the history).
    None,
    /// The one of this name.
    Forced(String),
}

/// What a model streams.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Text to speak.
    Text(String),
    /// Thinking aloud; never spoken.
    Reasoning(String),
    /// A tool call begins: its name, long before its arguments are whole (R102).
    Calling(String),
    /// Tool calls, complete, once.
    Calls(Vec<Called>),
    /// Not the model that was asked answers, but this one (a fallback); comes first.
    Model {
        /// Whose it is, as agents name it.
        vendor: String,
        /// Its name.
        model: String,
    },
    /// The end; nothing follows.
    Done {
        /// `stop`, `length`, `tool_calls`, `content_filter`; others come as `stop`.
        finish: &'static str,
        /// Prompt tokens.
        input: u64,
        /// Completion tokens.
        output: u64,
        /// Of the prompt, from the vendor's cache.
        cached: u64,
        /// The vendor sent no usage: counted as characters / 4.
        estimated: bool,
    },
}

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The model's id, or `call_<n>`.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text, unchecked.
    pub arguments: String,
}

/// A vendor that answers. Retries nothing by itself: the call decides (R194). Time limits are its own:
/// 5 s to the first token, 8 s between chunks, 30 s in all.
pub trait Llm: Send + Sync {
    /// `openai`, `ollama`, `demo`, …
    fn name(&self) -> &'static str;

    /// Streams an answer; dropping the stream stops the model. The stream ends after `Done` or an error.
    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>>;

    /// Opens a connection that the next answer will use, by a request that is not billed (R3, R95).
    fn warm(&self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    /// Why it refused this key in the last calls of this process, the last of them within a minute (R196).
    fn refused(&self) -> Option<Error> {
        None
    }
}

#[cfg(test)]
mod tests;
