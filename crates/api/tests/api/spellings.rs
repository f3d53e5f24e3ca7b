//! Every operation under every spelling that clients use, with and without a slash at its end, ids dashed
//! and not; and the OpenAPI document names exactly what is served.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bolo::{Bolo, agent};

#[tokio::test]
async fn every_operation_answers_under_all_its_spellings() {
    let bolo = Bolo::start().await;
    let mut failed = Vec::new();
    // Each on a fresh agent and call: some of them end what they touch.
    for (method, path, body) in [
        ("POST", "/v2/agent", Some(agent())),
        ("POST", "/agent", Some(agent())),
        ("GET", "/v2/agent/all", None),
        ("GET", "/agent/all", None),
        ("GET", "/v2/agent/{agent}", None),
        ("GET", "/agent/{agent}", None),
        ("PUT", "/v2/agent/{agent}", Some(agent())),
        ("PUT", "/agent/{agent}", Some(agent())),
        ("PATCH", "/v2/agent/{agent}", Some(agent())),
        ("PATCH", "/agent/{agent}", Some(agent())),
        ("DELETE", "/v2/agent/{agent}", None),
        ("DELETE", "/agent/{agent}", None),
        ("POST", "/v2/agent/{agent}/stop", None),
        ("POST", "/agent/{agent}/stop", None),
        ("GET", "/v2/agent/{agent}/executions", None),
        ("GET", "/agent/{agent}/executions", None),
        ("GET", "/executions", None),
        ("GET", "/v2/agent/{agent}/execution/{call}", None),
        ("GET", "/agent/{agent}/execution/{call}", None),
        (
            "POST",
            "/call",
            Some(json!({ "agent_id": "{agent}", "recipient_phone_number": "+10123456789" })),
        ),
        ("POST", "/call/{call}/stop", None),
        ("POST", "/call/stop/{call}", None),
        ("GET", "/executions/{call}", None),
        ("GET", "/call/{call}", None),
        ("GET", "/call/{call}/status", None),
        ("GET", "/executions/{call}/log", None),
        ("GET", "/user/me", None),
        (
            "POST",
            "/providers",
            Some(json!({ "provider_name": "OPENAI", "provider_value": "sk" })),
        ),
        (
            "POST",
            "/provider",
            Some(json!({ "provider_name": "OPENAI", "provider_value": "sk" })),
        ),
        ("GET", "/providers", None),
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("POST", "/sub-accounts", Some(json!({ "name": "a" }))),
        ("POST", "/sub-accounts/create", Some(json!({ "name": "a" }))),
        ("GET", "/sub-accounts", None),
        ("GET", "/sub-accounts/all", None),
        ("GET", "/sub-accounts/all/usage", None),
        ("GET", "/extractions", None),
        ("GET", "/me/voices", None),
        ("GET", "/api/v1/voice-config/tts", None),
        ("GET", "/api/v1/voice-config/tts/local/voices", None),
        ("GET", "/dispositions", None),
        ("GET", "/user/custom-model", None),
        ("GET", "/user/model/custom", None),
        ("GET", "/phone-numbers", None),
        ("GET", "/phone-numbers/all", None),
        ("POST", "/phone-numbers/all", None),
        ("GET", "/sip-trunks/trunks", None),
        (
            "POST",
            "/web-call/session",
            Some(json!({ "agent_id": "{agent}" })),
        ),
        (
            "POST",
            "/web-call/freeswitch-session",
            Some(json!({ "agent_id": "{agent}" })),
        ),
    ] {
        for undashed in [false, true] {
            for slash in ["", "/"] {
                let id = bolo.new_agent().await;
                let call = bolo.new_call(id).await;
                let fill = |text: &str| {
                    let (agent, call) = if undashed {
                        (
                            id.0.simple().to_string().to_uppercase(),
                            call.0.simple().to_string(),
                        )
                    } else {
                        (id.to_string(), call.to_string().to_uppercase())
                    };
                    text.replace("{agent}", &agent).replace("{call}", &call)
                };
                let path = fill(path) + slash;
                let body = body
                    .as_ref()
                    .map(|body| serde_json::from_str::<Value>(&fill(&body.to_string())).unwrap());
                let reply = bolo.request(&bolo.key, method, &path, body.as_ref()).await;
                if reply.status != 200 {
                    failed.push(format!(
                        "{method} {path}: {} {}",
                        reply.status,
                        reply.text()
                    ));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Every operation with all its spellings, sorted.
const DOCUMENTED: &[&str] = &[
    "delete /agent/{agent_id}",
    "delete /batches/{batch_id}",
    "delete /dispositions/{disposition_id}",
    "delete /extractions/{template_id}",
    "delete /ingest-lists/{name}",
    "delete /knowledgebase/{rag_id}",
    "delete /phone-numbers/{phone_number_id}",
    "delete /provider/{provider_id}",
    "delete /providers/{provider_id}",
    "delete /sip-trunks/trunks/{trunk_id}",
    "delete /sip-trunks/trunks/{trunk_id}/numbers/{phone_number_id}",
    "delete /sub-accounts/{sub_account_id}",
    "delete /v2/agent/{agent_id}",
    "delete /webhooks/secret/previous",
    "get /agent/all",
    "get /agent/{agent_id}",
    "get /agent/{agent_id}/execution/{execution_id}",
    "get /agent/{agent_id}/executions",
    "get /api/v1/voice-config/tts",
    "get /api/v1/voice-config/tts/{provider}/voices",
    "get /audit",
    "get /batch/{batch_id}/executions",
    "get /batches/{agent_id}/all",
    "get /batches/{batch_id}",
    "get /batches/{batch_id}/executions",
    "get /batches/{batch_id}/guard",
    "get /batches/{batch_id}/rejected",
    "get /call/{execution_id}",
    "get /call/{execution_id}/status",
    "get /dispositions",
    "get /dispositions/{disposition_id}",
    "get /executions",
    "get /executions/{execution_id}",
    "get /executions/{execution_id}/log",
    "get /extractions",
    "get /extractions/{template_id}",
    "get /health",
    "get /ingest-lists",
    "get /knowledgebase/all",
    "get /knowledgebase/{rag_id}",
    "get /knowledgebase/{rag_id}/search",
    "get /me/voices",
    "get /metrics",
    "get /phone-numbers",
    "get /phone-numbers/all",
    "get /phone-numbers/search",
    "get /provider",
    "get /providers",
    "get /ready",
    "get /recordings/call/{execution_id}",
    "get /recordings/call/{execution_id}/link",
    "get /sip-trunks/trunks",
    "get /sip-trunks/trunks/{trunk_id}",
    "get /sip-trunks/trunks/{trunk_id}/numbers",
    "get /sub-accounts",
    "get /sub-accounts/all",
    "get /sub-accounts/all/usage",
    "get /sub-accounts/{sub_account_id}/usage",
    "get /user/custom-model",
    "get /user/me",
    "get /user/model/custom",
    "get /v2/agent/all",
    "get /v2/agent/{agent_id}",
    "get /v2/agent/{agent_id}/execution/{execution_id}",
    "get /v2/agent/{agent_id}/executions",
    "get /v2/agent/{agent_id}/versions",
    "get /v2/agent/{agent_id}/versions/{version}",
    "get /v2/agent/{agent_id}/versions/{version}/diff",
    "get /violations/list",
    "get /webhooks/deliveries",
    "get /webhooks/deliveries/{event_id}",
    "get /webhooks/endpoints",
    "patch /agent/{agent_id}",
    "patch /sip-trunks/trunks/{trunk_id}",
    "patch /sub-accounts/{sub_account_id}",
    "patch /v2/agent/{agent_id}",
    "post /agent",
    "post /agent/{agent_id}/stop",
    "post /batches",
    "post /batches/schedule",
    "post /batches/{batch_id}/pause",
    "post /batches/{batch_id}/resume",
    "post /batches/{batch_id}/schedule",
    "post /batches/{batch_id}/stop",
    "post /call",
    "post /call/stop/{execution_id}",
    "post /call/{execution_id}/stop",
    "post /call/{run_id}/events",
    "post /dispositions",
    "post /dispositions/bulk",
    "post /extractions",
    "post /inbound/setup",
    "post /inbound/unlink",
    "post /knowledgebase",
    "post /phone-numbers",
    "post /phone-numbers/all",
    "post /phone-numbers/buy",
    "post /provider",
    "post /providers",
    "post /sip-trunks/trunks",
    "post /sip-trunks/trunks/{trunk_id}/numbers",
    "post /sub-accounts",
    "post /sub-accounts/create",
    "post /user/custom-model",
    "post /user/model/custom",
    "post /user/tts_sample",
    "post /v1/call/{run_id}/events",
    "post /v2/agent",
    "post /v2/agent/{agent_id}/dispositions/test",
    "post /v2/agent/{agent_id}/stop",
    "post /v2/agent/{agent_id}/versions/{version}/restore",
    "post /violations/submit",
    "post /web-call/freeswitch-session",
    "post /web-call/session",
    "post /webhooks/deliveries/{event_id}/replay",
    "post /webhooks/endpoints/enable",
    "post /webhooks/replay",
    "post /webhooks/secret",
    "put /agent/{agent_id}",
    "put /batches/{batch_id}/guard",
    "put /dispositions/{disposition_id}",
    "put /extractions/{template_id}",
    "put /ingest-lists/{name}",
    "put /v2/agent/{agent_id}",
];

#[tokio::test]
async fn the_document_names_what_is_served_and_nothing_else() {
    let bolo = Bolo::start().await;
    let document = serde_json::to_value(bolo_api::openapi()).unwrap();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let what = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            let good = ["200", "201", "202"];
            assert!(
                good.iter().any(|code| responses.contains_key(*code)),
                "{what}"
            );
            assert!(
                responses
                    .values()
                    .all(|response| !response["content"].is_null()),
                "{what}"
            );
            let open = operation["security"] == json!([{}]);
            assert_eq!(
                open,
                ["/health", "/ready", "/metrics"].contains(&path.as_str()),
                "{what}"
            );
            assert!(open || responses.contains_key("401"), "{what}");
            // Every path is routed: neither the address nor the method is unknown.
            let id = uuid::Uuid::new_v4().to_string();
            let address = path
                .split('/')
                .map(|part| if part.starts_with('{') { &id } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let reply = bolo
                .request("bn-wrong", &method.to_uppercase(), &address, None)
                .await;
            assert_eq!(reply.status == 401, !open, "{what}: {}", reply.status);
            operations.insert(what);
        }
    }
    let named: Vec<&str> = operations.iter().map(String::as_str).collect();
    assert_eq!(named, DOCUMENTED);
    let served = bolo.get("/openapi.json").await.ok();
    assert_eq!(served, document);
}

#[tokio::test]
async fn the_page_of_the_document_loads_nothing_from_elsewhere() {
    let bolo = Bolo::start().await;
    let page = bolo.get("/docs/").await;
    assert_eq!(page.status, 200);
    for text in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!page.text().contains(text), "{text} in {}", page.text());
    }
    for file in [
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "swagger-initializer.js",
    ] {
        assert_eq!(
            bolo.get(&format!("/docs/{file}")).await.status,
            200,
            "{file}"
        );
    }
    assert!(
        bolo.get("/docs/swagger-initializer.js")
            .await
            .text()
            .contains("/openapi.json")
    );
}

/// One of two shapes of a name would stand in the document for both.
#[test]
fn no_two_shapes_have_one_name() {
    let mut names = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => collect_names(&std::fs::read_to_string(path).unwrap(), &mut names),
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
}

fn collect_names(source: &str, names: &mut BTreeSet<String>) {
    let word = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap()
            .to_owned()
    };
    let (mut is_shape, mut renamed) = (false, None);
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[derive(") {
            (is_shape, renamed) = (line.contains("ToSchema"), None);
        } else if let Some((_, name)) = line.split_once("schema(as = ") {
            renamed = Some(word(name));
        }
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let declared = line.strip_prefix("struct ").or(line.strip_prefix("enum "));
        if let (Some(declared), true) = (declared, is_shape) {
            let name = renamed.take().unwrap_or_else(|| word(declared));
            assert!(names.insert(name.clone()), "{name}");
            is_shape = false;
        }
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(bolo_api::openapi()).unwrap();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
