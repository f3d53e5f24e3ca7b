//! `tools_config.api_tools`: what the model may call besides the built-in tools. Source: agent-config.md §7,
//! runtime.md R98, R104-R108, R113, R118.

use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    JsonTemplate, LocalText, UrlTemplate,
    place::Place,
    tool_params::{read_headers, read_method, read_param, read_url, read_webhook},
};

/// R204.
const MOST: usize = 64;
/// The argument of a warm transfer.
pub const SUMMARY: &str = "summary";
/// The runtime's own.
const RESERVED: [&str; 2] = ["end_call", "switch_language"];
/// Where bookings go that name no address.
const CAL_SLOTS: (&str, &str) = ("https://api.cal.com/v2/slots", "2024-09-04");
const CAL_BOOKINGS: (&str, &str) = ("https://api.cal.com/v2/bookings", "2024-08-13");

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Unique, as models take it: letters, digits, `_`, `-`; at most 64.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Map<String, Value>,
    /// Said while it runs.
    pub pre_call_message: Option<LocalText>,
    /// Told before it runs (R108).
    pub webhook: Option<ToolWebhook>,
    /// The model is asked again with the result (R111). Default true.
    pub speak_result: bool,
    /// Limit of its request. Default 10 s, at most 30 s.
    pub timeout_ms: u64,
    /// What it does.
    pub action: ToolAction,
}

/// What a tool does.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolAction {
    /// Asks an HTTP server; its answer goes to the model.
    Request(Request),
    /// Hands the caller to somebody else (R113).
    Transfer(Transfer),
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Default POST.
    pub method: Method,
    /// Where to.
    pub url: UrlTemplate,
    /// GET: the query; else the body.
    pub param: Option<JsonTemplate>,
    /// Sent as given.
    pub headers: IndexMap<String, Secret>,
    /// Sent verbatim as `Authorization`.
    pub api_token: Option<Secret>,
    /// What the answer tells.
    pub answers: Answers,
}

/// What the answer of a request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Something for the model to read.
    Anything,
    /// Free slots of a calendar; none is told in words (R118).
    Slots,
}

/// A hand-over.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Its member `call_transfer_number` says to whom.
    pub param: JsonTemplate,
    /// A controller of the customer's that is told and acts; `None` = the carrier of the call does it.
    pub controller: Option<Controller>,
    /// Who is called hears first what it is about, and may decline (R115).
    pub warm: bool,
}

/// A customer's own controller of transfers.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    /// Where to POST.
    pub url: UrlTemplate,
    /// Sent as given.
    pub headers: IndexMap<String, Secret>,
    /// Sent verbatim as `Authorization`.
    pub api_token: Option<Secret>,
}

/// `pre_call_webhook_url` and its body (R108).
#[derive(Debug, Clone, PartialEq)]
pub struct ToolWebhook {
    /// Where to POST.
    pub url: Url,
    /// Its body, before the ids of the call are added; an object.
    pub param: Option<JsonTemplate>,
}

/// Methods of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl Secret {
    /// The text itself, to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which keys do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Custom,
    Transfer,
    Slots,
    Booking,
}

const KEYS: [&str; 6] = [
    "custom_task",
    "transfer_call",
    "book_appointment",
    "check_availability_of_slots",
    "calendar_slot_availability",
    "calendar_book",
];

/// Reads `api_tools`: `{tools: [..] | JSON text, tools_params: {<name>: params}}`.
pub(crate) fn read(place: &Place<'_>) -> Vec<Tool> {
    if place.is_present() {
        place.object();
    }
    let (tools, params) = (place.at("tools"), place.at("tools_params"));
    if params.is_present() {
        params.object();
    }
    let Some(text) = tools.value().and_then(Value::as_str) else {
        return read_list(&tools, &params);
    };
    match serde_json::from_str::<Value>(if text.trim().is_empty() { "null" } else { text }) {
        Ok(list) => read_list(&tools.holding(&list), &params),
        Err(error) => {
            tools.fault(format_args!("must be a list, or JSON text of one: {error}"));
            Vec::new()
        }
    }
}

fn read_list(tools: &Place<'_>, params: &Place<'_>) -> Vec<Tool> {
    let items = tools.items().unwrap_or_default();
    if items.len() > MOST {
        tools.fault(format_args!(
            "must hold {MOST} tools at most, not {}",
            items.len()
        ));
        return Vec::new();
    }
    let mut read: Vec<Tool> = Vec::new();
    for item in items {
        if let Some(tool) = Tool::read(&item, params) {
            if read.iter().any(|other| other.name == tool.name) {
                item.fault(format_args!("another tool is called {:?}", tool.name));
            }
            read.push(tool);
        }
    }
    read
}

impl Tool {
    /// The caller may go on with somebody else.
    pub fn is_transfer(&self) -> bool {
        matches!(&self.action, ToolAction::Transfer(_))
    }

    /// Whoever is called hears first what it is about (R115).
    pub fn is_warm_transfer(&self) -> bool {
        matches!(&self.action, ToolAction::Transfer(transfer) if transfer.warm)
    }

    /// Flat, or nested as vendors write it: `{type: "function", function: {…}}`.
    fn read(place: &Place<'_>, all_params: &Place<'_>) -> Option<Self> {
        place.clone().required()?.object()?;
        place.at("type").word(&["function"]);
        let nested = place.at("function");
        let function = if nested.is_present() {
            nested
        } else {
            place.clone()
        };
        function.object()?;
        function.at("strict").flag(true);
        let name = function.at("name");
        let name = name.required_text().filter(|text| named_well(&name, text));
        let kind = read_key(&function.at("key").or(place.at("key")));
        let description = function.at("description").required_text();
        let parameters = read_parameters(&function.at("parameters"), kind);
        // Without a name nobody can tell which params are its.
        let name = name?.to_owned();
        let inline = place.at("value").or(function.at("value"));
        let params = all_params.at(&name).or(inline);
        if !params.is_present() {
            all_params
                .at(&name)
                .fault("is required: where the tool's request goes");
            return None;
        }
        params.object()?;
        params.at("scope").choice("scope", &["global"], &["node"]);
        let line = |place: &Place<'_>| place.at("pre_call_message").local_text();
        let line = line(&params)
            .or_else(|| line(&function))
            .or_else(|| line(place));
        let webhook = read_webhook(&params);
        let timeout = params.at("timeout_s").or(place.at("timeout_s"));
        let timeout_ms = timeout
            .number(1.0..=30.0)
            .map(|s| (s * 1000.0).round() as u64);
        let speaks = params
            .at("speak_result")
            .or(place.at("speak_result"))
            .flag(true);
        let action = match kind {
            Key::Transfer => ToolAction::Transfer(Transfer::read(&params)?),
            _ => ToolAction::Request(Request::read(&params, kind)?),
        };
        let mut tool = Self {
            name,
            description: description?.to_owned(),
            parameters: parameters?,
            pre_call_message: line,
            webhook,
            speak_result: speaks,
            timeout_ms: timeout_ms.unwrap_or(10_000),
            action,
        };
        if tool.is_warm_transfer() {
            ask_for_summary(&mut tool.parameters);
        }
        Some(tool)
    }
}

pub(crate) fn named_well(place: &Place<'_>, name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > 64 || !name.chars().all(fits) {
        place.fault("must be at most 64 letters, digits, _ or -");
    } else if RESERVED.contains(&name) {
        place.fault(format_args!("{name:?} is a tool of the server's own"));
    } else {
        return true;
    }
    false
}

fn read_key(place: &Place<'_>) -> Key {
    match place.word(&KEYS) {
        Some("transfer_call") => Key::Transfer,
        Some("check_availability_of_slots" | "calendar_slot_availability") => Key::Slots,
        Some("book_appointment" | "calendar_book") => Key::Booking,
        _ => Key::Custom,
    }
}

/// A JSON Schema of an object. Only what we rely on is checked; vendors check the rest.
fn read_parameters(place: &Place<'_>, key: Key) -> Option<Map<String, Value>> {
    if !place.is_present() && key != Key::Custom {
        return Some(default_parameters(key));
    }
    let mut schema = place.clone().required()?.object()?.clone();
    place.at("type").word(&["object"]);
    place.at("properties").object();
    place.at("required").texts();
    schema.entry("type").or_insert_with(|| "object".into());
    schema.entry("properties").or_insert_with(|| json!({}));
    Some(schema)
}

fn default_parameters(key: Key) -> Map<String, Value> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let (properties, required) = match key {
        Key::Slots => (
            json!({"start": text("First day, YYYY-MM-DD"), "end": text("Last day, YYYY-MM-DD")}),
            json!(["start", "end"]),
        ),
        Key::Booking => (
            json!({
                "start": text("Start of the slot, ISO 8601 in UTC"),
                "name": text("The caller's name"),
                "email": text("The caller's e-mail address"),
            }),
            json!(["start", "name", "email"]),
        ),
        Key::Transfer | Key::Custom => (json!({}), json!([])),
    };
    Map::from_iter([
        ("type".to_owned(), "object".into()),
        ("properties".to_owned(), properties),
        ("required".to_owned(), required),
    ])
}

/// What a warm transfer tells whoever is called comes from the model (R115).
fn ask_for_summary(parameters: &mut Map<String, Value>) {
    let summary = json!({
        "type": "string",
        "description": "One short paragraph for the person who is called, read to them before they take the \
                        call: who the caller is, what they want, what was settled so far.",
    });
    if let Some(Value::Object(properties)) = parameters.get_mut("properties") {
        properties.entry(SUMMARY).or_insert(summary);
    }
}

impl Request {
    fn read(params: &Place<'_>, key: Key) -> Option<Self> {
        let method = read_method(&params.at("method"));
        let (mut headers, api_token) = read_headers(params);
        let url = params.at("url");
        let answers = match key {
            Key::Slots => Answers::Slots,
            _ => Answers::Anything,
        };
        if url.is_filled() || matches!(key, Key::Custom | Key::Transfer) {
            return Some(Self {
                method: method.unwrap_or(Method::Post),
                url: read_url(&url.clone().required()?)?,
                param: read_param(&params.at("param")),
                headers,
                api_token,
                answers,
            });
        }
        let (method, (address, version)) = match key {
            Key::Slots => (Method::Get, CAL_SLOTS),
            _ => (Method::Post, CAL_BOOKINGS),
        };
        headers
            .entry("cal-api-version".to_owned())
            .or_insert_with(|| Secret(version.to_owned()));
        Some(Self {
            method,
            url: UrlTemplate::new(address)?,
            param: calendar_param(&params.at("param"), key),
            headers,
            api_token,
            answers,
        })
    }
}

/// Cal.com's body or query, with the customer's members over it.
fn calendar_param(place: &Place<'_>, key: Key) -> Option<JsonTemplate> {
    let mut param = match key {
        Key::Slots => json!({"start": "%(start)s", "end": "%(end)s", "timeZone": "%(timezone)s"}),
        _ => json!({
            "start": "%(start)s",
            "attendee": {"name": "%(name)s", "email": "%(email)s", "timeZone": "%(timezone)s"},
        }),
    };
    let parsed = place
        .value()
        .and_then(Value::as_str)
        .map(serde_json::from_str::<Value>);
    let given = match &parsed {
        Some(Ok(value)) => place.holding(value),
        Some(Err(error)) => {
            place.fault(format_args!(
                "must be an object, or JSON text of one: {error}"
            ));
            return None;
        }
        None => place.clone(),
    };
    let members = given.clone().required()?.object()?;
    given.at("eventTypeId").required()?;
    for (name, value) in members {
        param[name.as_str()] = value.clone();
    }
    read_param(&place.holding(&param))
}

impl Transfer {
    fn read(params: &Place<'_>) -> Option<Self> {
        let mode = params.at("mode");
        let warm = mode.choice("mode", &["cold", "warm"], &[]) == Some("warm");
        read_method(&params.at("method"));
        let (headers, api_token) = read_headers(params);
        let place = params.at("param").required()?;
        let param = read_param(&place)?;
        let given = match place.value() {
            Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
            other => other.cloned().unwrap_or_default(),
        };
        let url = params.at("url");
        if warm && url.is_filled() {
            mode.fault("\"warm\" is the carrier's to do, not a controller's at url");
        }
        let controller = match url.is_filled() {
            true => Some(Controller {
                url: read_url(&url)?,
                headers,
                api_token,
            }),
            false => {
                let given = place.holding(&given);
                let number = given.at("call_transfer_number");
                let text = number.required_text()?;
                if !text.contains("%(") && !crate::task_config::is_e164(text) {
                    number.fault("must be a phone number in E.164 form, such as +14155550100");
                }
                None
            }
        };
        Some(Self {
            param,
            controller,
            warm,
        })
    }
}
