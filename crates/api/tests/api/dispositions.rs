//! Dispositions: written, shared, copied for one agent, asked of a transcript.

use serde_json::{Value, json};

use crate::bolo::{Bolo, Reply};

fn outcome(name: &str) -> Value {
    json!({
        "name": name, "question": "What was the outcome?", "category": "Lead Quality", "is_objective": true,
        "objective_options": [{ "value": "interested", "condition": "agreed to a next step" }],
    })
}

fn created(reply: &Reply) -> Value {
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_shared_one_is_copied_for_the_agent_that_changes_it() {
    let bolo = Bolo::start().await;
    let (first, second) = (
        bolo.new_agent().await.to_string(),
        bolo.new_agent().await.to_string(),
    );
    let mut body = outcome("Call Outcome");
    body["agent_ids"] = json!([first, second]);
    let made = created(&bolo.post("/dispositions/", body).await);
    assert_eq!(made["message"], "Disposition created successfully");
    assert_eq!(
        (&made["model"], &made["agent_ids"].as_array().unwrap().len()),
        (&json!("gpt-4.1-mini"), &2)
    );
    let path = format!("/dispositions/{}", id(&made));

    let change = json!({ "agent_id": first, "question": "And now?" });
    let reply = bolo.put(&path, change.clone()).await;
    let copy = created(&reply);
    assert_eq!(
        copy["message"],
        "Disposition copy created and linked to agent"
    );
    assert_ne!(id(&copy), id(&made));
    let shown = bolo.get(&path).await.ok();
    assert_eq!(
        (&shown["question"], &shown["agent_ids"]),
        (&made["question"], &json!([second]))
    );
    let of_first = bolo
        .get(&format!("/dispositions?agent_id={first}"))
        .await
        .ok();
    assert_eq!(
        (&of_first[0]["id"], &of_first[0]["question"]),
        (&copy["id"], &json!("And now?"))
    );
    // Now it is the agent's own.
    let own = format!("/dispositions/{}", id(&copy));
    let changed = bolo.put(&own, change).await.ok();
    assert_eq!(
        changed,
        json!({ "message": "Disposition updated successfully", "id": copy["id"] })
    );
    bolo.put(&path, json!({ "agent_id": first, "name": "x" }))
        .await
        .error(404);
    bolo.get(&format!("{path}?agent_id={first}"))
        .await
        .error(404);
    bolo.put(&path, json!({ "agent_id": first }))
        .await
        .error(400);

    let gone = bolo.delete(&path).await.ok();
    assert_eq!(
        gone,
        json!({ "message": "Disposition deleted successfully", "id": made["id"] })
    );
    bolo.get(&path).await.error(404);
    assert_eq!(
        bolo.get("/dispositions/")
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn several_come_together_or_not_at_all() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let bulk = |dispositions: Value| json!({ "agent_id": agent, "dispositions": dispositions });
    let bad = bulk(json!([outcome("a"), { "name": "b", "question": "?" }]));
    let message = bolo.post("/dispositions/bulk", bad).await.error(422);
    assert!(
        message.starts_with("dispositions[1].is_subjective"),
        "{message}"
    );
    bolo.post("/dispositions/bulk", bulk(json!([])))
        .await
        .error(422);
    assert_eq!(bolo.get("/dispositions").await.ok(), json!([]));
    let made = created(
        &bolo
            .post(
                "/dispositions/bulk",
                bulk(json!([outcome("a"), outcome("b")])),
            )
            .await,
    );
    let listed = bolo
        .get(&format!("/dispositions?agent_id={agent}"))
        .await
        .ok();
    let names: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(
        names,
        made["ids"].as_array().unwrap().iter().collect::<Vec<_>>(),
        "in order"
    );
}

#[tokio::test]
async fn anothers_are_forbidden_and_unknown_ones_not_found() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let made = created(&bolo.post("/dispositions", outcome("a")).await);
    let path = format!("/dispositions/{}", id(&made));
    let stranger = bolo.stranger().await;
    let mut linked = outcome("b");
    linked["agent_id"] = json!(agent);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("PUT", path.clone(), Some(json!({ "name": "x" }))),
        ("DELETE", path.clone(), None),
        ("GET", format!("/dispositions?agent_id={agent}"), None),
        ("POST", "/dispositions".to_owned(), Some(linked)),
        (
            "POST",
            format!("/v2/agent/{agent}/dispositions/test"),
            Some(json!({ "transcript": "user: hi" })),
        ),
    ] {
        bolo.request(&stranger, method, &path, body.as_ref())
            .await
            .error(403);
    }
    let nobody = uuid::Uuid::new_v4();
    bolo.get(&format!("/dispositions/{nobody}"))
        .await
        .error(404);
    bolo.get(&format!("/dispositions?agent_id={nobody}"))
        .await
        .error(404);
    for (body, field) in [
        (
            json!({ "name": "a", "question": "?", "is_objective": true }),
            "objective_options",
        ),
        (json!({ "question": "?", "is_subjective": true }), "name"),
    ] {
        let message = bolo.post("/dispositions", body).await.error(422);
        assert!(message.starts_with(field), "{message}");
    }
}

#[tokio::test]
async fn a_trial_needs_a_model_that_can_be_asked() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let path = format!("/v2/agent/{agent}/dispositions/test");
    let nothing = bolo
        .post(&path, json!({ "transcript": "user: hi" }))
        .await
        .ok();
    assert_eq!(nothing, json!({ "extracted_data": {} }));
    bolo.post(&path, json!({ "transcript": "" }))
        .await
        .error(422);
    bolo.post(&path, json!({ "transcript": "x".repeat(50_001) }))
        .await
        .error(422);
}
