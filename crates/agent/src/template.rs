//! `%(name)s|i|f` templates of tool requests: JSON bodies and addresses. Source: runtime.md R104,
//! agent-config.md §7.

use serde_json::{Map, Value};

use crate::Variables;

/// What names of a template stand for in one call of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Known to the server only, never the model's: `call_sid`, `stream_sid`, `execution_id`. Looked up first.
    pub owned: &'a Map<String, Value>,
    /// Arguments of the model.
    pub arguments: &'a Map<String, Value>,
    /// Variables of the call.
    pub variables: &'a Variables,
}

impl<'a> Values<'a> {
    /// What `name` stands for; `null` counts as nothing.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let first = self
            .owned
            .get(name)
            .or_else(|| self.arguments.get(name))
            .or_else(|| self.variables.get(name));
        first.filter(|value| !value.is_null())
    }
}

/// A JSON document whose values are filled in: `%(name)s` in its text, or `{"$var": "name"}`, which keeps
/// the value's type.
///
/// Within quotes a name stands for text, escaped; alone in its quotes, an object or a list takes their
/// place. Outside of quotes it stands for a JSON value. So no value can break the document: whether it is
/// JSON is known from the start.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonTemplate(String);

/// The template is no JSON, whatever stands for its names; text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be JSON once its names are filled in: {0}")]
pub struct NotJson(String);

impl JsonTemplate {
    /// Takes a template in its text form.
    pub fn new(text: &str) -> Result<Self, NotJson> {
        let template = Self(text.to_owned());
        let none = Map::new();
        let nothing = Values {
            owned: &none,
            arguments: &none,
            variables: &Variables::default(),
        };
        template.fill(nothing).map(|_| template)
    }

    /// Whether it is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.0.trim_start().starts_with('{')
    }

    /// The document with these values.
    pub fn fill(&self, values: Values<'_>) -> Result<Value, NotJson> {
        let text = fill_json(&self.0, values);
        let mut value = serde_json::from_str(&text).map_err(|error| NotJson(error.to_string()))?;
        replace_markers(&mut value, values);
        Ok(value)
    }
}

/// An address with `%(name)s` in it; what stands for a name is percent-encoded, the rest is sent as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(String);

impl UrlTemplate {
    /// `None` unless it begins with `http://` or `https://` and names a host.
    pub fn new(text: &str) -> Option<Self> {
        let sample = each_name(text, |_, _| "x".to_owned());
        let url = url::Url::parse(&sample).ok()?;
        let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
        fits.then(|| Self(text.to_owned()))
    }

    /// The address with these values.
    pub fn fill(&self, values: Values<'_>) -> String {
        each_name(&self.0, |name, _| {
            percent_encoded(&values.get(name).map(plain).unwrap_or_default())
        })
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A value as text: what stands in a query, a form or within quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How a name is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Whole,
    Number,
}

/// A `%(name)s` at the beginning of `text`: its name, its form and its length.
fn name_at(text: &str) -> Option<(&str, Form, usize)> {
    let (name, behind) = text.strip_prefix("%(")?.split_once(')')?;
    let form = match behind.as_bytes().first()? {
        b's' => Form::Text,
        b'i' | b'd' => Form::Whole,
        b'f' => Form::Number,
        _ => return None,
    };
    (!name.is_empty() && !name.contains(['"', '%', '('])).then_some((name, form, name.len() + 4))
}

/// `text` with each name replaced.
fn each_name(text: &str, mut with: impl FnMut(&str, Form) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("%(") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match name_at(rest) {
            Some((name, form, length)) => {
                out.push_str(&with(name, form));
                rest = &rest[length..];
            }
            None => {
                out.push_str("%(");
                rest = &rest[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn fill_json(text: &str, values: Values<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped, mut opened) = (false, false, 0);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some((name, form, length)) = name_at(rest).filter(|_| !escaped) {
            let value = values.get(name);
            rest = &rest[length..];
            let is_alone = quoted && out.len() == opened && rest.starts_with('"');
            match alone(value, form).filter(|_| is_alone) {
                Some(json) => {
                    out.pop();
                    out.push_str(&json);
                    quoted = false;
                    rest = &rest[1..];
                }
                None if quoted => out.push_str(&within_quotes(value, form)),
                None => out.push_str(&outside(value, form)),
            }
            continue;
        }
        // Written twice, as in the engine these templates were made for.
        let step = if rest.starts_with("%%") {
            2
        } else {
            character.len_utf8()
        };
        out.push(character);
        match character {
            '\\' if quoted => escaped = !escaped,
            '"' if !escaped => {
                quoted = !quoted;
                opened = out.len();
            }
            _ => escaped = false,
        }
        rest = &rest[step..];
    }
    out
}

/// What takes the place of a name and the quotes around it.
fn alone(value: Option<&Value>, form: Form) -> Option<String> {
    match value {
        Some(Value::Object(_) | Value::Array(_)) => value.map(Value::to_string),
        _ if form == Form::Text => None,
        _ => number(value, form).is_none().then(|| "null".to_owned()),
    }
}

fn within_quotes(value: Option<&Value>, form: Form) -> String {
    let text = match form {
        Form::Text => value.map(plain).unwrap_or_default(),
        _ => number(value, form).unwrap_or_default(),
    };
    let json = Value::String(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn outside(value: Option<&Value>, form: Form) -> String {
    if form != Form::Text {
        return number(value, form).unwrap_or_else(|| "null".to_owned());
    }
    match value {
        None => "\"\"".to_owned(),
        // Text that is JSON by itself was meant as that.
        Some(Value::String(text)) if serde_json::from_str::<Value>(text).is_ok() => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn number(value: Option<&Value>, form: Form) -> Option<String> {
    let number = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if !number.is_finite() {
        return None;
    }
    Some(match form {
        Form::Whole => format!("{}", number.trunc()),
        _ => format!("{number}"),
    })
}

/// `{"$var": "name"}` becomes the value itself; nothing known of it: null.
fn replace_markers(value: &mut Value, values: Values<'_>) {
    match value {
        Value::Object(members) => {
            if let (1, Some(Value::String(name))) = (members.len(), members.get("$var")) {
                *value = values.get(name).cloned().unwrap_or_default();
                return;
            }
            members
                .values_mut()
                .for_each(|member| replace_markers(member, values));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| replace_markers(item, values)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn with<T>(read: impl FnOnce(Values<'_>) -> T) -> T {
        let owned = map(json!({"call_sid": "CA1"}));
        let arguments = map(json!({
            "id": 17, "ratio": "2.5", "name": "O\"Neil\n& Sons", "tags": ["a", 1], "who": {"age": 3},
            "call_sid": "made up", "gone": null, "paid": true, "word": "abc", "digits": "42",
        }));
        let recipient = map(json!({"city": "Pune", "id": "overruled"}));
        let context = map(json!({"tool": {"lookup": {"ref": 9}}}));
        let variables = Variables { context, recipient };
        read(Values {
            owned: &owned,
            arguments: &arguments,
            variables: &variables,
        })
    }

    fn check(template: &str, expected: Value) {
        let filled = with(|values| JsonTemplate::new(template).unwrap().fill(values).unwrap());
        assert_eq!(filled, expected, "{template}");
    }

    #[test]
    fn values_come_from_the_server_then_the_model_then_the_call() {
        check(
            r#"{"a":"%(call_sid)s","b":"%(id)s","c":"%(city)s","d":"%(tool.lookup.ref)s"}"#,
            json!({"a": "CA1", "b": "17", "c": "Pune", "d": "9"}),
        );
    }

    #[test]
    fn within_quotes_stands_text_outside_json() {
        check(
            r#"{"a":"<%(name)s>","b":%(name)s,"c":%(id)i,"d":%(ratio)f,"e":%(ratio)i,"f":%(paid)s}"#,
            json!({"a": "<O\"Neil\n& Sons>", "b": "O\"Neil\n& Sons", "c": 17, "d": 2.5, "e": 2, "f": true}),
        );
        check(
            r#"{"a":%(word)s,"b":%(digits)s}"#,
            json!({"a": "abc", "b": 42}),
        );
    }

    #[test]
    fn objects_and_lists_are_inserted_as_json() {
        check(
            r#"{"a":%(tags)s,"b":"%(tags)s","c":"%(who)s","d":"x %(tags)s"}"#,
            json!({"a": ["a", 1], "b": ["a", 1], "c": {"age": 3}, "d": "x [\"a\",1]"}),
        );
        check(
            r#"{"a":{"$var":"tags"},"b":[{"$var":"id"}],"c":{"$var":"nobody"}}"#,
            json!({"a": ["a", 1], "b": [17], "c": null}),
        );
    }

    #[test]
    fn what_is_missing_is_empty_text_or_null() {
        check(
            r#"{"a":"%(nobody)s","b":%(gone)s,"c":%(nobody)i,"d":"%(word)f","e":"n%(word)i"}"#,
            json!({"a": "", "b": "", "c": null, "d": null, "e": "n"}),
        );
    }

    #[test]
    fn what_is_no_name_stays() {
        check(
            r#"{"a":"100% of %(x","b":"50%% %()s","c":"\"%(word)s\\"}"#,
            json!({"a": "100% of %(x", "b": "50% %()s", "c": "\"abc\\"}),
        );
        assert!(JsonTemplate::new(r#"{"a": %(b)s,}"#).is_err());
        assert!(JsonTemplate::new("%(b)s").is_ok());
    }

    #[test]
    fn values_in_addresses_are_encoded_and_the_rest_is_not() {
        let fill = |text: &str| with(|values| UrlTemplate::new(text).unwrap().fill(values));
        assert_eq!(
            fill("https://h.example/o/%(name)s?cb=https%3A%2F%2Fx%2F&n=%(id)i"),
            "https://h.example/o/O%22Neil%0A%26%20Sons?cb=https%3A%2F%2Fx%2F&n=17"
        );
        for wrong in ["ftp://h/", "h.example", "%(base)s/x", "https://"] {
            assert!(UrlTemplate::new(wrong).is_none(), "{wrong}");
        }
    }
}
