//! Parts that are stored and don't run: checked as if they did.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{minimal, minimal_with, settings, tools};
use crate::{Agent, Outline};

/// What is wrong with a document, or what of it doesn't run.
fn checked(body: &Value) -> String {
    match Agent::check(body) {
        Err(faults) => faults
            .0
            .iter()
            .map(|fault| format!("{}: {}\n", fault.path, fault.message))
            .collect(),
        Ok(lacks) => lacks
            .iter()
            .map(|lack| format!("stored; {}: {}\n", lack.path, lack.message))
            .collect(),
    }
}

fn with_llm(llm_agent: Value) -> Value {
    minimal_with(&[(&tools("llm_agent"), llm_agent)])
}

/// The graph of agent-config.md §10, with a router before it.
fn graph() -> Value {
    json!({
        "agent_type": "graph_agent",
        "agent_flow_type": "streaming",
        "llm_config": {
            "model": "gpt-4.1-mini",
            "agent_information": "You take orders.",
            "current_node_id": "r",
            "variable_types": { "age": "number" },
            "nodes": [
                { "id": "r", "node_type": "router", "edges": [
                    { "to_node_id": "b", "condition_type": "expression", "priority": 1, "expression": {
                        "logic": "and", "conditions": [
                            { "variable": "age", "operator": "gte", "value": 18 },
                            { "variable": "recipient_data.name", "operator": "exists" },
                        ],
                    } },
                    { "to_node_id": "a", "condition_type": "unconditional" },
                ] },
                { "id": "a", "prompt": "..", "edges": [
                    { "to_node_id": "b", "condition": "..", "parameters": { "order_id": "string" } },
                    { "to_node_id": "b", "condition_type": "event", "event_name": "payment_completed" },
                ] },
                { "id": "b", "node_type": "static", "static_message": { "en": "Bye", "hi": "फिर मिलेंगे" }, "edges": [] },
            ],
        },
    })
}

fn with_graph(change: impl FnOnce(&mut Value)) -> String {
    let mut graph = graph();
    change(&mut graph["llm_config"]);
    checked(&with_llm(graph))
}

#[test]
fn a_graph_is_stored_and_does_not_run() {
    let mut body = with_llm(graph());
    assert_snapshot!(checked(&body), @r#"stored; tasks[0].tools_config.llm_agent.agent_type: agent type "graph_agent" is not supported by this version yet; one of simple_llm_agent, knowledgebase_agent"#);
    assert!(
        Agent::parse(&body)
            .unwrap_err()
            .to_string()
            .contains("graph_agent")
    );
    // Its nodes bring their prompts.
    body.as_object_mut().unwrap().remove("agent_prompts");
    assert!(checked(&body).starts_with("stored; "));
    // Fields may also stand in llm_agent itself.
    let mut flat = graph()["llm_config"].clone();
    flat["agent_type"] = json!("graph_agent");
    assert!(checked(&with_llm(flat)).starts_with("stored; "));
}

#[test]
fn every_fault_of_a_graph_is_found() {
    let wrong = with_graph(|graph| {
        graph["current_node_id"] = json!("nowhere");
        graph["agent_information"] = json!("");
        graph["variable_types"]["age"] = json!("date");
        graph["routing_model"] = json!("gpt-5");
        graph["routing_reasoning_effort"] = json!("none");
        graph["nodes"] = json!([
            { "id": "a", "edges": [
                { "to_node_id": "x", "condition": "" },
                { "to_node_id": "b", "condition_type": "sometimes" },
                { "to_node_id": "b", "condition_type": "event" },
                { "to_node_id": "b", "condition_type": "expression", "expression": { "logic": "xor", "conditions": [
                    { "variable": "", "operator": "like", "value": 1 },
                    { "variable": "n", "operator": "in", "value": 1 },
                    { "variable": "n", "operator": "eq" },
                ] } },
                { "to_node_id": "b", "condition_type": "unconditional", "function_name": "no good" },
            ] },
            { "id": "b", "node_type": "static" },
            { "id": "b", "node_type": "robot" },
            { "id": "r", "node_type": "router", "prompt": "Hello", "edges": [
                { "to_node_id": "a", "condition_type": "event", "event_name": "e" },
            ] },
        ]);
    });
    assert_snapshot!(wrong, @r#"
    tasks[0].tools_config.llm_agent.llm_config.agent_information: must not be empty
    tasks[0].tools_config.llm_agent.llm_config.variable_types.age: unknown value "date"; one of string, number, boolean
    tasks[0].tools_config.llm_agent.llm_config.routing_reasoning_effort: gpt-5 does not take "none"; one of minimal, low, medium, high
    tasks[0].tools_config.llm_agent.llm_config.nodes[2].id: another node is called "b"
    tasks[0].tools_config.llm_agent.llm_config.current_node_id: there is no node "nowhere"
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].prompt: is required
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[0].to_node_id: there is no node "x"
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[0].condition: must not be empty
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[1].condition_type: unknown value "sometimes"; one of llm, expression, unconditional, event
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[2].event_name: is required
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[3].expression.logic: unknown value "xor"; one of and, or
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[3].expression.conditions[0].variable: must not be empty
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[3].expression.conditions[0].operator: unknown value "like"; one of eq, neq, gt, gte, lt, lte, contains, in, not_in, exists, not_exists
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[3].expression.conditions[1].value: must be a list, not a number
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[3].expression.conditions[2].value: is required
    tasks[0].tools_config.llm_agent.llm_config.nodes[0].edges[4].function_name: must be at most 64 letters, digits, _ or -
    tasks[0].tools_config.llm_agent.llm_config.nodes[1].static_message: is required
    tasks[0].tools_config.llm_agent.llm_config.nodes[2].node_type: unknown value "robot"; one of llm, static, router
    tasks[0].tools_config.llm_agent.llm_config.nodes[3].prompt: a router says nothing
    tasks[0].tools_config.llm_agent.llm_config.nodes[3].edges[0].condition_type: a router waits for no event
    tasks[0].tools_config.llm_agent.llm_config.nodes[3].edges: a router needs one unconditional edge, not 0
    "#);
    assert_snapshot!(with_graph(|graph| graph["nodes"] = json!([])), @r#"
    tasks[0].tools_config.llm_agent.llm_config.nodes: must not be empty
    tasks[0].tools_config.llm_agent.llm_config.current_node_id: there is no node "r"
    "#);
}

#[test]
fn routers_in_a_circle_are_refused() {
    let to = |id: &str| json!([{ "to_node_id": id, "condition_type": "unconditional" }]);
    let circle = with_graph(|graph| {
        let router =
            |id: &str, next: &str| json!({ "id": id, "node_type": "router", "edges": to(next) });
        graph["nodes"] = json!([
            router("r", "s"), router("s", "t"), router("t", "s"),
            { "id": "a", "prompt": "..", "edges": to("r") },
        ]);
    });
    assert_snapshot!(circle, @"tasks[0].tools_config.llm_agent.llm_config.nodes[1]: routers lead in a circle");
    let back = with_graph(|graph| {
        graph["nodes"] = json!([
            { "id": "r", "node_type": "router", "edges": to("a") },
            { "id": "a", "prompt": "..", "edges": to("r") },
        ]);
    });
    assert!(
        back.starts_with("stored; "),
        "a node that speaks stands between: {back}"
    );
}

#[test]
fn a_team_names_its_members() {
    let team = |change: fn(&mut Value)| {
        let mut team = json!({
            "agent_type": "multiagent",
            "llm_config": {
                "agent_map": { "sales": { "model": "gpt-4.1-mini" }, "help": { "model": "gpt-4.1" } },
                "agent_routing_config": { "sales": { "utterances": ["I want to buy"], "threshold": 0.8 } },
                "default_agent": "help",
            },
        });
        change(&mut team["llm_config"]);
        checked(&with_llm(team))
    };
    assert_snapshot!(team(|_| {}), @r#"stored; tasks[0].tools_config.llm_agent.agent_type: agent type "multiagent" is not supported by this version yet; one of simple_llm_agent, knowledgebase_agent"#);
    let wrong = team(|team| {
        team["agent_map"]["sales"]["temperature"] = json!(9);
        team["agent_routing_config"]["billing"] = json!({ "utterances": [], "threshold": 2 });
        team["default_agent"] = json!("nobody");
    });
    assert_snapshot!(wrong, @r#"
    tasks[0].tools_config.llm_agent.llm_config.agent_map.sales.temperature: must be between 0 and 2, not 9
    tasks[0].tools_config.llm_agent.llm_config.agent_routing_config.billing: there is no agent "billing" in agent_map
    tasks[0].tools_config.llm_agent.llm_config.agent_routing_config.billing.utterances: must not be empty
    tasks[0].tools_config.llm_agent.llm_config.agent_routing_config.billing.threshold: must be between 0 and 1, not 2
    tasks[0].tools_config.llm_agent.llm_config.default_agent: there is no agent "nobody" in agent_map
    "#);
}

#[test]
fn an_old_graph_names_its_nodes() {
    let of = |kind: &str, config: Value| {
        checked(&with_llm(
            json!({ "agent_type": kind, "llm_config": config }),
        ))
    };
    let old =
        json!({ "nodes": [{ "id": "a" }], "edges": [{ "start_node": "a", "end_node": "b" }] });
    assert_snapshot!(of("llm_agent_graph", old), @r#"tasks[0].tools_config.llm_agent.llm_config.edges[0].end_node: there is no node "b""#);
}

#[test]
fn a_model_that_speaks_itself_needs_no_others() {
    let s2s = |config: Value| {
        let mut body = minimal();
        body["agent_config"]["tasks"][0]["tools_config"] = json!({ "s2s": config });
        checked(&body)
    };
    assert_snapshot!(s2s(json!({ "provider": "gemini_live", "provider_config": { "voice": "Kore" } })), @"stored; tasks[0].tools_config.s2s: a speech-to-speech model is not supported by this version yet");
    assert_snapshot!(s2s(json!({ "provider": "parrot", "provider_config": { "vad_threshold": 3 } })), @r#"
    tasks[0].tools_config.s2s.provider: unknown value "parrot"; one of openai_realtime, gemini_live
    tasks[0].tools_config.s2s.provider_config.vad_threshold: must be between 0 and 1, not 3
    "#);
}

#[test]
fn languages_are_complete() {
    let of = |config: Value| checked(&minimal_with(&[(&tools("multilingual_config"), config)]));
    assert_eq!(of(json!({ "enabled": false })), "");
    let hindi = json!({ "system_prompt": "..", "transcriber": { "provider": "deepgram", "language": "hi" } });
    assert_snapshot!(of(json!({ "enabled": true, "active_language": "hi", "languages": { "hi": hindi } })), @"stored; tasks[0].tools_config.multilingual_config.enabled: switching languages is not supported by this version yet");
    let wrong = json!({ "enabled": true, "active_language": "hi", "languages": {
        "en": { "synthesizer": { "provider": "elevenlabs" }, "transcriber": { "endpointing": -1 } },
    } });
    assert_snapshot!(of(wrong), @r#"
    tasks[0].tools_config.multilingual_config.active_language: there is no language "hi" in languages
    tasks[0].tools_config.multilingual_config.languages.en.system_prompt: is required
    tasks[0].tools_config.multilingual_config.languages.en.transcriber.endpointing: must be between 0 and 60000, not -1
    tasks[0].tools_config.multilingual_config.languages.en.synthesizer.provider_config: is required
    "#);
}

#[test]
fn what_is_wrong_counts_more_than_what_does_not_run() {
    let body = minimal_with(&[
        (
            "/agent_config/ingest_source_config",
            json!({ "source_type": "api" }),
        ),
        (&settings("backchanneling"), json!(true)),
    ]);
    assert_snapshot!(checked(&body), @"ingest_source_config.source_url: is required");
}

#[test]
fn an_outline_is_read_of_any_document() {
    let mut body = with_llm(graph());
    body["agent_config"]["webhook_url"] = json!("https://example.com/");
    body["agent_config"]["webhook_statuses"] = json!(["completed"]);
    body["agent_config"]["tasks"][0]["tools_config"]["input"] = json!({ "provider": "plivo" });
    let outline = Outline::read(&body);
    assert_eq!(
        outline.webhook_url.unwrap().as_str(),
        "https://example.com/"
    );
    assert_eq!(outline.webhook_statuses, Some(vec!["completed".to_owned()]));
    assert_eq!(outline.telephony_provider.as_deref(), Some("plivo"));
    body["agent_config"]["telephony_provider"] = json!("twilio");
    assert_eq!(
        Outline::read(&body).telephony_provider.as_deref(),
        Some("twilio")
    );
    body["agent_config"]["telephony_provider"] = json!("default");
    assert_eq!(
        Outline::read(&body).telephony_provider.as_deref(),
        Some("plivo")
    );
    assert_eq!(Outline::read(&json!([])), Outline::default());
}

#[test]
fn an_overflow_model_is_stored_and_does_not_run() {
    let with = |overflow: Value| {
        let config = json!({ "provider": "azure", "base_url": "https://x.openai.azure.com", "overflow_llm": overflow });
        checked(&minimal_with(&[(&tools("llm_agent/llm_config"), config)]))
    };
    assert_snapshot!(with(json!({ "model": "gpt-4.1-mini" })), @"stored; tasks[0].tools_config.llm_agent.llm_config.overflow_llm: an overflow model (tools_config.fallbacks.llm names one) is not supported by this version yet");
    assert_snapshot!(with(Value::Null), @"");
}
