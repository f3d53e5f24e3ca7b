//! The system message of a call (R83), and how it changes while the call runs (R144, R147).

use bolo_agent::{Variables, fill};
use serde_json::{Map, Value};

use crate::{CallFacts, Script};

impl Script {
    /// What an event tells: its properties are variables of the next request to the model (R144, R147).
    pub(crate) fn learn(&mut self, name: &str, properties: Map<String, Value>) {
        let context = &mut self.facts.variables.context;
        context.extend(properties);
        context.insert("_last_event".to_owned(), name.into());
        let variables = shown(&self.facts.variables);
        let agent = fill(&self.template, &variables);
        self.prompt = prompt(agent.trim(), &self.facts, &variables, self.use_fillers);
    }
}

/// Without what only the server is to know (R80).
pub(crate) fn shown(variables: &Variables) -> Variables {
    let mut variables = variables.clone();
    for name in ["call_sid", "stream_sid"] {
        variables.recipient.shift_remove(name);
        variables.context.shift_remove(name);
    }
    variables
}

/// The system message (R83): what never changes first, so that vendors can cache it.
pub(crate) fn prompt(
    agent: &str,
    facts: &CallFacts,
    variables: &Variables,
    fillers: bool,
) -> String {
    let mut text = agent.to_owned();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n\n## {title}\n{}", lines.join("\n")));
        }
    };
    if fillers {
        let note = "A short acknowledgement may already have been spoken before your answer. Don't open with another.";
        section("Spoken style", vec![note.to_owned()]);
    }
    let ids = [
        ("agent_id", facts.agent.to_string()),
        ("execution_id", facts.execution.to_string()),
        ("agent_number", facts.agent_number.clone()),
        ("user_number", facts.user_number.clone()),
    ];
    let known = ids.iter().filter(|(_, value)| !value.is_empty());
    section(
        "This call",
        known
            .map(|(name, value)| format!("{name}: {value}"))
            .collect(),
    );
    let of = |name: &str| {
        variables
            .recipient
            .get(name)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty())
    };
    let times = [
        ("Date", "current_date"),
        ("Time at the start of the call", "current_time"),
        ("Time zone", "timezone"),
    ];
    let known = times
        .iter()
        .filter_map(|(title, name)| Some(format!("{title}: {}", of(name)?)));
    section("Date and time", known.collect());
    text.push_str("\n\n## Transcript of the call so far");
    text.trim_start().to_owned()
}
