//! Agents: made, shown, changed, removed.

use serde_json::{Value, json};

use crate::bolo::{Bolo, agent};

/// The create example of the public API document.
fn documented() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Alfred",
            "tasks": [{
                "task_type": "conversation",
                "tools_config": {
                    "llm_agent": {
                        "agent_type": "simple_llm_agent",
                        "agent_flow_type": "streaming",
                        "routes": {
                            "embedding_model": "snowflake/snowflake-arctic-embed-m",
                            "routes": [{
                                "route_name": "politics",
                                "utterances": ["Who do you think will win the elections?", "Whom would you vote for?"],
                                "response": "Hey, thanks but I do not have opinions on politics",
                                "score_threshold": 0.9,
                            }],
                        },
                        "llm_config": {
                            "agent_flow_type": "streaming", "provider": "openai", "family": "openai",
                            "model": "gpt-4.1-mini", "max_tokens": 150, "temperature": 0.1,
                        },
                    },
                    "synthesizer": {
                        "provider": "elevenlabs",
                        "provider_config": { "voice": "Nila", "voice_id": "V9LCAAi4tTlqe9JadbCo", "model": "eleven_turbo_v2_5" },
                        "stream": true, "buffer_size": 250, "audio_format": "wav",
                    },
                    "transcriber": {
                        "provider": "deepgram", "model": "nova-3", "language": "hi", "stream": true,
                        "sampling_rate": 16000, "encoding": "linear16", "endpointing": 250,
                    },
                },
                "task_config": { "hangup_after_silence": 10, "incremental_delay": 400, "call_terminate": 90 },
            }],
            "agent_welcome_message": "How are you doing Bruce?",
            "webhook_url": null,
            "agent_type": "other",
        },
        "agent_prompts": { "task_1": { "system_prompt": "What is the Ultimate Question?" } },
    })
}

#[tokio::test]
async fn the_documented_example_is_created_and_shown_as_sent() {
    let bolo = Bolo::start().await;
    let created = bolo.post("/v2/agent", documented()).await.ok();
    assert_eq!(created["status"], "created");
    let id = created["agent_id"].as_str().unwrap();
    let shown = bolo.get(&format!("/v2/agent/{id}")).await.ok();
    assert_eq!((&shown["id"], &shown["agent_id"]), (&json!(id), &json!(id)));
    assert_eq!(shown["agent_status"], "processed");
    for (key, value) in documented()["agent_config"].as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    assert_eq!(shown["agent_prompts"], documented()["agent_prompts"]);
    assert!(shown.get("agent_config").is_none());
    for key in [
        "ingest_source_config",
        "calling_guardrails",
        "dispositions",
        "gpt_assistants",
    ] {
        assert_eq!(shown.get(key), Some(&Value::Null), "{key}");
    }
    for key in ["created_at", "updated_at"] {
        chrono::DateTime::parse_from_rfc3339(shown[key].as_str().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn unknown_keys_come_back_verbatim_but_never_replace_ours() {
    let bolo = Bolo::start().await;
    let mut body = agent();
    body["agent_config"]["x_private"] = json!({ "b": [1, 2], "a": null });
    body["agent_config"]["id"] = json!("mine");
    let created = bolo.post("/v2/agent", body).await.ok();
    let id = created["agent_id"].as_str().unwrap();
    let shown = bolo.get(&format!("/v2/agent/{id}")).await.ok();
    assert_eq!(shown["x_private"].to_string(), r#"{"b":[1,2],"a":null}"#);
    assert_eq!(shown["id"], id);
}

#[tokio::test]
async fn every_fault_of_a_document_is_named_with_its_place() {
    let bolo = Bolo::start().await;
    let mut body = agent();
    body["agent_config"]["agent_name"] = json!("");
    body["agent_config"]["tasks"][0]["tools_config"]["synthesizer"]["provider"] = json!("foo");
    let reply = bolo.post("/v2/agent", body).await;
    let message = reply.error(400);
    assert!(
        message.contains("agent_name") && message.contains("synthesizer.provider"),
        "{message}"
    );
    let errors = reply.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|fault| {
        let loc = fault["loc"].as_array().unwrap();
        loc.contains(&json!("synthesizer")) && loc.contains(&json!(0))
    }));
    assert!(
        errors
            .iter()
            .all(|fault| !fault["msg"].as_str().unwrap().is_empty())
    );
}

#[tokio::test]
async fn a_list_is_bare_newest_first_and_cut_on_request() {
    let bolo = Bolo::start().await;
    assert_eq!(bolo.get("/v2/agent/all").await.ok(), json!([]));
    let first = bolo.new_agent().await.to_string();
    let second = bolo.new_agent().await.to_string();
    let ids = |list: Value| -> Vec<String> {
        let list = list.as_array().unwrap().clone();
        list.iter()
            .map(|agent| agent["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        ids(bolo.get("/v2/agent/all").await.ok()),
        [second.clone(), first.clone()]
    );
    assert_eq!(
        ids(bolo
            .get("/v2/agent/all?page_number=2&page_size=1")
            .await
            .ok()),
        [first]
    );
    bolo.get("/v2/agent/all?page_number=0").await.error(400);
}

#[tokio::test]
async fn put_replaces_the_whole_document() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent_with(json!({ "call_terminate": 90 })).await;
    let mut body = agent();
    body["agent_config"]["agent_name"] = json!("Bruce");
    let updated = bolo
        .put(&format!("/v2/agent/{id}"), body.clone())
        .await
        .ok();
    assert_eq!(updated["status"], "updated");
    assert_eq!(
        (&updated["message"], &updated["state"]),
        (&json!("success"), &json!("updated"))
    );
    let shown = bolo.get(&format!("/v2/agent/{id}")).await.ok();
    assert_eq!(shown["agent_name"], "Bruce");
    assert_eq!(shown["tasks"], body["agent_config"]["tasks"]);
    bolo.put(&format!("/v2/agent/{id}"), json!({}))
        .await
        .error(400);
    let nobody = uuid::Uuid::new_v4();
    assert_eq!(
        bolo.put(&format!("/v2/agent/{nobody}"), agent())
            .await
            .error(404),
        "Agent not found"
    );
}

#[tokio::test]
async fn patch_changes_what_it_names_and_null_clears() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    let path = format!("/v2/agent/{id}");
    let change = json!({ "agent_config": { "agent_name": "Bruce", "webhook_url": "https://example.com/hook" } });
    let updated = bolo.patch(&path, change).await.ok();
    assert_eq!(
        (&updated["message"], &updated["state"]),
        (&json!("success"), &json!("updated"))
    );
    let shown = bolo.get(&path).await.ok();
    assert_eq!(
        (&shown["agent_name"], &shown["webhook_url"]),
        (&json!("Bruce"), &json!("https://example.com/hook"))
    );
    assert_eq!(
        shown["agent_prompts"]["task_1"]["system_prompt"],
        "You book appointments."
    );
    bolo.patch(&path, json!({ "agent_config": { "webhook_url": null } }))
        .await
        .ok();
    assert_eq!(bolo.get(&path).await.ok()["webhook_url"], Value::Null);
    let prompts = json!({ "agent_prompts": { "task_1": { "system_prompt": "You sell tea." } } });
    bolo.patch(&path, prompts).await.ok();
    assert_eq!(
        bolo.get(&path).await.ok()["agent_prompts"]["task_1"]["system_prompt"],
        "You sell tea."
    );
    bolo.patch(&path, json!({ "nonsense": 1 })).await.error(400);
    let message = bolo
        .patch(&path, json!({ "agent_config": { "agent_name": "" } }))
        .await
        .error(400);
    assert!(message.contains("agent_name"), "{message}");
    assert_eq!(bolo.get(&path).await.ok()["agent_name"], "Bruce");
}

#[tokio::test]
async fn patches_at_once_are_all_kept() {
    let bolo = Bolo::start().await;
    let path = format!("/v2/agent/{}", bolo.new_agent().await);
    let name = json!({ "agent_config": { "agent_name": "Bruce" } });
    let welcome = json!({ "agent_config": { "agent_welcome_message": "Hello" } });
    let (first, second) = tokio::join!(bolo.patch(&path, name), bolo.patch(&path, welcome));
    first.ok();
    second.ok();
    let shown = bolo.get(&path).await.ok();
    assert_eq!(
        (&shown["agent_name"], &shown["agent_welcome_message"]),
        (&json!("Bruce"), &json!("Hello"))
    );
}

#[tokio::test]
async fn delete_removes_the_agent_and_stops_what_waits() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    let call = bolo.new_call(id).await;
    let removed = bolo.delete(&format!("/v2/agent/{id}")).await.ok();
    assert_eq!(removed, json!({ "message": "success", "state": "deleted" }));
    bolo.get(&format!("/v2/agent/{id}")).await.error(404);
    bolo.delete(&format!("/v2/agent/{id}")).await.error(404);
    bolo.get(&format!("/executions/{call}")).await.error(404);
    assert_eq!(bolo.status(call).await, "stopped");
}

#[tokio::test]
async fn stop_ends_every_waiting_call_and_no_other() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    let live = bolo.dialled(id, "CA1").await;
    let waiting = bolo.new_call(id).await;
    let path = format!("/v2/agent/{id}/stop");
    let stopped = bolo.post_empty(&path).await.ok();
    assert_eq!(
        stopped,
        json!({ "stopped_executions": [waiting.to_string()] })
    );
    assert_eq!(bolo.status(waiting).await, "stopped");
    assert_eq!(bolo.status(live).await, "initiated");
    assert_eq!(
        bolo.post_empty(&path).await.ok(),
        json!({ "stopped_executions": [] })
    );
}

#[tokio::test]
async fn versions_are_listed_compared_and_restored() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    let path = format!("/v2/agent/{id}");
    let rename =
        json!({ "agent_config": { "agent_name": "Bruce", "webhook_url": "https://example.com/" } });
    assert_eq!(bolo.patch(&path, rename).await.ok()["version"], 2);

    let versions = bolo.get(&format!("{path}/versions")).await.ok();
    let listed: Vec<_> = (versions.as_array().unwrap().iter())
        .map(|one| (one["version"].as_i64().unwrap(), one["is_current"] == true))
        .collect();
    assert_eq!(listed, [(2, true), (1, false)]);
    let first = bolo.get(&format!("{path}/versions/1")).await.ok();
    assert_eq!(
        (&first["agent_name"], &first["agent_version"]),
        (&json!("Alfred"), &json!(1))
    );

    let changes = json!([
        { "path": "agent_config.agent_name", "before": "Alfred", "after": "Bruce" },
        { "path": "agent_config.webhook_url", "before": null, "after": "https://example.com/" },
    ]);
    for query in ["", "?against=1"] {
        let diff = bolo
            .get(&format!("{path}/versions/2/diff{query}"))
            .await
            .ok();
        assert_eq!(diff["differences"], changes);
        assert_eq!(diff["against"], 1);
    }
    let same = bolo
        .get(&format!("{path}/versions/2/diff?against=2"))
        .await
        .ok();
    assert_eq!(same["differences"], json!([]));

    let restored = bolo
        .post_empty(&format!("{path}/versions/1/restore"))
        .await
        .ok();
    assert_eq!(
        (&restored["state"], &restored["version"]),
        (&json!("updated"), &json!(3))
    );
    let shown = bolo.get(&path).await.ok();
    assert_eq!(
        (&shown["agent_name"], &shown["agent_version"]),
        (&json!("Alfred"), &json!(3))
    );
    let back = bolo
        .get(&format!("{path}/versions/3/diff?against=1"))
        .await
        .ok();
    assert_eq!(back["differences"], json!([]));

    for unknown in [
        "versions/9",
        "versions/x",
        "versions/9/diff",
        "versions/-9223372036854775808/diff",
        "versions/1/diff?against=9",
    ] {
        bolo.get(&format!("{path}/{unknown}")).await.error(404);
    }
    bolo.get(&format!("{path}/versions/1/diff?against=x"))
        .await
        .error(400);
    let stranger = bolo.stranger().await;
    for path in [format!("{path}/versions"), format!("{path}/versions/1")] {
        bolo.request(&stranger, "GET", &path, None).await.error(404);
    }
    let restore = format!("{path}/versions/1/restore");
    bolo.request(&stranger, "POST", &restore, None)
        .await
        .error(404);
    bolo.delete(&path).await.ok();
    bolo.get(&format!("{path}/versions")).await.error(404);
    bolo.get(&format!("{path}/versions/1")).await.error(404);
}

#[tokio::test]
async fn what_does_not_run_yet_is_stored_and_named() {
    let bolo = Bolo::start().await;
    let mut body = agent();
    let task = &mut body["agent_config"]["tasks"][0];
    task["tools_config"]["llm_agent"] = json!({
        "agent_type": "multiagent",
        "llm_config": {
            "agent_map": { "help": { "provider": "demo" } },
            "agent_routing_config": { "help": { "utterances": ["help"] } },
            "default_agent": "help",
        },
    });
    let created = bolo.post("/v2/agent", body.clone()).await.ok();
    let warnings = created["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0]["msg"].as_str().unwrap().contains("multiagent"));
    let id = created["agent_id"].as_str().unwrap();
    let shown = bolo.get(&format!("/v2/agent/{id}")).await.ok();
    assert_eq!(shown["tasks"], body["agent_config"]["tasks"]);
    // A call to it is taken; the worker ends it with the reason.
    bolo.new_call(id.parse().unwrap()).await;

    body["agent_config"]["tasks"][0]["tools_config"]["llm_agent"]["llm_config"]["default_agent"] =
        json!("nobody");
    let message = bolo.put(&format!("/v2/agent/{id}"), body).await.error(400);
    assert!(message.contains("default_agent"), "{message}");
}
