//! Every answer that the OpenAPI document promises is given once, under every spelling, and looks as the
//! document says: a JSON Schema validator that is not ours is the judge.

mod court;
mod special;

use std::time::Duration;

use axum::{body::Body, http::Request};
use bolo_api::PerMinute;
use court::Court;

use crate::{
    bolo::Bolo,
    operations::{Operation, Payload, nobodys, payload},
    tenant::Tenant,
};

const MOST_BYTES: usize = 64 * 1024;

#[tokio::test]
async fn every_documented_answer_is_given_in_the_documented_shape() {
    let mut bolo = Bolo::start_with(|settings| {
        settings.max_upload_bytes = MOST_BYTES;
        // Only what never comes is waited for.
        settings.upload_wait = Duration::from_millis(10);
    })
    .await;
    special::show_figures(&mut bolo);
    let owner = (bolo.account, bolo.key.clone());
    let first = Tenant::fill(&bolo, owner, "alpha", true).await;
    let (_, below) = first.new_sub_account(&bolo).await;
    let stranger = bolo.stranger().await;
    let limited = Bolo::start_limited(PerMinute { busy: 1, other: 1 }).await;
    let mut court = Court::default();

    for operation in Operation::all() {
        let own = |name: &str| first.own(name);
        let unknown = |name: &str| nobodys(name, &first.own(name));
        for key in ["bn-wrong", &below, &stranger] {
            let reply = bolo.send(operation.request(key, &own)).await;
            court.hear(&operation, &reply);
        }
        let reply = bolo.send(operation.request(&first.key, &unknown)).await;
        court.hear(&operation, &reply);
        for request in junk(&operation, &first) {
            court.hear(&operation, &bolo.send(request).await);
        }
        // What ends something is given something of its own.
        let ends = operation.method == "delete" || operation.path.contains("/stop");
        let reply = match ends {
            false => first.ask(&bolo, &operation).await,
            true => {
                let other = bolo.new_stranger().await;
                let other = Tenant::fill(&bolo, other, "omega", true).await;
                other.ask(&bolo, &operation).await
            }
        };
        court.hear_good(&operation, &reply);
        for _ in 0..2 {
            let request = operation.request(&limited.key, &unknown);
            court.hear(&operation, &limited.send(request).await);
        }
    }
    special::hear(&bolo, &first, &limited, &mut court).await;
    court.close().await;
}

/// Requests that are refused before anything is done.
fn junk(operation: &Operation, of: &Tenant) -> Vec<Request<Body>> {
    let own = |name: &str| of.own(name);
    let send = |path: String, kind: &str, body: String| {
        Request::builder()
            .method(operation.method.to_uppercase().as_str())
            .uri(path)
            .header("authorization", format!("Bearer {}", of.key))
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap()
    };
    let mut requests = Vec::new();
    let path = operation.path_of(&own);
    for name in operation.queries() {
        let nonsense = format!("{path}?{name}=%01nonsense");
        requests.push(send(nonsense, "", String::new()));
    }
    let path = operation.address(&own);
    if let Some(payload) = payload(&operation.what, &own) {
        let large = match payload {
            Payload::Form(_) => {
                let field =
                    "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
                format!("{field}{}\r\n--x--\r\n", "x".repeat(MOST_BYTES))
            }
            _ => format!("{{\"x\": \"{}\"}}", "x".repeat(MOST_BYTES)),
        };
        let kind = payload.kind();
        requests.push(send(path.clone(), kind, "{".to_owned()));
        requests.push(send(path.clone(), kind, large));
        if let Some(body) = special::unprocessable(&operation.what) {
            requests.push(send(path, kind, body.to_string()));
        }
    }
    requests
}
