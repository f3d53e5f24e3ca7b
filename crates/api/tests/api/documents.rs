//! Templates of extractions, models, SIP trunks: what is kept and shown.

use bolo_execution::AgentId;
use serde_json::{Value, json};

use crate::bolo::{Bolo, Reply};

fn created(reply: &Reply) -> Value {
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_template_is_written_by_the_account_and_read_below_it() {
    let bolo = Bolo::start().await;
    let schema = json!({ "type": "object", "properties": { "budget": { "type": "string" } } });
    let body = json!({ "name": "Lead Qualification", "json_schema": schema, "extra": 1 });
    let made = created(&bolo.post("/extractions/", body).await)["data"].clone();
    assert_eq!(
        (
            &made["model"],
            &made["display"],
            &made["instructions"],
            made.get("extra")
        ),
        (&json!("gpt-4.1-mini"), &json!(true), &Value::Null, None)
    );
    let path = format!("/extractions/{}", made["id"].as_str().unwrap());
    let changed = bolo
        .put(
            &path,
            json!({ "instructions": "Be strict.", "display": null }),
        )
        .await
        .ok();
    assert_eq!(changed["data"]["instructions"], "Be strict.");
    assert_eq!(
        (&changed["data"]["name"], &changed["data"]["display"]),
        (&made["name"], &json!(true))
    );

    let sub = bolo
        .post("/sub-accounts", json!({ "name": "a" }))
        .await
        .ok();
    let key = sub["api_key"].as_str().unwrap();
    let listed = bolo.request(key, "GET", "/extractions", None).await.ok();
    assert_eq!(listed, json!({ "data": [changed["data"]] }));
    assert_eq!(bolo.request(key, "GET", &path, None).await.ok(), changed);
    let name = json!({ "name": "x" });
    for (method, path) in [("POST", "/extractions"), ("PUT", &path), ("DELETE", &path)] {
        bolo.request(key, method, path, Some(&name))
            .await
            .error(403);
    }
    let stranger = bolo.stranger().await;
    bolo.request(&stranger, "GET", &path, None).await.error(404);
    bolo.request(&stranger, "PUT", &path, Some(&name))
        .await
        .error(404);

    for (body, fault) in [
        (json!({ "json_schema": {} }), "name: "),
        (json!({ "name": "x" }), "json_schema: "),
        (
            json!({ "name": "x", "json_schema": {}, "display": 1 }),
            "display: ",
        ),
    ] {
        let message = bolo.post("/extractions", body).await.error(400);
        assert!(message.starts_with(fault), "{message}");
    }
    assert_eq!(
        bolo.delete(&path).await.ok(),
        json!({ "message": "Template deleted successfully" })
    );
    assert_eq!(bolo.get(&path).await.error(404), "Template not found");
    bolo.get("/extractions/not-an-id").await.error(404);
}

#[tokio::test]
async fn a_model_is_added_once_under_its_name() {
    let bolo = Bolo::start().await;
    let added = json!({ "message": "model added successfully", "status": "added" });
    for (path, url) in [
        ("/user/custom-model", "https://one.example/v1"),
        ("/user/model/custom", "https://two.example/v1"),
    ] {
        let body = json!({ "custom_model_name": "Care", "custom_model_url": url });
        assert_eq!(bolo.post(path, body).await.ok(), added);
    }
    let listed = bolo.get("/user/custom-model").await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["custom_model_url"], "https://two.example/v1");
    let bad = json!({ "custom_model_name": "Care", "custom_model_url": "ftp://x" });
    assert!(
        bolo.post("/user/custom-model", bad)
            .await
            .error(400)
            .starts_with("custom_model_url")
    );
}

fn trunk(name: &str) -> Value {
    json!({
        "name": name, "provider": "zadarma", "auth_type": "userpass", "auth_username": "u",
        "auth_password": "very secret", "gateways": [{ "gateway_address": "sip.zadarma.com" }],
        "phone_numbers": [{ "phone_number": "919876543210", "name": "Support" }],
    })
}

#[tokio::test]
async fn a_trunk_is_kept_without_showing_its_password() {
    let bolo = Bolo::start().await;
    let reply = bolo.post("/sip-trunks/trunks", trunk("Main")).await;
    let made = created(&reply);
    assert!(!reply.text().contains("very secret"));
    assert_eq!(
        (
            &made["gateways"][0]["port"],
            &made["is_active"],
            &made["media_encryption"]
        ),
        (&json!(5060), &json!(true), &json!("no"))
    );
    assert_eq!(made["phone_numbers"][0]["phone_number"], "919876543210");
    let id = made["id"].as_str().unwrap();
    let path = format!("/sip-trunks/trunks/{id}");
    let secret = bolo
        .app
        .store
        .document_secret(bolo.account, id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(&secret.unwrap()),
        "very secret"
    );

    let changed = bolo
        .patch(
            &path,
            json!({ "is_active": false, "gateways": [{ "gateway_address": "b", "port": 5061 }] }),
        )
        .await
        .ok();
    assert_eq!(
        (
            &changed["is_active"],
            changed["gateways"].as_array().unwrap().len()
        ),
        (&json!(false), 1)
    );
    assert_eq!(changed["auth_username"], "u");
    assert_eq!(
        bolo.get("/sip-trunks/trunks?is_active=true").await.ok(),
        json!([])
    );
    assert_eq!(
        bolo.get("/sip-trunks/trunks?is_active=false").await.ok()[0]["id"],
        id
    );

    assert!(
        bolo.post("/sip-trunks/trunks", trunk("Main"))
            .await
            .error(400)
            .starts_with("name: ")
    );
    let sdes = json!({ "media_encryption": "sdes" });
    assert!(
        bolo.patch(&path, sdes)
            .await
            .error(422)
            .starts_with("media_encryption: ")
    );
    let mut open = trunk("Second");
    open["auth_password"] = Value::Null;
    assert!(
        bolo.post("/sip-trunks/trunks", open)
            .await
            .error(400)
            .starts_with("auth_password: ")
    );
    let stranger = bolo.stranger().await;
    bolo.request(&stranger, "GET", &path, None).await.error(404);

    let number = json!({ "phone_number": "+14155550100" });
    let added = created(&bolo.post(&format!("{path}/numbers"), number.clone()).await);
    assert_eq!(
        (&added["byot_trunk_id"], &added["telephony_provider"]),
        (&json!(id), &json!("sip-trunk"))
    );
    assert_eq!(added["id"], added["phone_number_id"]);
    bolo.post(&format!("{path}/numbers"), number)
        .await
        .error(400);
    let loose = json!({ "phone_number": "98765", "e164_check_enabled": true });
    bolo.post(&format!("{path}/numbers"), loose)
        .await
        .error(400);
    assert_eq!(
        bolo.get(&format!("{path}/numbers"))
            .await
            .ok()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let of_number = format!("{path}/numbers/{}", added["id"].as_str().unwrap());
    let gone = json!({ "message": "Phone number removed successfully" });
    assert_eq!(bolo.delete(&of_number).await.ok(), gone);
    bolo.delete(&of_number).await.error(404);
    let gone = json!({ "message": "Trunk deleted successfully. 1 phone number(s) removed." });
    assert_eq!(bolo.delete(&path).await.ok(), gone);
    bolo.get(&path).await.error(404);
}

/// A menu whose agents are asked for: one that is not there is the client's fault, one that can't be read ours.
#[tokio::test]
async fn a_menu_names_agents_that_are_there() {
    let bolo = Bolo::start().await;
    let told = json!({ "phone_number": "+442071838750", "provider": "plivo" });
    let number = bolo.post("/phone-numbers", told).await.ok();
    let agent = bolo.new_agent().await;
    let setup = async |named: AgentId| {
        let body = json!({ "agent_id": agent.to_string(), "phone_number_id": number["id"], "ivr_config": {
            "enabled": true, "default_agent_id": named.to_string(), "steps": [{ "step_id": "a", "type": "menu",
                "prompt": "?", "options": [{ "digit": "1", "label": "one" }] }] } });
        bolo.post("/inbound/setup", body).await
    };
    setup(agent).await.ok();
    let refused = setup(AgentId::new()).await.error(400);
    assert!(refused.contains("there is no agent"), "{refused}");
    let broken = bolo.new_agent().await;
    bolo.run_sql(&format!(
        "UPDATE agent_versions SET body = '{{' WHERE agent_id = '{broken}'"
    ))
    .await;
    setup(broken).await.error(500);
}

#[tokio::test]
async fn a_number_is_told_answered_and_forgotten() {
    let bolo = Bolo::start().await;
    let told = json!({ "phone_number": "+442071838750", "provider": "exotel", "name": "London" });
    let number = bolo.post("/phone-numbers", told.clone()).await.ok();
    assert_eq!(
        (&number["rented"], &number["price"]),
        (&json!(false), &Value::Null)
    );
    assert!(
        bolo.post("/phone-numbers", told)
            .await
            .error(400)
            .starts_with("phone_number: ")
    );
    let id = number["id"].as_str().unwrap();
    let agent = bolo.new_agent().await;
    let setup = |more: Value| {
        let mut body = json!({ "agent_id": agent.to_string(), "phone_number_id": id });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let url = format!(
        "https://bolo.example.com/inbound_call?agent_id={agent}&user_id={}",
        bolo.account
    );
    let linked = bolo.post("/inbound/setup", setup(json!({}))).await.ok();
    assert_eq!(
        linked,
        json!({ "url": url, "phone_number": "+442071838750", "id": id })
    );
    let menu = json!({ "ivr_config": { "enabled": true, "steps": [{ "step_id": "a", "type": "collect", "prompt": "?", "num_digits": 4 }] } });
    let refused = bolo.post("/inbound/setup", setup(menu)).await.error(400);
    assert!(refused.contains("plivo"), "{refused}");
    let broken = json!({ "ivr_config": { "enabled": true, "steps": [] } });
    assert!(
        bolo.post("/inbound/setup", setup(broken))
            .await
            .error(400)
            .starts_with("ivr_config.steps")
    );
    bolo.post(
        "/inbound/setup",
        setup(json!({ "ivr_config": { "enabled": false } })),
    )
    .await
    .ok();

    let stranger = bolo.stranger().await;
    let unlink = json!({ "phone_number_id": id });
    bolo.request(&stranger, "POST", "/inbound/unlink", Some(&unlink))
        .await
        .error(404);
    bolo.request(&stranger, "DELETE", &format!("/phone-numbers/{id}"), None)
        .await
        .error(404);
    // Its agent's end is its own.
    bolo.delete(&format!("/v2/agent/{agent}")).await.ok();
    assert_eq!(
        bolo.get("/phone-numbers/all").await.ok()[0]["agent_id"],
        Value::Null
    );
    for _ in 0..2 {
        assert_eq!(
            bolo.post("/inbound/unlink", unlink.clone()).await.ok()["url"],
            Value::Null
        );
    }
    bolo.delete(&format!("/phone-numbers/{id}")).await.ok();
    bolo.delete(&format!("/phone-numbers/{id}"))
        .await
        .error(404);
    assert!(
        bolo.post(
            "/phone-numbers",
            json!({ "phone_number": "123", "provider": "twilio" })
        )
        .await
        .error(400)
        .starts_with("phone_number")
    );
    assert!(
        bolo.post(
            "/phone-numbers",
            json!({ "phone_number": "+123456789", "provider": "x" })
        )
        .await
        .error(400)
        .starts_with("provider")
    );
}

#[tokio::test]
async fn a_list_of_callers_is_kept_under_its_name() {
    let bolo = Bolo::start().await;
    let put = async |name: &str, csv: &'static str| {
        let request = axum::http::Request::put(format!("/ingest-lists/{name}"))
            .header("authorization", format!("Bearer {}", bolo.key))
            .header("content-type", "text/csv");
        bolo.send(request.body(csv.into()).unwrap()).await
    };
    let kept = put("june.csv", "name,contact_number\nAsha,+14155550100\n")
        .await
        .ok();
    assert_eq!(
        (&kept["name"], &kept["rows"]),
        (&json!("june.csv"), &json!(1))
    );
    put("june.csv", "name,contact_number\nAsha,1\nRavi,2\n")
        .await
        .ok();
    assert_eq!(bolo.get("/ingest-lists").await.ok()[0]["rows"], 2);
    let refused = put("x", "name,phone\n").await.error(400);
    assert!(refused.contains("contact_number"), "{refused}");
    let stranger = bolo.stranger().await;
    assert_eq!(
        bolo.request(&stranger, "GET", "/ingest-lists", None)
            .await
            .ok(),
        json!([])
    );
    bolo.request(&stranger, "DELETE", "/ingest-lists/june.csv", None)
        .await
        .error(404);
    bolo.delete("/ingest-lists/june.csv").await.ok();
    bolo.delete("/ingest-lists/june.csv").await.error(404);
}

#[tokio::test]
async fn a_voice_is_listed_and_heard() {
    let bolo = Bolo::start().await;
    let voices = bolo.get("/me/voices").await.ok();
    let local = voices
        .as_array()
        .unwrap()
        .iter()
        .find(|voice| voice["voice_id"] == "en-US")
        .unwrap();
    assert_eq!(local["provider"], "local");
    uuid::Uuid::parse_str(local["id"].as_str().unwrap()).unwrap();
    assert_eq!(
        bolo.get("/api/v1/voice-config/tts").await.ok(),
        json!([{ "provider": "local" }])
    );
    assert_eq!(
        bolo.get("/api/v1/voice-config/tts/local/voices").await.ok(),
        voices
    );
    bolo.get("/api/v1/voice-config/tts/elevenlabs/voices")
        .await
        .error(404);
    let ambient = bolo.post("/ambient-sounds/custom", json!({})).await;
    assert!(
        ambient
            .error(400)
            .starts_with("ambient sounds of one's own are not supported")
    );
    for (body, field) in [
        (json!({ "provider": "local" }), "text"),
        (
            json!({ "text": "x".repeat(1001), "provider": "local" }),
            "text",
        ),
        (json!({ "text": "hi" }), "synthesizer.provider"),
        (
            json!({ "text": "hi", "provider": "nobody" }),
            "synthesizer.provider",
        ),
        // Nothing in it can be spoken: not a fault that passes.
        (
            json!({ "text": "\u{b4}\u{f765}", "provider": "local" }),
            "vendor synthesizer: the voice has no sound",
        ),
    ] {
        let message = bolo.post("/user/tts_sample", body).await.error(400);
        assert!(message.starts_with(field), "{message}");
    }
}
