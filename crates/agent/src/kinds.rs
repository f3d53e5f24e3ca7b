//! Parts of a document that this version stores, but doesn't run: what must be right in them all the same,
//! so that a stored document runs once they do. Source: agent-config.md §1, §3, §6, §9.

use crate::{LlmConfig, Synthesizer, Transcriber, graph, llm::Fields, place::Place};

/// Checks the fields of an agent of a type that doesn't run.
pub(crate) fn check(kind: &str, fields: &Fields<'_>) {
    match kind {
        "graph_agent" => graph::check(fields),
        "multiagent" => check_team(fields),
        "llm_agent_graph" => check_old_graph(fields),
        _ => {}
    }
}

fn check_team(fields: &Fields<'_>) {
    let map = fields.at("agent_map");
    let members = map.clone().required().map(|map| map.members());
    let members = members.unwrap_or_default();
    if map.object().is_some_and(serde_json::Map::is_empty) {
        map.fault("must not be empty");
    }
    let is_member = |name: &str| members.iter().any(|(member, _)| *member == name);
    for (_, config) in &members {
        if config.object().is_some() {
            LlmConfig::read_alone(config.clone());
        }
    }
    let routing = fields.at("agent_routing_config").required();
    for (name, route) in routing.map(|routing| routing.members()).unwrap_or_default() {
        if !is_member(name) {
            route.fault(format_args!("there is no agent {name:?} in agent_map"));
        }
        let utterances = route.at("utterances");
        if utterances.clone().required().and_then(|list| list.texts()) == Some(Vec::new()) {
            utterances.fault("must not be empty");
        }
        route.at("threshold").number(0.0..=1.0);
    }
    let default = fields.at("default_agent");
    if let Some(name) = default.required_text()
        && !is_member(name)
    {
        default.fault(format_args!("there is no agent {name:?} in agent_map"));
    }
    fields.at("embedding_model").text();
}

fn check_old_graph(fields: &Fields<'_>) {
    let nodes = fields
        .at("nodes")
        .required()
        .and_then(|nodes| nodes.items());
    let nodes = nodes.unwrap_or_default();
    let ids: Vec<_> = nodes
        .iter()
        .filter_map(|node| node.at("id").required_text())
        .collect();
    let edges = fields.at("edges").items().unwrap_or_default();
    for end in edges
        .iter()
        .flat_map(|edge| ["start_node", "end_node"].map(|end| edge.at(end)))
    {
        if let Some(id) = end.required_text()
            && !ids.contains(&id)
        {
            end.fault(format_args!("there is no node {id:?}"));
        }
    }
}

/// `tools_config.s2s`: one model that hears and speaks. Whether there is one.
pub(crate) fn check_s2s(place: &Place<'_>) -> bool {
    if !place.is_filled() {
        return false;
    }
    place.unsupported("a speech-to-speech model");
    if place.object().is_none() {
        return true;
    }
    let provider = place.at("provider").required();
    provider.and_then(|name| name.word(&["openai_realtime", "gemini_live"]));
    place.at("welcome_audio_gate_ms").ms();
    let config = place.at("provider_config");
    config.object();
    for key in ["model", "voice", "transcription_model"] {
        config.at(key).text();
    }
    config
        .at("turn_detection_type")
        .word(&["semantic_vad", "server_vad"]);
    config
        .at("eagerness")
        .word(&["auto", "low", "medium", "high"]);
    config.at("vad_threshold").number(0.0..=1.0);
    for key in ["vad_silence_duration_ms", "vad_prefix_padding_ms"] {
        config.at(key).ms();
    }
    for key in ["enable_session_resumption", "enable_context_compression"] {
        config.at(key).flag(true);
    }
    true
}

/// `tools_config.multilingual_config`.
pub(crate) fn check_languages(place: &Place<'_>) {
    place.object();
    let enabled = place.at("enabled").flag(false);
    if enabled {
        place.at("enabled").unsupported("switching languages");
    }
    place.at("switch_tool_description").text();
    let (active, languages) = (place.at("active_language"), place.at("languages"));
    if enabled {
        languages.clone().required();
        if let Some(code) = active.required_text()
            && !languages.at(code).is_present()
        {
            active.fault(format_args!("there is no language {code:?} in languages"));
        }
    }
    for (_, language) in languages.members() {
        if language.object().is_none() {
            continue;
        }
        language.at("agent_name").text();
        language.at("system_prompt").required_text();
        language.at("handoff_message").text();
        let given = |key| Some(language.at(key)).filter(Place::is_present);
        let transcriber = given("transcriber").and_then(|place| Transcriber::read(&place));
        if let Some(place) = given("synthesizer") {
            Synthesizer::read(&place, transcriber.as_ref());
        }
    }
}
