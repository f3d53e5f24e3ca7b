//! Calls as records.

use bolo_execution::{Change, Component, Cost, Entry, EntryKind, ExecutionId, Usage};
use bolo_store::Facts;
use serde_json::{Value, json};

use crate::bolo::Bolo;

fn ids(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect()
}

/// A call that was talked and is stored whole.
async fn completed(bolo: &Bolo, call_id: &str) -> ExecutionId {
    let id = bolo.dialled(bolo.new_agent().await, call_id).await;
    bolo.change(id, Change::Answered, Facts::default()).await;
    bolo.change(id, Change::MediaEnded, Facts::default()).await;
    let facts = Facts {
        transcript: Some("assistant: Hello\nuser: Hi".into()),
        usage: Some(Usage {
            synthesizer_characters: 5,
            ..Usage::default()
        }),
        cost: Some(Cost {
            llm: 4.2,
            network: 1.2,
            platform: 2.0,
            synthesizer: 6.8,
            transcriber: 0.7,
        }),
        latency: Some(json!({ "region": "local" })),
        has_recording: Some(true),
        ..Facts::default()
    };
    bolo.change(id, Change::Recorded, facts).await;
    id
}

#[tokio::test]
async fn the_same_object_under_every_address_with_every_documented_field() {
    let bolo = Bolo::start().await;
    let id = completed(&bolo, "CA1").await;
    let shown = bolo.get(&format!("/executions/{id}")).await.ok();
    let agent = shown["agent_id"].as_str().unwrap();
    for path in [
        format!("/call/{id}"),
        format!("/call/{id}/status"),
        format!("/v2/agent/{agent}/execution/{id}"),
    ] {
        assert_eq!(bolo.get(&path).await.ok(), shown, "{path}");
    }
    assert_eq!(shown["status"], "completed");
    assert_eq!(shown["total_cost"], 14.9);
    assert_eq!(shown["telephony_data"]["to_number"], "+10123456789");
    let recording = json!(format!("https://bolo.example.com/recordings/call/{id}"));
    assert_eq!(
        (
            &shown["recording_url"],
            &shown["telephony_data"]["recording_url"]
        ),
        (&recording, &recording)
    );

    // What is sent is what the OpenAPI document says, field by field.
    let document = serde_json::to_value(bolo_api::openapi()).unwrap();
    let fields = |schema: &str| -> Vec<String> {
        let schema = &document["components"]["schemas"][schema]["properties"];
        let mut names: Vec<_> = schema.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let sent = |object: &Value| -> Vec<String> {
        let mut names: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(sent(&shown), fields("ExecutionView"));
    assert_eq!(sent(&shown["telephony_data"]), fields("TelephonyData"));
    assert_eq!(sent(&shown["cost_breakdown"]), fields("CostBreakdown"));
    assert_eq!(sent(&shown["usage_breakdown"]), fields("UsageBreakdown"));
}

#[tokio::test]
async fn an_execution_of_another_agent_is_404_under_this_one() {
    let bolo = Bolo::start().await;
    let id = bolo.new_call(bolo.new_agent().await).await;
    let other = bolo.new_agent().await;
    let message = bolo
        .get(&format!("/v2/agent/{other}/execution/{id}"))
        .await
        .error(404);
    assert_eq!(message, "Execution not found");
}

#[tokio::test]
async fn pages_go_newest_first_and_say_whether_there_are_more() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, bolo.new_call(agent).await.to_string());
    }
    let page = bolo
        .get(&format!(
            "/v2/agent/{agent}/executions?page_number=2&page_size=2"
        ))
        .await
        .ok();
    assert_eq!(ids(&page["data"]), made[2..4]);
    let frame =
        json!({ "page_number": 2, "page": 2, "page_size": 2, "total": 5, "has_more": true });
    for (key, value) in frame.as_object().unwrap() {
        assert_eq!(&page[key], value, "{key}");
    }
    let last = bolo.get("/executions?page=3&page_size=2").await.ok();
    assert_eq!(
        (ids(&last["data"]), &last["has_more"]),
        (vec![made[4].as_str()], &json!(false))
    );
    assert_eq!(
        bolo.get("/executions?page_size=500").await.ok()["page_size"],
        50
    );
    assert_eq!(bolo.get("/executions").await.ok()["page_size"], 20);
    assert_eq!(
        bolo.get("/executions?page_number=99").await.ok()["data"],
        json!([])
    );
    for bad in [
        "page_number=0",
        "page_number=-1",
        "page_number=x",
        "page_size=0",
        "page_size=1.5",
    ] {
        let message = bolo.get(&format!("/executions?{bad}")).await.error(400);
        assert!(
            message.starts_with(bad.split('=').next().unwrap()),
            "{message}"
        );
    }
}

#[tokio::test]
async fn version_one_lists_a_bare_array_of_any_length() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let mut made = Vec::new();
    for _ in 0..203 {
        made.insert(0, bolo.new_call(agent).await.to_string());
    }
    let all = bolo.get(&format!("/agent/{agent}/executions")).await.ok();
    assert_eq!(ids(&all), made);
    let page = bolo
        .get(&format!(
            "/agent/{agent}/executions?page_number=2&page_size=3"
        ))
        .await
        .ok();
    assert_eq!(ids(&page), made[3..6]);
    let none = bolo
        .get(&format!("/agent/{agent}/executions?status=completed"))
        .await
        .ok();
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn every_filter_works_under_every_name() {
    let bolo = Bolo::start().await;
    let mine = completed(&bolo, "CA1").await.to_string();
    let waiting = bolo.new_call(bolo.new_agent().await).await.to_string();
    let (mine, waiting) = (mine.as_str(), waiting.as_str());
    let both = vec![waiting, mine];
    for (query, wanted) in [
        ("status=completed", vec![mine]),
        ("status=queued", vec![waiting]),
        ("status=", both.clone()),
        ("call_type=outbound", both.clone()),
        ("call_type=inbound", vec![]),
        ("provider=twilio", both.clone()),
        ("provider=plivo", vec![]),
        ("voicemail=false", both.clone()),
        ("voicemail=True", vec![]),
        ("answered_by_voice_mail=true", vec![]),
        ("voicemail=false&answered_by_voice_mail=true", both.clone()),
        ("batch_id=baab7cdc833145bf8dd260ff1f0a3f21", vec![]),
        ("created_at_gte=2020-01-01T00:00:00Z", both.clone()),
        ("created_at_gte=2100-01-01", vec![]),
        ("from=2100-01-01T00:00:00%2B05:30", vec![]),
        ("from=2100-01-01T00:00:00+05:30", vec![]),
        ("created_at_gte=2020-01-01&from=2100-01-01", both.clone()),
        ("created_at_lte=2020-01-01T00:00:00Z", vec![]),
        ("to=2100-01-01", both.clone()),
        (
            "from=2020-01-01&to=2100-01-01&status=completed&provider=twilio",
            vec![mine],
        ),
    ] {
        let listed = bolo.get(&format!("/executions?{query}")).await.ok();
        assert_eq!(ids(&listed["data"]), wanted, "{query}");
        assert_eq!(listed["total"], wanted.len(), "{query}");
    }
    for query in [
        "status=no_such",
        "call_type=sideways",
        "voicemail=perhaps",
        "created_at_gte=yesterday",
        "created_at_lte=1",
        "from=x",
        "to=x",
        "batch_id=x",
        "agent_id=x",
    ] {
        let message = bolo.get(&format!("/executions?{query}")).await.error(400);
        assert!(
            message.starts_with(query.split('=').next().unwrap()),
            "{query}: {message}"
        );
    }
}

#[tokio::test]
async fn the_log_shows_both_time_keys_and_text_data_oldest_first() {
    let bolo = Bolo::start().await;
    let id = bolo.new_call(bolo.new_agent().await).await;
    for (at, data) in [(1_000, "first"), (2_000, "{\"second\":1}")] {
        let entry = Entry::new(Component::Llm, EntryKind::Request, "gpt-4.1-mini", data)
            .leg("a")
            .with("tokens", 3);
        bolo.app
            .store
            .append_log(bolo.account, id, entry, at)
            .await
            .unwrap();
    }
    let log = bolo.get(&format!("/executions/{id}/log")).await.ok();
    assert_eq!(
        (&log["status"], &log["execution_id"]),
        (&json!("success"), &json!(id.to_string()))
    );
    assert_eq!(
        log["data"][0],
        json!({
            "created_at": "1970-01-01T00:00:01.000Z", "timestamp": "1970-01-01T00:00:01.000Z",
            "type": "request", "component": "llm", "provider": "gpt-4.1-mini", "data": "first",
            "leg_id": "a", "metadata": { "tokens": 3 },
        })
    );
    assert_eq!(log["data"][1]["data"], "{\"second\":1}");
    let empty = bolo.new_call(bolo.new_agent().await).await;
    assert_eq!(
        bolo.get(&format!("/executions/{empty}/log")).await.ok()["data"],
        json!([])
    );
    bolo.get(&format!("/executions/{}/log", ExecutionId::new()))
        .await
        .error(404);
}
