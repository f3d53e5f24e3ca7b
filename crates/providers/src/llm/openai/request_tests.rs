//! The body of a request, field by field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{super::super::dialect::dialect, *};
use crate::testing::{ask, said};

fn weather() -> AskTool {
    AskTool {
        name: "weather".into(),
        description: "Tells it".into(),
        parameters: json!({"type": "object", "properties": {}}),
    }
}

fn body(ask: &Ask, name: &str) -> String {
    serde_json::to_string(&Body::new(ask, dialect(name).unwrap(), true)).unwrap()
}

fn value(ask: &Ask, name: &str) -> Value {
    serde_json::from_str(&body(ask, name)).unwrap()
}

#[test]
fn an_ordinary_request() {
    assert_eq!(
        body(&ask("gpt-4.1-mini"), "openai"),
        concat!(
            r#"{"model":"gpt-4.1-mini","messages":[{"role":"system","content":"Be brief."},"#,
            r#"{"role":"user","content":"Hi"}],"stream":true,"#,
            r#""stream_options":{"include_usage":true,"include_obfuscation":false},"#,
            r#""max_tokens":150,"temperature":0.1,"stop":["User:"],"#,
            r#""service_tier":"default","prompt_cache_key":"agent-1"}"#,
        )
    );
}

#[test]
fn other_servers_get_no_fields_of_openai() {
    for name in ["groq", "ollama", "custom", "demo"] {
        let body = value(&ask("m"), name);
        assert_eq!(
            body["stream_options"],
            json!({"include_usage": true}),
            "{name}"
        );
        for field in [
            "service_tier",
            "prompt_cache_key",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
        ] {
            assert!(body.get(field).is_none(), "{name} {field}");
        }
    }
}

#[test] // wire-providers.md §3.1
fn top_k_and_min_p_go_to_those_who_take_them() {
    let mut ask = ask("m");
    (ask.config.top_k, ask.config.min_p) = (Some(40), Some(0.05));
    for name in ["vllm", "openrouter", "together", "fireworks", "deepinfra"] {
        let text = body(&ask, name);
        assert!(
            text.contains(r#""top_k":40,"min_p":0.05,"#),
            "{name} {text}"
        );
    }
    for name in [
        "openai",
        "azure",
        "groq",
        "deepseek",
        "perplexity",
        "ollama",
        "custom",
    ] {
        let body = value(&ask, name);
        assert!(
            body.get("top_k").is_none() && body.get("min_p").is_none(),
            "{name}"
        );
    }
}

#[test]
fn tools_bring_their_fields() {
    let mut ask = ask("gpt-4.1-mini");
    ask.tools.push(weather());
    let body = value(&ask, "openai");
    assert_eq!(
        (&body["tool_choice"], &body["parallel_tool_calls"]),
        (&json!("auto"), &json!(false))
    );
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    ask.tool_choice = ToolChoice::None;
    assert_eq!(value(&ask, "openai")["tool_choice"], "none");
    ask.tool_choice = ToolChoice::Forced("weather".into());
    assert_eq!(
        value(&ask, "openai")["tool_choice"],
        json!({"type": "function", "function": {"name": "weather"}})
    );
}

#[test]
fn a_conversation_with_tools_is_told_in_full() {
    let mut ask = ask("gpt-4.1-mini");
    ask.messages.push(AskMessage {
        role: "assistant",
        content: None,
        tool_calls: vec![("call_1".into(), "weather".into(), "{}".into())],
        tool_call_id: None,
    });
    ask.messages.push(AskMessage {
        tool_call_id: Some("call_1".into()),
        ..said("tool", "sunny")
    });
    ask.messages.push(AskMessage {
        content: None,
        ..said("assistant", "")
    });
    assert_eq!(
        value(&ask, "openai")["messages"].as_array().unwrap()[2..],
        [
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]}),
            json!({"role": "tool", "content": "sunny", "tool_call_id": "call_1"}),
            json!({"role": "assistant", "content": ""}),
        ]
    );
}

#[test]
fn gpt_5_thinks_as_little_as_it_can_and_takes_no_temperature() {
    for (model, effort, limit) in [
        ("gpt-5-mini", json!("minimal"), 662),
        ("openai/gpt-5", json!("minimal"), 662),
        ("gpt-5-pro", json!("high"), 24_726),
        ("gpt-5.1", json!("none"), 150),
        ("gpt-5.2-2026-01-01", json!("none"), 150),
    ] {
        let body = value(&ask(model), "openai");
        assert_eq!(body["reasoning_effort"], effort, "{model}");
        assert_eq!(
            (&body["max_completion_tokens"], &body["verbosity"]),
            (&json!(limit), &json!("low"))
        );
        for field in ["max_tokens", "temperature", "stop", "top_p"] {
            assert!(body.get(field).is_none(), "{model} {field}");
        }
    }
}

#[test]
fn tools_leave_no_effort_from_5_4_on() {
    for (model, wished, alone, with_tools) in [
        ("gpt-5.1", Some("low"), json!("low"), json!("low")),
        ("gpt-5.4-mini", None, json!("none"), Value::Null),
        ("gpt-5.5", Some("low"), json!("low"), Value::Null),
        // Refused where the field is left out, too.
        ("gpt-5.6-terra", None, json!("none"), json!("none")),
        ("gpt-5.6", Some("high"), json!("high"), json!("none")),
        ("gpt-5.10", None, json!("none"), json!("none")),
    ] {
        let mut ask = ask(model);
        ask.config.reasoning_effort = wished.map(str::to_owned);
        assert_eq!(value(&ask, "openai")["reasoning_effort"], alone, "{model}");
        ask.tools.push(weather());
        let told = value(&ask, "openai")["reasoning_effort"].clone();
        assert_eq!(told, with_tools, "{model}");
    }
}

#[test]
fn an_effort_that_can_not_be_sent_is_noticed() {
    let told = |model: &str, wished: Option<&str>| {
        let mut ask = ask(model);
        ask.tools.push(weather());
        ask.config.reasoning_effort = wished.map(str::to_owned);
        let body = Body::new(&ask, dialect("openai").unwrap(), true);
        other_effort(body.effort(), &ask).map(str::to_owned)
    };
    assert_eq!(told("gpt-5.5", Some("high")).as_deref(), Some("none"));
    assert_eq!(told("gpt-5.6", Some("high")).as_deref(), Some("none"));
    assert_eq!(told("gpt-5.6", Some("none")), None);
    assert_eq!(told("gpt-5.6", None), None);
    assert_eq!(told("gpt-5.1", Some("high")), None);
}

#[test] // R100
fn parallel_calls_are_forbidden_but_where_the_field_is_refused() {
    let mut ask = ask("gpt-4.1-mini");
    ask.tools.push(weather());
    assert_eq!(value(&ask, "openai")["parallel_tool_calls"], false);
    ask.config.model = "o4-mini".into();
    assert!(value(&ask, "openai").get("parallel_tool_calls").is_none());
}

#[test]
fn o_models_take_completion_tokens() {
    let body = value(&ask("o4-mini"), "openai");
    assert_eq!(body["max_completion_tokens"], 2198);
    assert!(body.get("temperature").is_none());
    assert_eq!(value(&ask("o4x"), "openai")["max_tokens"], 150);
}

#[test]
fn models_for_chat_take_no_effort() {
    for model in [
        "gpt-5-chat-latest",
        "gpt-5.2-chat",
        "openai/gpt-5.1-chat-latest",
        "o1-mini",
    ] {
        let body = value(&ask(model), "openai");
        for field in ["reasoning_effort", "verbosity"] {
            assert!(body.get(field).is_none(), "{model} {field}");
        }
        let is_plain = model == "gpt-5-chat-latest";
        assert_eq!(body.get("temperature").is_some(), is_plain, "{model}");
        assert_eq!(body.get("stop").is_some(), is_plain, "{model}");
    }
}

#[test]
fn what_always_thinks_does_so_as_little_as_it_can_and_has_room_for_it() {
    for (model, wished, effort, limit) in [
        ("o3", None, json!("low"), 2198),
        ("o3", Some("none"), json!("low"), 2198),
        ("o3", Some("high"), json!("high"), 24_726),
        ("openai/gpt-oss-120b", None, json!("low"), 2198),
        ("gpt-oss:20b", Some("medium"), json!("medium"), 8342),
        ("gpt-5", Some("none"), json!("minimal"), 662),
        ("gpt-5.6", Some("minimal"), json!("none"), 150),
        ("gpt-5.2-chat", Some("low"), Value::Null, 8342),
        ("deepseek-ai/DeepSeek-R1", None, Value::Null, 8342),
        ("sonar-reasoning", Some("low"), json!("low"), 2198),
        ("grok-4-fast-non-reasoning", None, Value::Null, 150),
        ("llama-3.3-70b-versatile", None, Value::Null, 150),
    ] {
        let mut ask = ask(model);
        ask.config.reasoning_effort = wished.map(str::to_owned);
        let body = value(&ask, "groq");
        assert_eq!(body["reasoning_effort"], effort, "{model} {wished:?}");
        let told = [&body["max_tokens"], &body["max_completion_tokens"]];
        assert!(told.contains(&&json!(limit)), "{model} {told:?}");
    }
}

#[test]
fn a_deployment_is_taken_for_the_model_that_its_name_tells() {
    for (name, effort, limit) in [
        ("prod-gpt5", json!("minimal"), 662),
        ("Team-GPT-5.1-eu", json!("none"), 150),
        ("my_gpt_5_mini", json!("minimal"), 662),
        ("eu-o4-mini", json!("low"), 2198),
        ("prod-gpt-oss-120b", json!("low"), 2198),
        ("gpt-35-turbo", Value::Null, 150),
        ("gpt-4o3", Value::Null, 150),
        ("gpt-5-chat", Value::Null, 150),
        ("prod", Value::Null, 150),
    ] {
        let body = value(&ask(name), "azure");
        assert_eq!(body["reasoning_effort"], effort, "{name}");
        let told = [&body["max_tokens"], &body["max_completion_tokens"]];
        assert!(told.contains(&&json!(limit)), "{name} {told:?}");
    }
    // Elsewhere a name is the vendor's.
    let body = value(&ask("prod-gpt5"), "openai");
    assert!(body.get("reasoning_effort").is_none());
}

#[test]
fn an_agent_may_say_what_its_model_is() {
    let mut ask = ask("prod");
    ask.config.family = Some("gpt-5-mini".into());
    let body = value(&ask, "azure");
    assert_eq!(
        (&body["reasoning_effort"], body.get("temperature")),
        (&json!("minimal"), None)
    );
    ask.config.model = "gpt-5-but-not-really".into();
    ask.config.family = Some("gpt-4.1".into());
    let body = value(&ask, "azure");
    assert_eq!(body["max_tokens"], 150);
    assert!(body.get("reasoning_effort").is_none());
}

#[test]
fn stops_and_sampling_are_sent_as_given() {
    let mut ask = ask("gpt-4.1-mini");
    ask.config.stop = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
    ask.config.top_p = Some(0.9);
    ask.config.request_json = true;
    let body = value(&ask, "groq");
    assert_eq!(body["stop"], json!(["a", "b", "c", "User:"]));
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    assert_eq!(
        body["messages"][1]["content"],
        "Answer with one JSON object."
    );
    ask.messages[0].content = Some("Reply in JSON.".into());
    assert_eq!(value(&ask, "groq")["messages"].as_array().unwrap().len(), 2);
    assert!(body["top_p"].as_f64().unwrap() > 0.89);
    assert!(body.get("presence_penalty").is_none());
}
