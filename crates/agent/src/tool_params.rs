//! Fields that params of tools share: method, address, template, headers, webhook. Source: agent-config.md §7.

use indexmap::IndexMap;
use serde_json::Value;

use crate::{JsonTemplate, Method, Secret, ToolWebhook, UrlTemplate, place::Place};

/// Headers that belong to the connection.
const CONNECTION: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];
pub(crate) fn read_webhook(params: &Place<'_>) -> Option<ToolWebhook> {
    let url = params.at("pre_call_webhook_url").url();
    let param = read_param(&params.at("pre_call_webhook_param"));
    url.map(|url| ToolWebhook { url, param })
}

pub(crate) fn read_method(place: &Place<'_>) -> Option<Method> {
    let text = place.some_text()?;
    let known = [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ];
    let found = known
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text));
    if found.is_none() {
        let known = known.map(Method::as_str).join(", ");
        place.fault(format_args!("unknown method {text:?}; one of {known}"));
    }
    found
}

pub(crate) fn read_url(place: &Place<'_>) -> Option<UrlTemplate> {
    let url = UrlTemplate::new(place.required_text()?.trim());
    if url.is_none() {
        place.fault("must be an address that begins with https:// or http://");
    }
    url
}

/// An object, or JSON text with names in it that becomes one.
pub(crate) fn read_param(place: &Place<'_>) -> Option<JsonTemplate> {
    let text = match place.value()? {
        Value::String(text) if text.trim().is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Object(members) if members.is_empty() => return None,
        object @ Value::Object(_) => object.to_string(),
        _ => {
            place.object();
            return None;
        }
    };
    match JsonTemplate::new(&text) {
        Ok(template) if template.is_object() => Some(template),
        Ok(_) => {
            place.fault("must be an object, or JSON text of one");
            None
        }
        Err(error) => {
            place.fault(error);
            None
        }
    }
}

/// `headers` and `api_token`.
pub(crate) fn read_headers(params: &Place<'_>) -> (IndexMap<String, Secret>, Option<Secret>) {
    let secret = |place: &Place<'_>| {
        let text = place.some_text()?;
        if text.chars().any(char::is_control) {
            place.fault("must not hold control characters");
            return None;
        }
        Some(Secret(text.trim().to_owned()))
    };
    let mut headers = IndexMap::new();
    for (name, value) in params.at("headers").members() {
        let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            value.fault("is no name of a header");
        } else if CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
            value.fault("is set by the server");
        } else if let Some(text) = secret(&value) {
            headers.insert(name.to_owned(), text);
        }
    }
    (headers, secret(&params.at("api_token")))
}
