//! The requests of the public API document, sent as printed but for host and key.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Database, World};

/// Runs `curl` as a reader of the document would.
async fn curl(arguments: Vec<String>) -> Value {
    let output = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .arg("--silent")
            .args(arguments)
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

fn request(method: &str, url: String, key: &str, body: Option<&Value>) -> Vec<String> {
    let mut arguments = vec![
        "--request".to_owned(),
        method.to_owned(),
        "--url".to_owned(),
        url,
    ];
    arguments.extend([
        "--header".to_owned(),
        format!("Authorization: Bearer {key}"),
    ]);
    if let Some(body) = body {
        arguments.extend([
            "--header".to_owned(),
            "Content-Type: application/json".to_owned(),
        ]);
        arguments.extend(["--data".to_owned(), body.to_string()]);
    }
    arguments
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_documents_requests_answer_in_the_printed_shape() {
    for database in [Database::Sqlite, Database::Postgres] {
        let world = World::start(database).await;
        let (base, key) = (world.server.base.clone(), world.server.key.clone());

        let agent = json!({
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
                            "provider_config": {
                                "voice": "Nila", "voice_id": "V9LCAAi4tTlqe9JadbCo", "model": "eleven_turbo_v2_5",
                            },
                            "stream": true, "buffer_size": 250, "audio_format": "wav",
                        },
                        "transcriber": {
                            "provider": "deepgram", "model": "nova-3", "language": "hi", "stream": true,
                            "sampling_rate": 16000, "encoding": "linear16", "endpointing": 250,
                        },
                    },
                    "task_config": {"hangup_after_silence": 10, "incremental_delay": 400, "call_terminate": 90},
                }],
                "agent_welcome_message": "How are you doing Bruce?",
                "webhook_url": null,
                "agent_type": "other",
            },
            "agent_prompts": {
                "task_1": {"system_prompt": "What is the Ultimate Question of Life, the Universe, and Everything?"},
            },
        });
        let created = curl(request(
            "POST",
            format!("{base}/v2/agent"),
            &key,
            Some(&agent),
        ))
        .await;
        assert_eq!(created["status"], "created");
        let id = created["agent_id"].as_str().unwrap().to_owned();

        let got = curl(request("GET", format!("{base}/v2/agent/{id}"), &key, None)).await;
        assert_eq!(got["agent_name"], "Alfred");
        assert_eq!(
            got["tasks"], agent["agent_config"]["tasks"],
            "stored and returned as sent"
        );
        assert_eq!(got["agent_prompts"], agent["agent_prompts"]);
        for path in ["/v2/agent/all", "/agent/all"] {
            let all = curl(request("GET", format!("{base}{path}"), &key, None)).await;
            assert_eq!(all.as_array().unwrap().len(), 1);
        }
        let put = curl(request(
            "PUT",
            format!("{base}/v2/agent/{id}"),
            &key,
            Some(&agent),
        ))
        .await;
        assert_eq!(put["status"], "updated");
        let patch = json!({"agent_config": {"agent_name": "Bruce"}});
        let patched = curl(request(
            "PATCH",
            format!("{base}/v2/agent/{id}"),
            &key,
            Some(&patch),
        ))
        .await;
        assert_eq!(
            (&patched["message"], &patched["state"]),
            (&json!("success"), &json!("updated"))
        );

        let call = json!({
            "agent_id": id,
            "recipient_phone_number": "+10123456789",
            "from_phone_number": "+19876543007",
            "scheduled_at": "2099-08-21T10:35:00",
            "user_data": {"variable1": "value1", "variable2": "value2"},
        });
        let placed = curl(request("POST", format!("{base}/call"), &key, Some(&call))).await;
        assert_eq!(placed["message"], "done");
        let execution = placed["execution_id"].as_str().unwrap().to_owned();

        let list = curl(request(
            "GET",
            format!("{base}/v2/agent/{id}/executions"),
            &key,
            None,
        ))
        .await;
        for field in ["page_number", "page_size", "total", "has_more", "data"] {
            assert!(list.get(field).is_some(), "{field}");
        }
        let row = &list["data"][0];
        let printed = [
            "id",
            "agent_id",
            "batch_id",
            "conversation_time",
            "total_cost",
            "status",
            "transcript",
            "created_at",
            "updated_at",
            "cost_breakdown",
            "telephony_data",
        ];
        assert!(
            printed.iter().all(|field| keys(row).contains(field)),
            "{row:#}"
        );
        assert_eq!(row["telephony_data"]["to_number"], "+10123456789");
        for path in [
            format!("/executions/{execution}"),
            format!("/v2/agent/{id}/execution/{execution}"),
        ] {
            let one = curl(request("GET", format!("{base}{path}"), &key, None)).await;
            assert_eq!(one["id"], execution.as_str());
            assert_eq!(
                one["context_details"]["recipient_data"]["variable1"],
                "value1"
            );
        }
        let log = curl(request(
            "GET",
            format!("{base}/executions/{execution}/log"),
            &key,
            None,
        ))
        .await;
        assert_eq!(
            (&log["status"], log["data"].is_array()),
            (&json!("success"), true)
        );
        let stopped = curl(request(
            "POST",
            format!("{base}/call/{execution}/stop"),
            &key,
            None,
        ))
        .await;
        assert_eq!(
            stopped,
            json!({"message": "done", "status": "stopped", "execution_id": execution})
        );
        let stopped = curl(request(
            "POST",
            format!("{base}/v2/agent/{id}/stop"),
            &key,
            None,
        ))
        .await;
        assert_eq!(stopped, json!({"stopped_executions": []}));
        let me = curl(request("GET", format!("{base}/user/me"), &key, None)).await;
        assert_eq!(keys(&me), ["id", "name", "email", "wallet", "concurrency"]);
        let deleted = curl(request(
            "DELETE",
            format!("{base}/v2/agent/{id}"),
            &key,
            None,
        ))
        .await;
        assert_eq!(deleted, json!({"message": "success", "state": "deleted"}));

        let refused = curl(request("GET", format!("{base}/user/me"), "bn-nobody", None)).await;
        assert_eq!(refused["error"], 401);
        assert!(refused["message"].is_string() && refused["detail"].is_string());
        world.end(&[]).await;
    }
}
