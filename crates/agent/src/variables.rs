//! `{variables}` of prompts and lines. Source: runtime.md R79, R80.

use serde_json::{Map, Value};

/// What `{name}` can stand for in one call.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Variables {
    /// Looked up first: event properties, tool results.
    pub context: Map<String, Value>,
    /// `user_data` and the system's own (agent_id, current_date, …), which win over `user_data`.
    pub recipient: Map<String, Value>,
}

impl Variables {
    /// What a name or a dot path stands for.
    pub fn get(&self, name: &str) -> Option<&Value> {
        find(&self.context, name).or_else(|| find(&self.recipient, name))
    }
}

/// A key that is spelt like the whole name wins over a path of keys.
fn find<'v>(values: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    let by_path = || {
        let mut keys = name.split('.');
        let first = values.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    };
    values.get(name).or_else(by_path)
}

/// Replaces `{name}` where name matches `[A-Za-z_][A-Za-z0-9_.]*` (dot path); missing → "". Every other
/// brace stays as it is, and what was filled in is not looked at again.
pub fn fill(text: &str, variables: &Variables) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        filled.push_str(before);
        let after = &from_brace[1..];
        match after.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, behind)) => {
                push(&mut filled, variables.get(name));
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn is_name(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_start)
        && text
            .chars()
            .all(|c| is_start(c) || c.is_ascii_digit() || c == '.')
}

fn push(filled: &mut String, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => filled.push_str(text),
        Some(other) => filled.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &str) {
        let variables = Variables {
            context: json!({"order": {"id": 17, "paid": true}, "name": "Asha", "none": null})
                .as_object()
                .unwrap()
                .clone(),
            recipient: json!({"name": "overruled", "city": "Pune", "a.b": "dotted", "tags": ["x", 1], "brace": "{city}"})
                .as_object()
                .unwrap()
                .clone(),
        };
        assert_eq!(fill(text, &variables), expected);
    }

    #[test]
    fn names_are_replaced_context_first() {
        check("Hi {name} of {city}!", "Hi Asha of Pune!");
        check("{order.id}/{order.paid}/{a.b}", "17/true/dotted");
        check("{tags}", r#"["x",1]"#);
    }

    #[test]
    fn missing_names_are_empty() {
        check(
            "[{nobody}][{order.nothing}][{name.more}][{none}]",
            "[][][][]",
        );
    }

    #[test]
    fn stray_braces_stay() {
        check(
            r#"Answer as {"id": {order.id}} {}"#,
            r#"Answer as {"id": 17} {}"#,
        );
        check(
            "{{name}} { name } {1st} {open",
            "{Asha} { name } {1st} {open",
        );
        check("{é} }{", "{é} }{");
    }

    #[test]
    fn filled_text_is_not_filled_again() {
        check("{brace}", "{city}");
    }
}
