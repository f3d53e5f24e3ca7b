//! Answers that take more than one request.

use axum::body::Body;
use futures_util::stream::pending;
use serde_json::{Value, json};

use super::Court;
use crate::{bolo::Bolo, operations::Operation, tenant::Tenant};

/// `/metrics` is served.
pub fn show_figures(bolo: &mut Bolo) {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    bolo.app.metrics = Some(recorder.handle());
    bolo.router = bolo_api::router(bolo.app.clone());
}

/// A body that can be read and is at fault.
pub fn unprocessable(what: &str) -> Option<Value> {
    Some(match what {
        "post /dispositions" | "post /dispositions/bulk" => json!({ "question": "?" }),
        "put /dispositions/{disposition_id}" => json!({ "subjective_type": "song" }),
        "post /v2/agent/{agent_id}/dispositions/test" => json!({ "transcript": "" }),
        "post /sip-trunks/trunks" => {
            json!({ "name": "x", "provider": "zadarma", "auth_type": "userpass",
            "auth_username": "u", "auth_password": "p", "gateways": [{ "gateway_address": "a" }],
            "media_encryption": "sdes" })
        }
        "patch /sip-trunks/trunks/{trunk_id}" => json!({ "media_encryption": "sdes" }),
        _ => return None,
    })
}

pub async fn hear(bolo: &Bolo, first: &Tenant, silent: &Bolo, court: &mut Court) {
    let send = async |operation: &Operation, name: &'static str, value: &str| {
        let mut request = operation.request(&first.key, &|name| first.own(name));
        request.headers_mut().insert(name, value.parse().unwrap());
        bolo.send(request).await
    };
    // The same key, and another number in the body.
    for what in ["post /call", "post /batches"] {
        let operation = Operation::named(what);
        for number in ["+10123456780", "+10123456781"] {
            let mut request = operation.request(&first.key, &|name| match name {
                "from_phone_number" | "from_phone_numbers" => number.to_owned(),
                name => first.own(name),
            });
            let key = "once".parse().unwrap();
            request.headers_mut().insert("idempotency-key", key);
            court.hear(&operation, &bolo.send(request).await);
        }
    }
    let upload = Operation::named("post /batches");
    let mut stalled = upload.request(&first.key, &|name| first.own(name));
    *stalled.body_mut() = Body::from_stream(pending::<std::io::Result<&str>>());
    court.hear(&upload, &bolo.send(stalled).await);
    let recording = Operation::named("get /recordings/call/{execution_id}");
    for range in ["bytes=0-1", "bytes=1000-"] {
        court.hear(&recording, &send(&recording, "range", range).await);
    }
    // Asked by two agents, changed for one of them.
    let agent = bolo.new_agent().await;
    let shared = json!({ "name": "a", "question": "?", "is_subjective": true,
        "agent_ids": [agent, first.own("agent_id")] });
    let made = bolo.post("/dispositions", shared).await.json();
    let change = Operation::named("put /dispositions/{disposition_id}");
    let request = change.request(&first.key, &|name| match name {
        "disposition_id" => made["id"].as_str().unwrap().to_owned(),
        name => first.own(name),
    });
    court.hear(&change, &bolo.send(request).await);
    court.hear(
        &Operation::named("get /metrics"),
        &silent.get("/metrics").await,
    );
    silent.app.draining.begin();
    court.hear(&Operation::named("get /ready"), &silent.get("/ready").await);
}
