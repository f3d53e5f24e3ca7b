//! `PATCH`: absent is not null, and what is patched is found again.

use serde_json::{Value, json};

use super::minimal;
use crate::{Agent, patch};

fn patched(change: Value) -> Value {
    let body = patch(&minimal(), &change).unwrap();
    Agent::parse(&body).unwrap();
    body
}

#[test]
fn absent_stays_and_null_clears() {
    let mut stored = minimal();
    stored["agent_config"]["webhook_url"] = json!("https://example.com/");
    stored["agent_config"]["agent_welcome_message"] = json!("Hello");
    stored["agent_config"]["of_a_later_version"] = json!({ "kept": true });
    let body = patch(
        &stored,
        &json!({ "agent_config": { "webhook_url": null, "agent_name": "Bela" } }),
    )
    .unwrap();
    let mut expected = stored.clone();
    expected["agent_config"]["webhook_url"] = Value::Null;
    expected["agent_config"]["agent_name"] = json!("Bela");
    assert_eq!(body, expected);
    let agent = Agent::parse(&body).unwrap();
    assert_eq!(
        (
            agent.name.as_str(),
            agent.webhook_url,
            agent.welcome.as_deref()
        ),
        ("Bela", None, Some("Hello"))
    );
}

#[test]
fn a_synthesizer_replaces_that_of_the_conversation() {
    let body = patched(json!({ "agent_config": { "synthesizer": {
        "provider": "elevenlabs", "provider_config": { "voice": "Nila", "model": "eleven_flash_v2_5" },
    } } }));
    assert_eq!(
        body["agent_config"]["tasks"][0]["tools_config"]["synthesizer"]["provider"],
        "elevenlabs"
    );
    assert_eq!(body["agent_config"].get("synthesizer"), None);
}

#[test]
fn a_carrier_is_written_to_both_ends_of_the_task() {
    let body = patched(json!({ "agent_config": { "telephony_provider": "twilio" } }));
    let tools = &body["agent_config"]["tasks"][0]["tools_config"];
    assert_eq!(
        tools["input"],
        json!({ "provider": "twilio", "format": "wav" })
    );
    assert_eq!(tools["output"], tools["input"]);
    let body = patch(
        &minimal(),
        &json!({ "agent_config": { "telephony_provider": "sip-trunk" } }),
    )
    .unwrap();
    assert_eq!(
        body["agent_config"]["tasks"][0]["tools_config"]["output"]["format"],
        "ulaw"
    );
    let agent = Agent::parse(&body).unwrap();
    assert_eq!(agent.telephony_provider.as_deref(), Some("sip-trunk"));
}

#[test]
fn prompts_merge_by_task() {
    let mut stored = minimal();
    stored["agent_prompts"]["task_2"] = json!({ "system_prompt": "second" });
    let change = json!({ "agent_prompts": { "task_1": { "system_prompt": "first" }, "task_3": { "system_prompt": "third" } } });
    let body = patch(&stored, &change).unwrap();
    assert_eq!(
        body["agent_prompts"],
        json!({
            "task_1": { "system_prompt": "first" },
            "task_2": { "system_prompt": "second" },
            "task_3": { "system_prompt": "third" },
        })
    );
    let body = patch(&stored, &json!({ "agent_prompts": { "task_2": null } })).unwrap();
    assert_eq!(body, minimal());
}

#[test]
fn a_patch_of_nothing_known_is_refused() {
    let refused = |change: Value| patch(&minimal(), &change).unwrap_err().to_string();
    for change in [
        json!({}),
        json!({ "agent_config": { "voice": "x" }, "agent_prompts": {} }),
        json!({ "agent_name": "x" }),
    ] {
        assert!(
            refused(change.clone())
                .contains("nothing to change: give agent_config with any of agent_name"),
            "{change}"
        );
    }
    assert_eq!(refused(json!([1])), "must be an object");
    assert_eq!(
        refused(json!({ "agent_config": "x" })),
        "agent_config: must be an object"
    );
    assert_eq!(
        refused(json!({ "agent_prompts": ["x"] })),
        "agent_prompts: must be an object"
    );
}
