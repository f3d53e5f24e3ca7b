//! Documents that run, and what their defaults are.

use insta::assert_debug_snapshot;
use serde_json::json;

use super::{minimal, minimal_with, settings, tools, whole};
use crate::{Agent, EndCallTool, LocalText, SynthesizerVendor, TranscriberVendor};

#[test]
fn what_is_absent_takes_our_defaults() {
    assert_debug_snapshot!(Agent::parse(&minimal()).unwrap(), @r#"
    Agent {
        name: "Asha",
        welcome: None,
        webhook_url: None,
        webhook_statuses: None,
        agent_type: "other",
        guardrails: None,
        telephony_provider: None,
        ingest: None,
        conversation: ConversationTask {
            llm: LlmAgent {
                config: LlmConfig {
                    provider: "demo",
                    model: "demo",
                    family: None,
                    max_tokens: 100,
                    temperature: 0.1,
                    top_p: None,
                    top_k: None,
                    min_p: None,
                    presence_penalty: None,
                    frequency_penalty: None,
                    stop: [],
                    request_json: false,
                    base_url: None,
                    reasoning_effort: None,
                    verbosity: None,
                    responses: false,
                },
                routes: None,
                knowledge: None,
            },
            synthesizer: Synthesizer {
                vendor: Local,
                voice: "pico",
                voice_id: "",
                model: "",
                language: "en",
                speed: 1.0,
                buffer_size: 250,
                caching: true,
                options: {},
            },
            transcriber: Transcriber {
                vendor: Local,
                model: "moonshine-tiny-en",
                language: "en",
                endpointing_ms: 250,
                keywords: [],
                flux: None,
                detector: None,
                mip_opt_out: false,
            },
            tools: [],
            fallbacks: Fallbacks {
                transcriber: None,
                synthesizer: None,
                llm: None,
            },
            input_provider: "default",
            system_prompt: "You book appointments.",
            config: TaskConfig {
                hangup_after_silence_ms: 10000,
                incremental_delay_ms: 400,
                words_for_interruption: 2,
                interruption_backoff_ms: 0,
                optimize_latency: true,
                hangup_after_llm_call: false,
                call_cancellation_prompt: None,
                call_hangup_message: None,
                call_terminate_ms: 300000,
                use_fillers: false,
                check_if_user_online: true,
                check_user_online_message: One(
                    "Hey, are you still there",
                ),
                trigger_user_online_ms: 6000,
                voicemail: None,
                dtmf_enabled: false,
                discard_pre_welcome_utterance: false,
                welcome_message_delay_ms: 0,
                interruptible_hangup_message: false,
                end_call_tool_mode: Primary,
                room: None,
                normalize_numbers: false,
                bolo: {},
            },
        },
        post_call: [],
    }
    "#);
}

#[test]
fn a_whole_v2_document_is_read() {
    let agent = Agent::parse(&whole()).unwrap();
    assert_debug_snapshot!(agent, @r#"
    Agent {
        name: "Alfred",
        welcome: Some(
            "Good morning {name}, this is Alfred.",
        ),
        webhook_url: Some(
            Url {
                scheme: "https",
                cannot_be_a_base: false,
                username: "",
                password: None,
                host: Some(
                    Domain(
                        "example.com",
                    ),
                ),
                port: None,
                path: "/calls",
                query: Some(
                    "key=1",
                ),
                fragment: None,
            },
        ),
        webhook_statuses: Some(
            [
                "in-progress",
                "completed",
            ],
        ),
        agent_type: "support",
        guardrails: Some(
            Guardrails {
                start_hour: 9,
                end_hour: 18,
            },
        ),
        telephony_provider: Some(
            "twilio",
        ),
        ingest: None,
        conversation: ConversationTask {
            llm: LlmAgent {
                config: LlmConfig {
                    provider: "openai",
                    model: "gpt-5.1",
                    family: None,
                    max_tokens: 150,
                    temperature: 0.3,
                    top_p: Some(
                        0.9,
                    ),
                    top_k: Some(
                        40,
                    ),
                    min_p: None,
                    presence_penalty: None,
                    frequency_penalty: None,
                    stop: [
                        "END",
                    ],
                    request_json: false,
                    base_url: Some(
                        Url {
                            scheme: "https",
                            cannot_be_a_base: false,
                            username: "",
                            password: None,
                            host: Some(
                                Domain(
                                    "llm.example.com",
                                ),
                            ),
                            port: None,
                            path: "/v1",
                            query: None,
                            fragment: None,
                        },
                    ),
                    reasoning_effort: Some(
                        "none",
                    ),
                    verbosity: Some(
                        "low",
                    ),
                    responses: true,
                },
                routes: Some(
                    Routes {
                        embedding_model: "snowflake/snowflake-arctic-embed-m",
                        routes: [
                            Route {
                                name: "prices",
                                utterances: [
                                    "What does it cost?",
                                    "How expensive is it?",
                                ],
                                responses: [
                                    "It is free.",
                                    "Not at all: it is free.",
                                ],
                                score_threshold: 0.9,
                            },
                            Route {
                                name: "hours",
                                utterances: [
                                    "When are you open?",
                                ],
                                responses: [
                                    "Always.",
                                ],
                                score_threshold: 0.7,
                            },
                        ],
                    },
                ),
                knowledge: None,
            },
            synthesizer: Synthesizer {
                vendor: Elevenlabs,
                voice: "Nila",
                voice_id: "Nila",
                model: "eleven_turbo_v2_5",
                language: "hi",
                speed: 1.1,
                buffer_size: 150,
                caching: false,
                options: {
                    "style": Number(0.2),
                },
            },
            transcriber: Transcriber {
                vendor: Deepgram,
                model: "nova-3",
                language: "multi-hi",
                endpointing_ms: 300,
                keywords: [
                    "Bolo",
                    "Plivo one",
                ],
                flux: None,
                detector: None,
                mip_opt_out: false,
            },
            tools: [],
            fallbacks: Fallbacks {
                transcriber: None,
                synthesizer: None,
                llm: None,
            },
            input_provider: "twilio",
            system_prompt: "You are Alfred.",
            config: TaskConfig {
                hangup_after_silence_ms: 20000,
                incremental_delay_ms: 300,
                words_for_interruption: 3,
                interruption_backoff_ms: 0,
                optimize_latency: true,
                hangup_after_llm_call: true,
                call_cancellation_prompt: Some(
                    "The caller said goodbye.",
                ),
                call_hangup_message: Some(
                    ByLanguage(
                        {
                            "en": "Goodbye.",
                            "hi": "अलविदा",
                        },
                    ),
                ),
                call_terminate_ms: 90000,
                use_fillers: false,
                check_if_user_online: true,
                check_user_online_message: One(
                    "Hey, are you still there",
                ),
                trigger_user_online_ms: 7500,
                voicemail: None,
                dtmf_enabled: false,
                discard_pre_welcome_utterance: false,
                welcome_message_delay_ms: 0,
                interruptible_hangup_message: false,
                end_call_tool_mode: Off,
                room: None,
                normalize_numbers: false,
                bolo: {
                    "pause_ms": Number(300),
                },
            },
        },
        post_call: [],
    }
    "#);
}

#[test]
fn a_v1_document_has_a_flat_llm_agent() {
    let agent = Agent::parse(&json!({
        "agent_config": {
            "agent_name": "Alfred",
            "agent_welcome_message": "",
            "webhook_url": null,
            "tasks": [{
                "task_type": "conversation",
                "tools_config": {
                    "llm_agent": {
                        "agent_flow_type": "streaming",
                        "provider": "ollama",
                        "family": "ollama",
                        "model": "llama3.2",
                        "max_tokens": 350,
                        "temperature": 0,
                        "base_url": "http://127.0.0.1:11434/v1",
                        "request_json": true,
                        "routes": [{ "route_name": "a", "utterances": ["b"], "response": ["c"] }]
                    },
                    "synthesizer": { "provider": "local", "provider_config": { "language": "en-GB" } },
                    "transcriber": null
                }
            }]
        },
        "agent_prompts": { "task_1": { "system_prompt": "You are Alfred." } }
    }))
    .unwrap();
    let llm = agent.conversation.llm;
    assert_eq!(llm.config.provider, "ollama");
    assert_eq!(llm.config.model, "llama3.2");
    assert_eq!(
        (
            llm.config.max_tokens,
            llm.config.temperature,
            llm.config.request_json
        ),
        (350, 0.0, true)
    );
    assert_eq!(
        llm.config.base_url.unwrap().as_str(),
        "http://127.0.0.1:11434/v1"
    );
    let routes = llm.routes.unwrap();
    assert_eq!(routes.embedding_model, "snowflake/snowflake-arctic-embed-m");
    assert_eq!(
        (
            routes.routes[0].response(0),
            routes.routes[0].score_threshold
        ),
        ("c", 0.85)
    );
    assert_eq!(agent.welcome, None);
    assert_eq!(
        agent.conversation.transcriber.vendor,
        TranscriberVendor::Deepgram
    );
    assert_eq!(
        agent.conversation.synthesizer.vendor,
        SynthesizerVendor::Local
    );
    assert_eq!(agent.conversation.synthesizer.language, "en-GB");
}

#[test]
fn the_nested_llm_config_wins_over_flat_fields() {
    let agent = Agent::parse(&minimal_with(&[
        (&tools("llm_agent/model"), json!("flat")),
        (&tools("llm_agent/max_tokens"), json!(20)),
        (&tools("llm_agent/llm_config/model"), json!("nested")),
    ]));
    let config = agent.unwrap().conversation.llm.config;
    assert_eq!((config.model.as_str(), config.max_tokens), ("nested", 20));
}

#[test]
fn a_family_that_is_a_vendor_names_no_model() {
    for (family, read) in [("azure", None), ("gpt-5-mini", Some("gpt-5-mini"))] {
        let path = tools("llm_agent/llm_config/family");
        let agent = Agent::parse(&minimal_with(&[(&path, json!(family))])).unwrap();
        assert_eq!(agent.conversation.llm.config.family.as_deref(), read);
    }
}

#[test]
fn a_model_loses_its_vendor_but_not_its_owner() {
    let model = |provider: &str, model: &str| {
        let body = minimal_with(&[
            (&tools("llm_agent/llm_config/provider"), json!(provider)),
            (&tools("llm_agent/llm_config/model"), json!(model)),
        ]);
        Agent::parse(&body).unwrap().conversation.llm.config.model
    };
    assert_eq!(model("openai", "azure/gpt-4.1-mini"), "gpt-4.1-mini");
    assert_eq!(
        model("openai", "ft:gpt-4.1-mini:me/x"),
        "ft:gpt-4.1-mini:me/x"
    );
    assert_eq!(model("groq", "groq/llama-3.3"), "llama-3.3");
    assert_eq!(model("groq", "openai/gpt-oss-20b"), "openai/gpt-oss-20b");
    assert_eq!(model("openrouter", "openrouter/auto"), "openrouter/auto");
    assert_eq!(
        model("openrouter", "openrouter/openai/gpt-4o"),
        "openai/gpt-4o"
    );
}

#[test]
fn null_is_the_default_everywhere() {
    let config = json!({
        "hangup_after_silence": null, "incremental_delay": null, "number_of_words_for_interruption": null,
        "call_terminate": null, "voicemail": null, "call_hangup_message": null, "bolo": null, "inbound_limit": null,
        "check_if_user_online": null, "welcome_message_delay": null, "ambient_noise": null, "backchanneling": null,
    });
    let body = minimal_with(&[
        (&settings("x"), json!(1)),
        ("/agent_config/tasks/0/task_config", config),
        ("/agent_config/webhook_url", json!(null)),
        ("/agent_config/calling_guardrails", json!(null)),
        ("/agent_config/ingest_source_config", json!(null)),
        (&tools("s2s"), json!(null)),
        (
            &tools("api_tools"),
            json!({ "tools": "[]", "tools_params": {} }),
        ),
        (&tools("llm_agent/llm_config/temperature"), json!(null)),
        (&tools("llm_agent/agent_type"), json!(null)),
        (&tools("llm_agent/routes"), json!({ "routes": [] })),
    ]);
    assert_eq!(
        Agent::parse(&body).unwrap(),
        Agent::parse(&minimal()).unwrap()
    );
}

#[test]
fn times_are_ms_whatever_their_unit() {
    let read = |key: &str, value: serde_json::Value| {
        Agent::parse(&minimal_with(&[(&settings(key), value)]))
            .unwrap()
            .conversation
            .config
    };
    // R15: up to 30 it is seconds.
    assert_eq!(
        read("welcome_message_delay", json!(0.5)).welcome_message_delay_ms,
        500
    );
    assert_eq!(
        read("welcome_message_delay", json!(30)).welcome_message_delay_ms,
        30_000
    );
    assert_eq!(
        read("welcome_message_delay", json!(31)).welcome_message_delay_ms,
        31
    );
    // R152: early enough to be heard before the call ends.
    assert_eq!(
        read("hangup_after_silence", json!(5)).trigger_user_online_ms,
        3_000
    );
    assert_eq!(
        read("hangup_after_silence", json!(60)).trigger_user_online_ms,
        10_000
    );
    assert_eq!(
        read("hangup_after_silence", json!(0)).trigger_user_online_ms,
        10_000
    );
    assert_eq!(read("call_terminate", json!(90)).call_terminate_ms, 90_000);
    assert_eq!(
        read("end_call_tool_mode", json!("off")).end_call_tool_mode,
        EndCallTool::Off
    );
    let line = read(
        "check_user_online_message",
        json!({ "de": "Sind Sie noch da?" }),
    )
    .check_user_online_message;
    assert_eq!(line.pick("de"), "Sind Sie noch da?");
    assert_eq!(
        read("check_user_online_message", json!("")).check_user_online_message,
        LocalText::One("Hey, are you still there".into())
    );
}
