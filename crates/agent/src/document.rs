//! The agent document as a whole.

use serde_json::Value;

use crate::{ConversationTask, Fault, Faults};

/// A document that was checked; runs as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// `agent_name`.
    pub name: String,
    /// `agent_welcome_message`; `None` = the agent waits for the caller.
    pub welcome: Option<String>,
    /// `webhook_url`.
    pub webhook_url: Option<url::Url>,
    /// `webhook_statuses`: which statuses are sent; `None` = all.
    pub webhook_statuses: Option<Vec<String>>,
    /// `agent_type`; default `other`.
    pub agent_type: String,
    /// Calling hours of the recipient.
    pub guardrails: Option<Guardrails>,
    /// `telephony_provider`, else the conversation task's `input.provider`, when it names a carrier.
    pub telephony_provider: Option<String>,
    /// The first conversation task.
    pub conversation: ConversationTask,
}

/// `calling_guardrails`: hours of the recipient's day, `[start, end)`; equal = always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guardrails {
    /// 0..=23.
    pub start_hour: u8,
    /// 0..=23, not before `start_hour`.
    pub end_hour: u8,
}

impl Agent {
    /// Reads a body `{agent_config, agent_prompts}` of API v1 or v2. The caller keeps `body`: it is
    /// stored and returned verbatim. Faults name paths from the body's root without `agent_config.`
    /// for tasks (`tasks[0].tools_config.…`), all at once.
    pub fn parse(body: &Value) -> Result<Self, Faults> {
        let _ = body;
        Err(Faults(vec![Fault { path: String::new(), message: "not written yet".into() }]))
    }

    /// What will work but surely not as meant (R152 and the like), for the log at save.
    pub fn warnings(&self) -> Vec<Fault> {
        Vec::new()
    }
}
