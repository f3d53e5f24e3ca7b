//! Documents that don't run, and how each is told so.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{faults, minimal, minimal_with, settings, tools};
use crate::{Agent, SynthesizerVendor};

#[test]
fn a_body_without_its_parts() {
    assert_snapshot!(faults(&json!([])), @": must be an object, not a list");
    assert_snapshot!(faults(&json!({})), @"
    agent_config: is required
    agent_prompts: is required
    ");
    assert_snapshot!(faults(&json!({ "agent_config": {}, "agent_prompts": "x" })), @"
    agent_prompts: must be an object, not text
    agent_name: is required
    tasks: is required
    ");
    assert_snapshot!(faults(&json!({ "agent_config": { "agent_name": " ", "tasks": [] }, "agent_prompts": {} })), @"
    agent_name: must not be empty
    tasks: must hold a task of type conversation
    ");
    let mut body = minimal();
    body["agent_config"]["tasks"] = json!([{}]);
    body["agent_prompts"] = json!({ "task_2": { "system_prompt": "of another task" } });
    assert_snapshot!(faults(&body), @"
    tasks[0].tools_config: is required
    agent_prompts.task_1.system_prompt: is required
    ");
    body["agent_config"]["tasks"] = json!([{ "tools_config": {} }, 7]);
    assert_snapshot!(faults(&body), @"
    tasks[0].tools_config.llm_agent: is required
    tasks[0].tools_config.synthesizer: is required
    agent_prompts.task_1.system_prompt: is required
    tasks[1]: must be an object, not a number
    ");
}

#[test]
fn every_fault_of_a_document_is_found_at_once() {
    let body = minimal_with(&[
        ("/agent_config/agent_name", json!(7)),
        ("/agent_config/agent_welcome_message", json!({ "en": "Hi" })),
        ("/agent_config/webhook_url", json!("ftp://example.com")),
        (
            "/agent_config/webhook_statuses",
            json!(["completed", "done", 3]),
        ),
        (
            "/agent_config/calling_guardrails",
            json!({ "call_start_hour": 18, "call_end_hour": 9 }),
        ),
        ("/agent_config/telephony_provider", json!("carrier-pigeon")),
        (
            "/agent_config/tasks/0/toolchain",
            json!({ "execution": "sideways", "pipelines": ["llm"] }),
        ),
        ("/agent_prompts/task_1/system_prompt", json!("")),
        (&tools("llm_agent/llm_config/provider"), json!("foo")),
        (&tools("llm_agent/llm_config/temperature"), json!(2.5)),
        (&tools("llm_agent/llm_config/max_tokens"), json!("150")),
        (&tools("llm_agent/llm_config/stop"), json!("END")),
        (
            &tools("llm_agent/routes"),
            json!([
                { "route_name": "a", "utterances": ["x", "y"], "response": ["only one"], "score_threshold": 1.5 },
                { "utterances": [], "response": "" },
            ]),
        ),
        (&tools("transcriber/language"), json!("hi")),
        (&tools("transcriber/endpointing"), json!(-1)),
        (&tools("synthesizer/provider"), json!("foo")),
        (&tools("input/provider"), json!("fax")),
        (&settings("hangup_after_silence"), json!(-3)),
        (&settings("incremental_delay"), json!("400")),
        (&settings("number_of_words_for_interruption"), json!(1.5)),
        (&settings("use_fillers"), json!("yes")),
        (&settings("end_call_tool_mode"), json!("maybe")),
        (
            &settings("call_hangup_message"),
            json!({ "en": "Bye", "hi": 5 }),
        ),
        (&settings("call_terminate"), json!(0)),
        (&settings("inbound_limit"), json!(-2)),
        (
            &settings("whitelist_phone_numbers"),
            json!(["+14155550100", "0041 44 668"]),
        ),
    ]);
    assert_snapshot!(faults(&body), @r#"
    agent_name: must be text, not a number
    agent_welcome_message: must be text, not an object
    webhook_url: must be an address that begins with https:// or http://
    webhook_statuses[1]: unknown value "done"; one of prepared, scheduled, queued, rescheduled, initiated, ringing, in-progress, call-disconnected, completed, busy, no-answer, balance-low, canceled, failed, stopped, error
    webhook_statuses[2]: must be text, not a number
    calling_guardrails.call_end_hour: must not be before call_start_hour, 18
    telephony_provider: unknown carrier "carrier-pigeon"; one of twilio, plivo, vobiz, exotel, sip-trunk, default
    tasks[0].tools_config.llm_agent.llm_config.provider: unknown vendor "foo"; one of openai, azure, azure-openai, anthropic, google, custom, ollama, vllm, groq, deepseek, openrouter, together, fireworks, deepinfra, perplexity, anyscale, ola, demo
    tasks[0].tools_config.llm_agent.llm_config.max_tokens: must be a whole number, not text
    tasks[0].tools_config.llm_agent.llm_config.temperature: must be between 0 and 2, not 2.5
    tasks[0].tools_config.llm_agent.llm_config.stop: must be a list, not text
    tasks[0].tools_config.llm_agent.routes[0].response: must hold one answer for each of the 2 utterances, not 1
    tasks[0].tools_config.llm_agent.routes[0].score_threshold: must be between 0 and 1, not 1.5
    tasks[0].tools_config.llm_agent.routes[1].route_name: is required
    tasks[0].tools_config.llm_agent.routes[1].utterances: must not be empty
    tasks[0].tools_config.llm_agent.routes[1].response: must not be empty
    tasks[0].tools_config.transcriber.endpointing: must be between 0 and 60000, not -1
    tasks[0].tools_config.transcriber.language: the local transcriber understands no "hi"; one of en
    tasks[0].tools_config.synthesizer.provider: unknown vendor "foo"; one of elevenlabs, deepgram, cartesia, openai, sarvam, azuretts, polly, rime, smallest, local
    tasks[0].tools_config.input.provider: unknown carrier "fax"; one of twilio, plivo, vobiz, exotel, sip-trunk, default
    tasks[0].toolchain.execution: unknown value "sideways"; one of parallel, sequential
    tasks[0].toolchain.pipelines[0]: must be a list, not text
    tasks[0].task_config.hangup_after_silence: must be between 0 and 86400, not -3
    tasks[0].task_config.end_call_tool_mode: unknown value "maybe"; one of primary, off
    tasks[0].task_config.incremental_delay: must be a number, not text
    tasks[0].task_config.number_of_words_for_interruption: must be a whole number, not a fraction
    tasks[0].task_config.call_hangup_message.hi: must be text, not a number
    tasks[0].task_config.call_terminate: must be between 1 and 86400, not 0
    tasks[0].task_config.use_fillers: must be true or false, not text
    tasks[0].task_config.inbound_limit: must be between -1 and 1000000000, not -2
    tasks[0].task_config.whitelist_phone_numbers[1]: must be a phone number in E.164 form, such as +14155550100
    agent_prompts.task_1.system_prompt: must not be empty
    "#);
}

#[test]
fn what_is_known_but_does_not_run_yet_says_so() {
    let body = minimal_with(&[
        ("/agent_config/telephony_provider", json!("freeswitch")),
        (&tools("llm_agent/llm_config/provider"), json!("cohere")),
        (
            &tools("llm_agent/llm_config/rag_config"),
            json!({ "vector_store": {} }),
        ),
        (&tools("llm_agent/agent_flow_type"), json!("preprocessed")),
        (
            &tools("transcriber"),
            json!({ "provider": "azure", "language": "hi", "task": "translate" }),
        ),
        (
            &tools("synthesizer"),
            json!({ "provider": "maya", "provider_config": {} }),
        ),
        (&tools("s2s"), json!({ "provider": "openai_realtime" })),
        (
            &tools("multilingual_config"),
            json!({ "enabled": true, "active_language": "en", "languages": { "en": { "system_prompt": "…" } } }),
        ),
        (
            &tools("api_tools"),
            json!({
                "tools": [
                    { "name": "look_up", "description": "d", "parameters": {} },
                ],
                "tools_params": {
                    "look_up": { "url": "https://example.com", "scope": "node" },
                },
            }),
        ),
        (&tools("output/provider"), json!("database")),
        (&settings("backchanneling"), json!(true)),
        (&settings("ambient_noise"), json!(true)),
        (&settings("ambient_noise_track"), json!("custom")),
        (&settings("auto_reschedule"), json!(true)),
        (&settings("noise_cancellation_level"), json!(50)),
    ]);
    assert_snapshot!(faults(&body), @r#"
    tasks[0].tools_config.llm_agent.llm_config.rag_config.vector_store.provider_config.vector_id: is required, or vector_ids
    telephony_provider: carrier "freeswitch" is not supported by this version yet; one of twilio, plivo, vobiz, exotel, sip-trunk, default
    tasks[0].tools_config.s2s: a speech-to-speech model is not supported by this version yet
    tasks[0].tools_config.llm_agent.agent_flow_type: flow type "preprocessed" is not supported by this version yet; one of streaming
    tasks[0].tools_config.llm_agent.llm_config.provider: vendor "cohere" is not supported by this version yet; one of openai, azure, azure-openai, anthropic, google, custom, ollama, vllm, groq, deepseek, openrouter, together, fireworks, deepinfra, perplexity, anyscale, ola, demo
    tasks[0].tools_config.transcriber.task: translating what is heard is not supported by this version yet
    tasks[0].tools_config.transcriber.provider: vendor "azure" is not supported by this version yet; one of deepgram, assembly, elevenlabs, sarvam, openai, soniox, gladia, smallest, local
    tasks[0].tools_config.synthesizer.provider: vendor "maya" is not supported by this version yet; one of elevenlabs, deepgram, cartesia, openai, sarvam, azuretts, polly, rime, smallest, local
    tasks[0].tools_config.output.provider: carrier "database" is not supported by this version yet; one of twilio, plivo, vobiz, exotel, sip-trunk, default
    tasks[0].tools_config.multilingual_config.enabled: switching languages is not supported by this version yet
    tasks[0].tools_config.api_tools.tools_params.look_up.scope: scope "node" is not supported by this version yet; one of global
    tasks[0].task_config.ambient_noise_track: ambient noise but coffee-shop, office-ambience and call-center is not supported by this version yet
    tasks[0].task_config.backchanneling: acknowledging while the caller speaks is not supported by this version yet
    tasks[0].task_config.auto_reschedule: rescheduling by the conversation is not supported by this version yet
    tasks[0].task_config.noise_cancellation_level: noise cancellation is not supported by this version yet
    "#);
}

#[test]
fn other_kinds_of_agent_and_task_are_refused() {
    let kind = |kind: &str| {
        faults(&minimal_with(&[(
            &tools("llm_agent/agent_type"),
            json!(kind),
        )]))
    };
    assert_snapshot!(kind("parrot"), @r#"tasks[0].tools_config.llm_agent.agent_type: unknown agent type "parrot"; one of simple_llm_agent, knowledgebase_agent"#);
    let mut body = minimal();
    let task = body["agent_config"]["tasks"][0].clone();
    body["agent_config"]["tasks"] = json!([{ "task_type": "notification" }, task, { "task_type": "summarization" }, { "task_type": "dance" }, task]);
    body["agent_prompts"] = json!({ "task_2": { "system_prompt": "You book appointments." } });
    assert_snapshot!(faults(&body), @r#"
    tasks[2].tools_config.llm_agent: is required
    tasks[3].task_type: unknown task type "dance"; one of conversation, extraction, summarization, webhook
    tasks[0].task_type: task type "notification" is not supported by this version yet; one of conversation, extraction, summarization, webhook
    tasks[4]: a second conversation task is not supported by this version yet
    "#);
    body["agent_config"]["tasks"] = json!([{ "task_type": "webhook" }]);
    assert_snapshot!(faults(&body), @r#"
    tasks[0].tools_config.webhook_url: is required
    tasks: must hold a task of type conversation
    "#);
}

#[test]
fn local_speech_names_the_languages_it_can_do() {
    let speaks = |language: &str| {
        faults(&minimal_with(&[(
            &tools("synthesizer/provider_config"),
            json!({ "language": language }),
        )]))
    };
    for language in ["en", "en-US", "en-gb", "de", "de-CH", "es", "fr", "it-IT"] {
        assert_eq!(speaks(language), "none", "{language}");
    }
    assert_snapshot!(speaks("hi"), @r#"tasks[0].tools_config.synthesizer.provider_config.language: the local voice speaks no "hi"; one of en, en-US, en-GB, de, es, fr, it"#);
    assert_snapshot!(speaks("en-IN"), @r#"tasks[0].tools_config.synthesizer.provider_config.language: the local voice speaks no "en-IN"; one of en, en-US, en-GB, de, es, fr, it"#);
    let hears = |language: &str| {
        faults(&minimal_with(&[(
            &tools("transcriber/language"),
            json!(language),
        )]))
    };
    assert_eq!(
        (hears("en"), hears("en-IN")),
        ("none".to_owned(), "none".to_owned())
    );
    let model = |name: &str| {
        let path = tools("transcriber/model");
        faults(&minimal_with(&[(&path, json!(name))]))
    };
    assert_eq!(model("moonshine-base-en"), "none");
    assert_snapshot!(model("nova-3"), @r#"tasks[0].tools_config.transcriber.model: the local transcriber has no model "nova-3"; one of moonshine-tiny-en, moonshine-base-en"#);
    // The voice's language is the transcriber's where it has none of its own.
    assert_snapshot!(hears("ta"), @r#"
    tasks[0].tools_config.transcriber.language: the local transcriber understands no "ta"; one of en
    tasks[0].tools_config.synthesizer.provider_config.language: the local voice speaks no "ta"; one of en, en-US, en-GB, de, es, fr, it
    "#);
}

#[test]
fn a_local_voice_is_named_or_follows_the_language() {
    let of = |config: Value| minimal_with(&[(&tools("synthesizer/provider_config"), config)]);
    let voice = |config: Value| {
        let voice = Agent::parse(&of(config)).unwrap().conversation.synthesizer;
        format!("{}/{}/{}", voice.voice, voice.voice_id, voice.language)
    };
    assert_eq!(voice(json!({})), "pico//en");
    assert_eq!(
        voice(json!({ "voice": "pico", "language": "de" })),
        "pico//de"
    );
    assert_eq!(voice(json!({ "voice": "it-it" })), "it-it/it-IT/it-IT");
    assert_eq!(
        voice(json!({ "voice": "Asha", "voice_id": "en-GB" })),
        "Asha/en-GB/en-GB"
    );
    assert_eq!(
        voice(json!({ "voice": "LJSpeech" })),
        "LJSpeech/ljspeech/en-US"
    );
    assert_snapshot!(faults(&of(json!({ "voice": "ljspeech", "language": "de" }))), @r#"tasks[0].tools_config.synthesizer.provider_config.language: the local voice speaks no "de"; one of en"#);
    assert_snapshot!(faults(&of(json!({ "voice": "Nila" }))), @r#"tasks[0].tools_config.synthesizer.provider_config.voice: unknown voice "Nila"; one of en-US, en-GB, de-DE, es-ES, fr-FR, it-IT, ljspeech, joe, or pico for that of the language"#);
    assert_snapshot!(faults(&of(json!({ "voice": "pico", "voice_id": "V1" }))), @r#"tasks[0].tools_config.synthesizer.provider_config.voice_id: unknown voice "V1"; one of en-US, en-GB, de-DE, es-ES, fr-FR, it-IT, ljspeech, joe, or pico for that of the language"#);
}

#[test]
fn elevenlabs_needs_a_voice_and_a_model() {
    let of = |config: Value| {
        faults(&minimal_with(&[(
            &tools("synthesizer"),
            json!({ "provider": "elevenlabs", "provider_config": config }),
        )]))
    };
    assert_snapshot!(of(Value::Null), @"tasks[0].tools_config.synthesizer.provider_config: is required");
    assert_snapshot!(of(json!({ "voice_id": "V9LCAAi4tTlqe9JadbCo", "speed": 9, "style": "loud" })), @"
    tasks[0].tools_config.synthesizer.provider_config.speed: must be between 0.25 and 4, not 9
    tasks[0].tools_config.synthesizer.provider_config.voice: is required
    tasks[0].tools_config.synthesizer.provider_config.model: is required
    tasks[0].tools_config.synthesizer.provider_config.style: must be a number, not text
    ");
    assert_eq!(of(json!({ "voice": "Nila", "model": "eleven_v3" })), "none");
    assert_snapshot!(of(json!({ "voice": "Nila", "model": "eleven_flash_v2_5" })), @"none");
    let endpoint = |model: &str, endpoint: &str| {
        of(json!({ "voice": "Nila", "model": model, "endpoint": endpoint }))
    };
    assert_eq!(endpoint("eleven_flash_v2_5", "stream-input"), "none");
    assert_eq!(endpoint("eleven_flash_v2_5", "multi-stream-input"), "none");
    assert_snapshot!(endpoint("eleven_flash_v2_5", "stream"), @r#"tasks[0].tools_config.synthesizer.provider_config.endpoint: unknown value "stream"; one of multi-stream-input, stream-input"#);
    assert_snapshot!(endpoint("eleven_v3", "stream-input"), @"tasks[0].tools_config.synthesizer.provider_config.endpoint: eleven_v3 speaks over another; leave this out");
}

#[test]
fn each_vendor_of_voices_names_what_it_needs() {
    let of = |provider: &str, config: Value| {
        faults(&minimal_with(&[(
            &tools("synthesizer"),
            json!({ "provider": provider, "provider_config": config }),
        )]))
    };
    for vendor in SynthesizerVendor::ALL {
        let name = vendor.as_str();
        let whole = match vendor {
            SynthesizerVendor::Local => json!({}),
            SynthesizerVendor::Polly => json!({ "voice": "Joanna", "engine": "neural" }),
            _ => json!({ "voice": "Nila", "model": "m" }),
        };
        assert_eq!(of(name, whole), "none", "{name}");
    }
    let speaks = |provider: &str, heard: &str| {
        let voice = json!({ "voice": "Nila", "model": "m" });
        let body = minimal_with(&[
            (
                &tools("transcriber"),
                json!({ "provider": "deepgram", "language": heard }),
            ),
            (
                &tools("synthesizer"),
                json!({ "provider": provider, "provider_config": voice }),
            ),
        ]);
        let agent = Agent::parse(&body).unwrap();
        agent.conversation.synthesizer.language
    };
    assert_eq!(speaks("cartesia", "multi-hi"), "hi");
    assert_eq!(speaks("cartesia", "multi"), "en");
    assert_eq!(speaks("elevenlabs", "multi"), "multi");
    assert_snapshot!(of("polly", json!({ "voice": "Joanna", "engine": "steam" })), @r#"tasks[0].tools_config.synthesizer.provider_config.engine: unknown value "steam"; one of standard, neural, long-form, generative"#);
    assert_snapshot!(of("polly", json!({ "engine": "neural" })), @"tasks[0].tools_config.synthesizer.provider_config.voice: is required");
    assert_snapshot!(of("sarvam", json!({ "voice": "shubh", "pitch": 2, "loudness": "high" })), @"
    tasks[0].tools_config.synthesizer.provider_config.model: is required
    tasks[0].tools_config.synthesizer.provider_config.pitch: must be between -0.75 and 0.75, not 2
    tasks[0].tools_config.synthesizer.provider_config.loudness: must be a number, not text
    ");
    assert_snapshot!(of("cartesia", json!({ "voice": "v", "model": "sonic-3", "volume": 9 })), @"tasks[0].tools_config.synthesizer.provider_config.volume: must be between 0.5 and 2, not 9");
}

#[test]
fn models_and_vendors_that_do_not_fit_each_other() {
    let of = |config: Value| faults(&minimal_with(&[(&tools("llm_agent/llm_config"), config)]));
    assert_snapshot!(of(json!({ "provider": "custom" })), @r#"tasks[0].tools_config.llm_agent.llm_config.base_url: is required: vendor "custom" has no address of its own"#);
    assert_snapshot!(of(json!({ "provider": "custom", "base_url": "https://llm.example.com/v1" })), @"none");
    assert_snapshot!(of(json!({ "model": "gpt-5-mini", "reasoning_effort": "none" })), @r#"tasks[0].tools_config.llm_agent.llm_config.reasoning_effort: gpt-5-mini does not take "none"; one of minimal, low, medium, high"#);
    assert_snapshot!(of(json!({ "model": "gpt-5.4-mini", "reasoning_effort": "xhigh" })), @r#"tasks[0].tools_config.llm_agent.llm_config.reasoning_effort: gpt-5.4-mini does not take "xhigh"; one of none, low, medium, high"#);
    assert_snapshot!(of(json!({ "model": "gpt-5.4", "reasoning_effort": "xhigh" })), @"none");
    assert_snapshot!(of(json!({ "model": "some-model", "reasoning_effort": "huge", "verbosity": "chatty" })), @r#"
    tasks[0].tools_config.llm_agent.llm_config.reasoning_effort: unknown value "huge"; one of none, minimal, low, medium, high, xhigh
    tasks[0].tools_config.llm_agent.llm_config.verbosity: unknown value "chatty"; one of low, medium, high
    "#);
}

#[test]
fn a_flux_model_judges_turns_as_told() {
    let of = |config: Value| faults(&minimal_with(&[(&tools("transcriber"), config)]));
    let flux = |more: Value| {
        let mut flux = json!({ "provider": "deepgram", "model": "flux-general-en" });
        flux.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        flux
    };
    let all = json!({ "eot_threshold": 0.8, "eager_eot_threshold": 0.5, "eot_timeout_ms": 700 });
    assert_snapshot!(of(flux(all)), @"none");
    assert_snapshot!(of(flux(json!({ "eot_threshold": 0.4, "eager_eot_threshold": 0.2, "eot_timeout_ms": 100 }))), @r"
    tasks[0].tools_config.transcriber.eot_threshold: must be between 0.5 and 1, not 0.4
    tasks[0].tools_config.transcriber.eager_eot_threshold: must be between 0.3 and 0.9, not 0.2
    tasks[0].tools_config.transcriber.eot_timeout_ms: must be between 500 and 60000, not 100
    ");
    assert_snapshot!(of(flux(json!({ "eot_threshold": 0.6, "eager_eot_threshold": 0.7 }))), @"tasks[0].tools_config.transcriber.eager_eot_threshold: must be at most eot_threshold, 0.6");
    assert_snapshot!(of(flux(json!({ "language": "de", "language_hints": ["de"] }))), @r#"
    tasks[0].tools_config.transcriber.language: flux-general-en understands no "de"; flux-general-multi may
    tasks[0].tools_config.transcriber.language_hints: flux-general-en takes none; flux-general-multi does
    "#);
    assert_snapshot!(of(json!({ "model": "flux-general-multi", "language": "multi-de", "language_hints": ["de", "en"] })), @"none");
}

#[test]
fn a_flux_model_expects_the_agents_language() {
    let hints = |language: &str| {
        let flux = json!({ "model": "flux-general-multi", "language": language });
        let body = minimal_with(&[(&tools("transcriber"), flux)]);
        let agent = Agent::parse(&body).unwrap();
        agent.conversation.transcriber.flux.unwrap().language_hints
    };
    assert_eq!(hints("de-AT"), ["de"]);
    assert_eq!(hints("multi-de"), ["de"]);
}

#[test]
fn warnings_name_what_can_never_happen() {
    let warnings = |changes: &[(&str, serde_json::Value)]| {
        Agent::parse(&minimal_with(changes)).unwrap().warnings()
    };
    assert_eq!(warnings(&[]), []);
    insta::assert_debug_snapshot!(warnings(&[
        (&settings("hangup_after_silence"), json!(10)),
        (&settings("trigger_user_online_message_after"), json!(10)),
        (&settings("call_terminate"), json!(8)),
        (&settings("hangup_after_LLMCall"), json!(true)),
    ]), @r#"
    [
        Fault {
            path: "task_config.trigger_user_online_message_after",
            message: "never fires: the call ends after 10 s of silence",
        },
        Fault {
            path: "task_config.hangup_after_silence",
            message: "never fires: call_terminate comes first",
        },
        Fault {
            path: "task_config.hangup_after_LLMCall",
            message: "has no effect without call_cancellation_prompt",
        },
    ]
    "#);
    assert_eq!(
        warnings(&[
            (&settings("trigger_user_online_message_after"), json!(10)),
            (&settings("check_if_user_online"), json!(false)),
        ]),
        []
    );
}

#[test]
fn vendors_that_listen_have_defaults_and_limits() {
    let of = |config: Value| {
        let body = minimal_with(&[(&tools("transcriber"), config)]);
        let agent = Agent::parse(&body).unwrap();
        let transcriber = agent.conversation.transcriber;
        format!("{} {}", transcriber.vendor.as_str(), transcriber.model)
    };
    let defaults = [
        "elevenlabs",
        "sarvam",
        "openai",
        "soniox",
        "gladia",
        "smallest",
    ]
    .map(|name| of(json!({ "provider": name })));
    assert_eq!(
        defaults,
        [
            "elevenlabs scribe_v2_realtime",
            "sarvam saaras:v3",
            "openai gpt-4o-mini-transcribe",
            "soniox stt-rt-v5",
            "gladia solaria-1",
            "smallest pulse"
        ]
    );
    let of = |config: Value| faults(&minimal_with(&[(&tools("transcriber"), config)]));
    assert_snapshot!(of(json!({ "provider": "elevenlabs", "keywords": "Bolo, a phrase beyond twenty" })), @"tasks[0].tools_config.transcriber.keywords: elevenlabs takes at most 50 of at most 20 characters each");
    assert_snapshot!(of(json!({ "provider": "sarvam", "keywords": "Bolo" })), @"tasks[0].tools_config.transcriber.keywords: sarvam takes them with model saaras:v4 only");
    assert_snapshot!(of(json!({ "provider": "openai", "model": "gpt-realtime-whisper", "keywords": "Bolo" })), @"tasks[0].tools_config.transcriber.keywords: gpt-realtime-whisper takes none");
    assert_snapshot!(of(json!({ "provider": "sarvam", "model": "saaras:v4", "keywords": "Bolo" })), @"none");
}

#[test]
fn settings_of_one_transcriber_are_no_others() {
    let of = |config: Value| faults(&minimal_with(&[(&tools("transcriber"), config)]));
    let defaults = json!({ "mip_opt_out": false, "noise_reduction": false, "vad_threshold": 0.5, "vad_prefix_padding_ms": 300, "delay": "medium", "task": "transcribe" });
    assert_eq!(of(defaults), "none");
    assert_eq!(
        of(json!({ "model": "flux-general-en", "mip_opt_out": true })),
        "none"
    );
    assert_eq!(
        of(
            json!({ "provider": "openai", "noise_reduction": true, "vad_threshold": 0.7, "vad_prefix_padding_ms": 100 })
        ),
        "none"
    );
    assert_snapshot!(of(json!({ "provider": "soniox", "mip_opt_out": true, "noise_reduction": "far_field", "vad_threshold": 0.7, "vad_prefix_padding_ms": 100, "delay": "low" })), @"
    tasks[0].tools_config.transcriber.delay: only openai's gpt-realtime-whisper takes it
    tasks[0].tools_config.transcriber.noise_reduction: only openai takes it
    tasks[0].tools_config.transcriber.vad_threshold: only openai takes it
    tasks[0].tools_config.transcriber.vad_prefix_padding_ms: only openai takes it
    tasks[0].tools_config.transcriber.mip_opt_out: only deepgram takes it
    ");
    assert_snapshot!(of(json!({ "provider": "openai", "model": "gpt-live-transcribe", "noise_reduction": "loud", "vad_threshold": 0.7, "vad_prefix_padding_ms": -1 })), @r#"
    tasks[0].tools_config.transcriber.noise_reduction: unknown value "loud"; one of near_field, far_field
    tasks[0].tools_config.transcriber.vad_prefix_padding_ms: must be between 0 and 10000, not -1
    tasks[0].tools_config.transcriber.vad_threshold: gpt-live-transcribe detects no turns
    "#);
    let aura = json!({ "provider": "deepgram", "provider_config": { "voice": "Thalia", "model": "aura-2", "mip_opt_out": "yes" } });
    assert_snapshot!(faults(&minimal_with(&[(&tools("synthesizer"), aura)])), @"tasks[0].tools_config.synthesizer.provider_config.mip_opt_out: must be true or false, not text");
}
