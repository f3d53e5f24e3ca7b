//! Replies by rules over the last user message.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::{
    Error,
    caller::{find, plain},
};

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// JSON text; may be broken on purpose.
    pub arguments: String,
}

/// Text, then tool calls; either may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// What is said. In the reply of a pattern, `$0`, `$1`, … stand for what the pattern caught.
    pub text: String,
    /// What is called after it.
    pub calls: Vec<ToolCall>,
}

impl Reply {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            calls: Vec::new(),
        }
    }

    /// A tool call alone; `arguments` is JSON text.
    pub fn call(name: &str, arguments: &str) -> Self {
        Self::default().then_call(name, arguments)
    }

    /// The same answer, calling a tool after its text and its other calls.
    pub fn then_call(mut self, name: &str, arguments: &str) -> Self {
        self.calls.push(ToolCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        });
        self
    }
}

#[derive(Debug)]
enum When {
    Words(Vec<String>),
    Pattern(Regex),
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<(When, Reply)>,
    results: Vec<(Vec<String>, Reply)>,
}

impl Rules {
    pub fn add(&mut self, words: &str, reply: Reply) {
        self.rules.push((When::Words(plain([words])), reply));
    }

    pub fn add_pattern(&mut self, pattern: &str, reply: Reply) -> Result<(), Error> {
        let regex = RegexBuilder::new(pattern).case_insensitive(true).build();
        let regex = regex.map_err(|fault| Error::Script {
            field: format!("rule `{pattern}`"),
            message: fault.to_string(),
        })?;
        self.rules.push((When::Pattern(regex), reply));
        Ok(())
    }

    pub fn add_result(&mut self, words: &str, reply: Reply) {
        self.results.push((plain([words]), reply));
    }

    /// The reply to a request: to the results of tools if it ends with some, else to the last user message.
    pub fn answer(&self, body: &Value, user: &str) -> Reply {
        match results(body) {
            Some(results) => self.reply_to_results(&results),
            None => self.reply(user),
        }
    }

    /// The reply of the latest rule that fits; else the results themselves.
    fn reply_to_results(&self, results: &str) -> Reply {
        let words = plain([results]);
        let mut rules = self.results.iter().rev();
        match rules.find(|(sought, _)| find(&words, 0, sought).is_some()) {
            Some((_, reply)) => reply.clone(),
            None => Reply::text(results),
        }
    }

    /// The reply of the latest rule that fits; else the text itself.
    pub fn reply(&self, user: &str) -> Reply {
        let words = plain([user]);
        for (when, reply) in self.rules.iter().rev() {
            match when {
                When::Words(sought) => {
                    if find(&words, 0, sought).is_some() {
                        return reply.clone();
                    }
                }
                When::Pattern(regex) => {
                    if let Some(caught) = regex.captures(user) {
                        let mut text = String::new();
                        caught.expand(&reply.text, &mut text);
                        return Reply {
                            text,
                            calls: reply.calls.clone(),
                        };
                    }
                }
            }
        }
        Reply::text(user)
    }
}

/// Text of a message: a string, or the text parts of an array.
pub(super) fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Texts of the tool messages that a request ends with.
fn results(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    let behind = messages
        .iter()
        .rposition(|message| message["role"] != "tool")?;
    let texts: Vec<String> = messages[behind + 1..].iter().map(content).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Text of the last message of a request that the user wrote; results of tools may stand under his name.
pub(super) fn last_user(body: &Value) -> String {
    let messages = body["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let user = messages
        .iter()
        .rev()
        .filter(|message| message["role"] == "user")
        .map(content)
        .find(|text| !text.is_empty());
    user.unwrap_or_default()
}
