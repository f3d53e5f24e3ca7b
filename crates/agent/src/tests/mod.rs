//! Tests over whole documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod faults;
mod fields;
mod kinds;
mod knowledge;
mod patches;
mod tools;

use serde_json::{Value, json};

use crate::Agent;

/// The least that is needed to talk without a key.
fn minimal() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Asha",
            "tasks": [{
                "tools_config": {
                    "llm_agent": { "llm_config": { "provider": "demo" } },
                    "synthesizer": { "provider": "local" },
                    "transcriber": { "provider": "local" },
                },
            }],
        },
        "agent_prompts": { "task_1": { "system_prompt": "You book appointments." } },
    })
}

/// Most of what a document may say.
fn whole() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Alfred",
            "agent_welcome_message": "Good morning {name}, this is Alfred.",
            "webhook_url": "https://example.com/calls?key=1",
            "webhook_statuses": ["in-progress", "completed"],
            "agent_type": "support",
            "calling_guardrails": { "call_start_hour": 9, "call_end_hour": 18 },
            "telephony_provider": "twilio",
            "tasks": [{
                "task_type": "conversation",
                "toolchain": { "execution": "parallel", "pipelines": [["transcriber", "llm", "synthesizer"]] },
                "tools_config": {
                    "llm_agent": {
                        "agent_type": "simple_llm_agent",
                        "agent_flow_type": "streaming",
                        "routes": {
                            "embedding_model": "snowflake/snowflake-arctic-embed-m",
                            "routes": [
                                {
                                    "route_name": "prices",
                                    "utterances": ["What does it cost?", "How expensive is it?"],
                                    "response": ["It is free.", "Not at all: it is free."],
                                    "score_threshold": 0.9
                                },
                                { "name": "hours", "utterances": ["When are you open?"], "response": "Always.",
                                  "similarity_threshold": 0.7 }
                            ]
                        },
                        "llm_config": {
                            "agent_flow_type": "streaming",
                            "provider": "openai",
                            "family": "openai",
                            "model": "openai/gpt-5.1",
                            "max_tokens": 150,
                            "temperature": 0.3,
                            "top_p": 0.9,
                            "top_k": 40,
                            "min_p": 0.1,
                            "stop": ["END"],
                            "base_url": "https://llm.example.com/v1",
                            "reasoning_effort": "none",
                            "verbosity": "low",
                            "use_responses_api": true,
                            "compact_threshold": null
                        }
                    },
                    "synthesizer": {
                        "provider": "elevenlabs",
                        "provider_config": { "voice": "Nila", "model": "eleven_turbo_v2_5", "style": 0.2, "speed": 1.1 },
                        "stream": true,
                        "buffer_size": 150,
                        "audio_format": "wav",
                        "caching": false
                    },
                    "transcriber": {
                        "provider": "deepgram",
                        "model": "nova-3",
                        "language": "multi-hi",
                        "stream": true,
                        "sampling_rate": 16000,
                        "encoding": "linear16",
                        "endpointing": 300,
                        "keywords": "Bolo, Plivo one,"
                    },
                    "input": { "provider": "twilio", "format": "wav" },
                    "output": { "provider": "twilio", "format": "wav" },
                    "api_tools": null,
                    "multilingual_config": { "enabled": false }
                },
                "task_config": {
                    "hangup_after_silence": 20,
                    "incremental_delay": 300,
                    "number_of_words_for_interruption": 3,
                    "call_terminate": 90,
                    "hangup_after_LLMCall": true,
                    "call_cancellation_prompt": "The caller said goodbye.",
                    "call_hangup_message": { "en": "Goodbye.", "hi": "अलविदा", "fr": "" },
                    "trigger_user_online_message_after": 7.5,
                    "whitelist_phone_numbers": ["+14155550100"],
                    "inbound_limit": -1,
                    "end_call_tool_mode": "off",
                    "bolo": { "pause_ms": 300 }
                },
                "something_new": true
            }],
            "something_else": [1, 2, 3]
        },
        "agent_prompts": { "task_1": { "system_prompt": "You are Alfred." } }
    })
}

/// [`minimal`] with the values at these JSON pointers replaced.
fn minimal_with(changes: &[(&str, Value)]) -> Value {
    let mut body = minimal();
    for (pointer, value) in changes {
        set(&mut body, pointer, value.clone());
    }
    body
}

/// Sets the value at a JSON pointer; makes the objects on the way.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
}

const TOOLS: &str = "/agent_config/tasks/0/tools_config";
const SETTINGS: &str = "/agent_config/tasks/0/task_config";

fn tools(key: &str) -> String {
    format!("{TOOLS}/{key}")
}

fn settings(key: &str) -> String {
    format!("{SETTINGS}/{key}")
}

/// All faults of a body, one a line; "none" for a good one.
fn faults(body: &Value) -> String {
    match Agent::parse(body) {
        Ok(_) => "none".to_owned(),
        Err(faults) => {
            let lines: Vec<String> = faults
                .0
                .iter()
                .map(|fault| format!("{}: {}", fault.path, fault.message))
                .collect();
            lines.join("\n")
        }
    }
}
