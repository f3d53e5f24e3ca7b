//! Lines of the raw log (R189). The driver adds provider and model where it knows more.

use bolo_execution::{Component, Entry, EntryKind};
use serde_json::Value;

use crate::{AnswerId, Conversation, Fault, Message, Output, Role, TokenUse};

impl Conversation {
    pub(crate) fn log(&mut self, entry: Entry) {
        self.emit(Output::Log(entry));
    }

    /// A system event with its details.
    pub(crate) fn log_event(&mut self, name: &str, details: &[(&str, Value)]) {
        let entry = Entry::new(Component::System, EntryKind::Event, "", name);
        self.log(
            details
                .iter()
                .fold(entry, |entry, (key, value)| entry.with(key, value.clone())),
        );
    }

    /// What the caller said, answered or not.
    pub(crate) fn log_heard(&mut self, text: &str, ignored: bool) {
        let mut entry = Entry::new(
            Component::Transcriber,
            EntryKind::Response,
            &self.script.names.transcriber,
            text,
        );
        if ignored {
            entry = entry.with("ignored", true);
        }
        self.log(entry);
    }

    /// A request to the model.
    pub(crate) fn log_ask(&mut self, leg: String, purpose: Option<&str>, messages: &[Message]) {
        let mut entry = Entry::new(
            Component::Llm,
            EntryKind::Request,
            &self.script.names.model,
            as_lines(messages),
        )
        .leg(leg);
        if let Some(purpose) = purpose {
            entry = entry.with("purpose", purpose);
        }
        self.log(entry);
    }

    /// What the model answered.
    pub(crate) fn log_answer(
        &mut self,
        answer: AnswerId,
        text: &str,
        thought: &str,
        usage: TokenUse,
    ) {
        let mut entry = Entry::new(
            Component::Llm,
            EntryKind::Response,
            &self.script.names.model,
            text,
        )
        .leg(leg(answer))
        .with("input_tokens", usage.input)
        .with("output_tokens", usage.output)
        .with("cached_tokens", usage.cached)
        .with("estimated", usage.estimated);
        if !thought.is_empty() {
            entry.reasoning_content = Some(thought.to_owned());
        }
        self.log(entry);
    }

    /// What a judge found (R155, R158).
    pub(crate) fn log_verdict(&mut self, id: u32, purpose: &str, yes: bool) {
        let text = if yes { "Yes" } else { "No" };
        let entry = Entry::new(
            Component::Llm,
            EntryKind::Response,
            &self.script.names.model,
            text,
        );
        self.log(entry.leg(format!("judge-{id}")).with("purpose", purpose));
    }

    /// Text for the synthesizer.
    pub(crate) fn log_say(&mut self, answer: AnswerId, text: &str, kind: &str) {
        let name = &self.script.names.synthesizer;
        let entry = Entry::new(Component::Synthesizer, EntryKind::Request, name, text);
        self.log(entry.leg(leg(answer)).with("kind", kind));
    }

    /// Its first audio.
    pub(crate) fn log_sound(&mut self, answer: AnswerId, ms: u64) {
        let name = &self.script.names.synthesizer;
        let entry = Entry::new(Component::Synthesizer, EntryKind::Response, name, "");
        self.log(entry.leg(leg(answer)).with("first_audio_ms", ms));
    }

    /// A part that failed.
    pub(crate) fn log_fault(&mut self, component: Component, fault: &Fault) {
        let name = match component {
            Component::Llm => &self.script.names.model,
            Component::Transcriber => &self.script.names.transcriber,
            Component::Synthesizer => &self.script.names.synthesizer,
            _ => "",
        };
        let kind = serde_json::to_value(fault.kind).unwrap_or_default();
        self.log(
            Entry::new(component, EntryKind::Error, name, fault.message.clone()).with("kind", kind),
        );
    }
}

/// Joins the entries of one utterance.
pub(crate) fn leg(answer: AnswerId) -> String {
    format!("answer-{}", answer.0)
}

/// Messages as text, a line each.
pub(crate) fn as_lines(messages: &[Message]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let calls = message
            .tool_calls
            .iter()
            .map(|call| format!("{}({})", call.name, call.arguments));
        let text: Vec<String> = message.content.iter().cloned().chain(calls).collect();
        lines.push(format!("{role}: {}", text.join(" ")));
    }
    lines.join("\n")
}
