//! Violations: listed, and answered with evidence.

use axum::http::Request;
use bolo_store::{Draft, Kind};
use serde_json::{Value, json};

use crate::bolo::{Bolo, Reply, now};

async fn raise(bolo: &Bolo, agent: &str) -> String {
    let body = json!({ "status": "pending", "agent_id": agent, "execution_id": uuid::Uuid::nil(),
        "from_phone_number": "+1", "to_phone_number": "+2", "date_of_call": 1_700_000_000_000_i64 });
    let draft = Draft { key: None, body };
    let made = bolo
        .app
        .store
        .create_document(bolo.account, Kind::Violation, draft, now())
        .await;
    made.unwrap().id.to_string()
}

async fn submit(bolo: &Bolo, key: &str, parts: &[(&str, &str)]) -> Reply {
    let mut body = String::new();
    for (name, value) in parts {
        body.push_str(&format!(
            "--x\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n"
        ));
    }
    let request = Request::post("/violations/submit")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "multipart/form-data; boundary=x");
    bolo.send(request.body((body + "--x--\r\n").into()).unwrap())
        .await
}

const FILE: (&str, &str) = ("name=\"violation_file\"; filename=\"../proof.png\"", "png");

#[tokio::test]
async fn a_violation_is_answered_with_evidence() {
    let bolo = Bolo::start().await;
    let agent = uuid::Uuid::new_v4().to_string();
    let id = raise(&bolo, &agent).await;
    raise(&bolo, "other").await;
    let all = bolo.get("/violations/list").await.ok();
    assert_eq!(
        (
            &all["total"],
            &all["limit"],
            &all["offset"],
            &all["has_more"]
        ),
        (&json!(2), &json!(20), &json!(0), &json!(false))
    );
    let first = bolo.get("/violations/list?page_size=1").await.ok();
    assert_eq!(
        (&first["has_more"], first["data"].as_array().unwrap().len()),
        (&json!(true), 1)
    );
    let of_agent = bolo
        .get(&format!("/violations/list?agent_id={agent}&status=open"))
        .await
        .ok();
    assert_eq!(of_agent["data"][0]["id"], id);
    let plain = agent.replace('-', "").to_uppercase();
    let same = format!("/violations/list?agent_id={plain}");
    assert_eq!(bolo.get(&same).await.ok()["data"], of_agent["data"]);
    bolo.get("/violations/list?agent_id=x").await.error(400);
    assert_eq!(
        of_agent["data"][0]["date_of_call"],
        "2023-11-14T22:13:20.000Z"
    );
    bolo.get("/violations/list?status=lost").await.error(400);

    let of = ("name=\"violation_id\"", id.as_str());
    let done = submit(
        &bolo,
        &bolo.key,
        &[of, FILE, ("name=\"comment\"", "he asked for it")],
    )
    .await
    .ok();
    assert_eq!(done, json!({ "message": "success", "state": "submitted" }));
    let shown = bolo.get("/violations/list?status=under_review").await.ok();
    assert_eq!(shown["total"], 1);
    let place = shown["data"][0]["image_url"].as_str().unwrap();
    assert_eq!(place, format!("{}/violations/{id}/proof.png", bolo.account));
    assert_ne!(shown["data"][0]["status"], Value::Null);

    submit(&bolo, &bolo.key, &[of]).await.error(400);
    submit(&bolo, &bolo.key, &[FILE]).await.error(400);
    let stranger = bolo.stranger().await;
    submit(&bolo, &stranger, &[of, FILE]).await.error(404);
    bolo.post("/violations/submit", json!({})).await.error(400);
}
