//! Every operation of the OpenAPI document, each with a request that it takes: what walks over all of them
//! starts here. An operation or a parameter that came without its request here fails those walks.

use std::sync::OnceLock;

use axum::{body::Body, http::Request};
use serde_json::{Map, Value, json};

use crate::bolo::agent;

/// An operation under one of its spellings.
#[derive(Debug, Clone)]
pub struct Operation {
    /// As `get /v2/agent/{agent_id}`.
    pub what: String,
    pub method: String,
    pub path: String,
    /// What the document says of it.
    pub said: &'static Value,
}

impl Operation {
    pub fn all() -> Vec<Self> {
        let paths = document()["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &'static Value)| {
            let methods = item.as_object().unwrap().iter();
            let one = |(method, said): (&String, &'static Value)| Self {
                what: format!("{method} {path}"),
                method: method.clone(),
                path: path.clone(),
                said,
            };
            methods.map(one).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    pub fn named(what: &str) -> Self {
        let mut all = Self::all().into_iter();
        let found = all.find(|operation| operation.what == what);
        found.unwrap_or_else(|| panic!("{what} is not in the document"))
    }

    pub fn is_open(&self) -> bool {
        self.said["security"] == json!([{}])
    }

    /// Names of its parameters: of path, query and header, and of the body's first level.
    pub fn parameters(&self) -> Vec<String> {
        let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = self.listed().map(name).collect();
        let kinds = self.said["requestBody"]["content"].as_object();
        for kind in kinds.into_iter().flat_map(Map::values) {
            let schema = resolved(&kind["schema"]);
            let properties = schema["properties"].as_object().into_iter();
            names.extend(properties.flat_map(Map::keys).cloned());
        }
        names.sort();
        names.dedup();
        names
    }

    pub fn has_body(&self) -> bool {
        !self.said["requestBody"].is_null()
    }

    /// A request that it takes. `value` gives what a parameter, or a field of the body, names.
    pub fn request(&self, key: &str, value: &dyn Fn(&str) -> String) -> Request<Body> {
        let path = self.address(value);
        let request = Request::builder()
            .method(self.method.to_uppercase().as_str())
            .uri(path)
            .header("authorization", format!("Bearer {key}"));
        let payload = payload(&self.what, value);
        assert_eq!(payload.is_some(), self.has_body(), "body of {}", self.what);
        // Official clients send a content type without a body, too.
        let kind = payload.as_ref().map_or("application/json", Payload::kind);
        let body = payload.map(Payload::bytes).unwrap_or_default();
        request
            .header("content-type", kind)
            .body(body.into())
            .unwrap()
    }

    /// Its path.
    pub fn path_of(&self, value: &dyn Fn(&str) -> String) -> String {
        let part = |part: &str| match part.strip_prefix('{') {
            Some(name) => value(self.thing(name.trim_end_matches('}')).unwrap()),
            None => part.to_owned(),
        };
        let path: Vec<String> = self.path.split('/').map(part).collect();
        path.join("/")
    }

    /// Path and query: those parameters that name something, or must be there.
    pub fn address(&self, value: &dyn Fn(&str) -> String) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for one in self.listed().filter(|one| one["in"] == "query") {
            let name = one["name"].as_str().unwrap();
            match self.thing(name) {
                Some(thing) if one["required"] == true || !is_plain(name) => {
                    query.append_pair(name, &value(thing));
                }
                _ => {}
            }
        }
        match query.finish() {
            none if none.is_empty() => self.path_of(value),
            query => format!("{}?{query}", self.path_of(value)),
        }
    }

    fn listed(&self) -> impl Iterator<Item = &'static Value> {
        self.said["parameters"].as_array().into_iter().flatten()
    }

    /// Names of what its query takes.
    pub fn queries(&self) -> Vec<&'static str> {
        let query = self.listed().filter(|one| one["in"] == "query");
        query.map(|one| one["name"].as_str().unwrap()).collect()
    }

    /// What this parameter names here; `None` where it names nothing.
    pub fn thing<'a>(&self, parameter: &'a str) -> Option<&'a str> {
        let place = |text| self.path.contains(text);
        Some(match parameter {
            "phone_number_id" if place("/sip-trunks/") => "trunk_number_id",
            "execution_id" if place("/call/") && place("/stop") => "waiting_id",
            "batch_id" if self.what == "post /batches/{batch_id}/stop" => "scheduled_id",
            "name" if place("/ingest-lists/") => "list_name",
            "name" => return None,
            "url" if place("/webhooks/") => "endpoint_url",
            "url" => return None,
            other => other,
        })
    }
}

/// Parameters that name nothing that is anybody's. (A key of idempotency is of one account: `idempotency.rs`.)
const PLAIN: &str = "
    Idempotency-Key against agent_config agent_data agent_prompts allow allow_concurrent_calls
    allow_multiple auth_password auth_type auth_username bypass_call_guardrails call_date call_type category
    chunk_size comment country created_at_gte created_at_lte custom_model_name custom_model_url db_host
    db_name db_password db_port db_user description direct_media disallow display dispositions
    e164_check_enabled event expires expires_in file force_rport from gateways inbound_enabled inputs
    instructions ip_identifiers is_active is_objective is_subjective ivr_config json_schema keys
    language_support limit max_concurrency max_cost media_encryption media_encryption_optimistic metadata
    min_answer_rate min_concurrency model multi_tenant name objective_options outbound_leading_plus_enabled
    over_calls overlapping page_number page_size pattern phone_number phone_numbers properties provider
    provider_config provider_name provider_value q qualify_frequency question range recipient_phone_number
    region retry_config rtp_symmetric scheduled_at sig similarity_top_k state status subjective_type
    subjective_type_config supports_custom_questions system_prompt text timestamp to transcript transport
    url user_data version violation_file voicemail
";

pub fn is_plain(parameter: &str) -> bool {
    PLAIN.split_whitespace().any(|plain| plain == parameter)
}

/// What a parameter may name that nobody has; `like` is what somebody has.
pub fn nobodys(name: &str, like: &str) -> String {
    let id = uuid::Uuid::new_v4();
    match name {
        "batch_id" | "scheduled_id" => id.simple().to_string(),
        "list_name" => format!("{}.csv", id.simple()),
        "endpoint_url" => format!("https://{}.example/hook", id.simple()),
        "from_phone_number" | "from_phone_numbers" => "+14155559999".to_owned(),
        "provider" => "nobody".to_owned(),
        _ if like.is_empty() || uuid::Uuid::try_parse(like).is_ok() => id.to_string(),
        _ => like.to_owned(),
    }
}

/// The OpenAPI document.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::to_value(bolo_api::openapi()).unwrap())
}

/// A schema, or what it refers to.
pub fn resolved(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(place) => document().pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// A request's body.
pub enum Payload {
    Json(Value),
    /// Fields of a form; a name with a file's name is a file.
    Form(Vec<(&'static str, Option<&'static str>, String)>),
    Csv(String),
}

impl Payload {
    /// Its content type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::Csv(_) => "text/csv",
            Self::Form(_) => "multipart/form-data; boundary=x",
        }
    }

    fn bytes(self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Csv(text) => text,
            Self::Form(fields) => {
                let part = |(name, file, value): (&str, Option<&str>, String)| {
                    let file = file.map(|file| format!("; filename=\"{file}\""));
                    let file = file.unwrap_or_default();
                    format!(
                        "--x\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
                    )
                };
                let body: String = fields.into_iter().map(part).collect();
                body + "--x--\r\n"
            }
        }
    }
}

/// The body that an operation takes; `mark` is in every text that is kept.
pub fn payload(what: &str, value: &dyn Fn(&str) -> String) -> Option<Payload> {
    let mark = || value("mark");
    let disposition = || {
        json!({ "name": format!("Outcome {}", mark()), "question": "How did it go?", "category": "Lead Quality",
            "is_objective": true, "objective_options": [{ "value": "good", "condition": "it went well" }] })
    };
    let merged = |mut body: Value, more: Value| {
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        body
    };
    Some(Payload::Json(match what {
        "post /agent" | "post /v2/agent" | "put /agent/{agent_id}" | "put /v2/agent/{agent_id}" => {
            let mut body = agent();
            body["agent_config"]["agent_name"] = json!(mark());
            body["agent_config"]["webhook_url"] = json!(format!("https://{}.example/hook", mark()));
            let task = &mut body["agent_config"]["tasks"][0];
            task["tools_config"]["llm_agent"] = json!({ "agent_type": "knowledgebase_agent",
                "llm_config": { "provider": "demo", "vector_store": { "provider": "lancedb",
                    "provider_config": { "vector_id": value("vector_id") } } } });
            body
        }
        "patch /agent/{agent_id}" | "patch /v2/agent/{agent_id}" => {
            json!({ "agent_config": { "agent_name": format!("{} again", mark()) } })
        }
        "post /call" => {
            json!({ "agent_id": value("agent_id"), "recipient_phone_number": "+10123456789",
            "from_phone_number": value("from_phone_number"), "user_data": { "note": mark() } })
        }
        "post /call/{run_id}/events" | "post /v1/call/{run_id}/events" => {
            json!({ "event": "paid", "properties": { "note": mark() } })
        }
        "post /batches" => {
            return Some(Payload::Form(vec![
                ("agent_id", None, value("agent_id")),
                ("from_phone_numbers", None, value("from_phone_numbers")),
                (
                    "file",
                    Some("customers.csv"),
                    format!("contact_number,note\n+14155550100,{}\n1,bad\n", mark()),
                ),
            ]));
        }
        "post /batches/schedule" => json!({ "scheduled_at": FAR, "batch_id": value("batch_id") }),
        "post /batches/{batch_id}/schedule" => json!({ "scheduled_at": FAR }),
        "put /batches/{batch_id}/guard" => json!({ "min_answer_rate": 0.1, "over_calls": 50 }),
        "post /dispositions" => merged(
            disposition(),
            json!({ "agent_id": value("agent_id"), "agent_ids": [value("agent_ids")] }),
        ),
        "post /dispositions/bulk" => {
            json!({ "agent_id": value("agent_id"), "dispositions": [disposition()] })
        }
        "put /dispositions/{disposition_id}" => {
            json!({ "agent_id": value("agent_id"), "question": "And now?" })
        }
        "post /v2/agent/{agent_id}/dispositions/test" => json!({ "transcript": "user: hi" }),
        "post /extractions" => json!({ "name": mark(), "json_schema": { "type": "object" } }),
        "put /extractions/{template_id}" => json!({ "instructions": mark() }),
        "post /inbound/setup" => json!({ "agent_id": value("agent_id"),
            "phone_number_id": value("phone_number_id"), "ivr_config": { "enabled": true,
                "default_agent_id": value("default_agent_id"), "welcome_message": mark(), "steps": [{
                    "step_id": "a", "type": "menu", "prompt": "?", "options": [
                        { "digit": "1", "label": "one", "agent_id": value("option_agent_id") }] }] } }),
        "post /inbound/unlink" => json!({ "phone_number_id": value("phone_number_id") }),
        "put /ingest-lists/{name}" => {
            let table = format!("contact_number,note\n+14155550100,{}\n", mark());
            return Some(Payload::Csv(table));
        }
        "post /knowledgebase" => {
            let url = format!("https://{}.example/hours", mark());
            return Some(Payload::Form(vec![("url", None, url)]));
        }
        "post /phone-numbers" => {
            json!({ "phone_number": value("new_number"), "provider": "plivo", "name": mark() })
        }
        "post /phone-numbers/buy" => {
            json!({ "country": "US", "phone_number": value("new_number") })
        }
        "post /provider" | "post /providers" => {
            json!({ "provider_name": "MY_TOOL", "provider_value": format!("sk-{}", mark()) })
        }
        "post /sip-trunks/trunks" => json!({ "name": value("new_name"), "provider": "zadarma",
            "auth_type": "userpass", "auth_username": mark(), "auth_password": "very secret",
            "gateways": [{ "gateway_address": "sip.zadarma.com" }],
            "phone_numbers": [{ "phone_number": value("new_number"), "name": "Support" }] }),
        "patch /sip-trunks/trunks/{trunk_id}" => json!({ "description": mark() }),
        "post /sip-trunks/trunks/{trunk_id}/numbers" => {
            json!({ "phone_number": value("new_number"), "name": mark() })
        }
        "post /sub-accounts" | "post /sub-accounts/create" => {
            json!({ "name": value("new_name"), "description": mark() })
        }
        "patch /sub-accounts/{sub_account_id}" => json!({ "description": format!("{}!", mark()) }),
        "post /user/custom-model" | "post /user/model/custom" => {
            json!({ "custom_model_name": "Care", "custom_model_url": format!("https://{}.example/v1", mark()) })
        }
        "post /user/tts_sample" => {
            json!({ "text": "Hi.", "provider": "local", "provider_config": { "voice": "en-US" } })
        }
        "post /violations/submit" => {
            return Some(Payload::Form(vec![
                ("violation_id", None, value("violation_id")),
                ("violation_file", Some("proof.png"), "png".to_owned()),
                ("comment", None, mark()),
            ]));
        }
        "post /web-call/session" | "post /web-call/freeswitch-session" => {
            json!({ "agent_id": value("agent_id"), "user_data": { "note": mark() } })
        }
        "post /webhooks/endpoints/enable" => json!({ "url": value("endpoint_url") }),
        "post /webhooks/replay" => {
            json!({ "from": "2020-01-01", "execution_id": value("execution_id") })
        }
        _ => return None,
    }))
}

const FAR: &str = "2199-06-04T22:40:00Z";
