//! Agents that are a graph of nodes: what must be right before one is stored. Source: agent-config.md §3,
//! graph_agent.

use std::collections::HashMap;

use crate::{
    LlmConfig,
    llm::{Fields, reasoning_effort},
    place::Place,
};

const OPERATORS: [&str; 11] = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "contains",
    "in",
    "not_in",
    "exists",
    "not_exists",
];

/// Notes what is wrong with a graph.
pub(crate) fn check(fields: &Fields<'_>) {
    let config = LlmConfig::read(fields);
    fields.at("agent_information").required_text();
    for key in ["context_data", "rag_config"] {
        fields.at(key).object();
    }
    for (_, kind) in fields.at("variable_types").members() {
        kind.word(&["string", "number", "boolean"]);
    }
    check_routing(fields, &config.model);
    let list = fields.at("nodes");
    let nodes = list.clone().required().and_then(|list| list.items());
    let nodes = nodes.unwrap_or_default();
    if list.is_list() && nodes.is_empty() {
        list.fault("must not be empty");
    }
    let mut known = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        if node.object().is_none() {
            continue;
        }
        let id = node.at("id");
        if let Some(text) = id.required_text()
            && known.insert(text, index).is_some()
        {
            id.fault(format_args!("another node is called {text:?}"));
        }
    }
    let start = fields.at("current_node_id");
    if let Some(id) = start.required_text()
        && !known.contains_key(id)
    {
        start.fault(format_args!("there is no node {id:?}"));
    }
    for node in &nodes {
        check_node(node, &known);
    }
    check_circles(&nodes, &known);
}

fn check_routing(fields: &Fields<'_>, model: &str) {
    for key in ["routing_provider", "routing_instructions"] {
        fields.at(key).text();
    }
    fields.at("routing_max_tokens").whole(1..=1_000_000);
    let routing = fields.at("routing_model");
    let model = routing.some_text().unwrap_or(model);
    reasoning_effort(&fields.at("routing_reasoning_effort"), model);
}

type Known<'d> = HashMap<&'d str, usize>;

fn kind_of(node: &Place<'_>) -> Option<&'static str> {
    let kind = node.at("node_type");
    match kind.is_present() {
        true => kind.word(&["llm", "static", "router"]),
        false => Some("llm"),
    }
}

fn check_node(node: &Place<'_>, known: &Known<'_>) {
    let Some(kind) = kind_of(node) else {
        return;
    };
    let (prompt, message) = (node.at("prompt"), node.at("static_message"));
    match kind {
        "llm" => drop(prompt.required_text()),
        "static" => drop(
            message
                .clone()
                .required()
                .and_then(|text| text.local_text()),
        ),
        _ => {
            for place in [prompt, message] {
                if place.is_filled() {
                    place.fault("a router says nothing");
                }
            }
        }
    }
    node.at("description").text();
    node.at("repeat_after_silence_seconds")
        .number(0.0..=86_400.0);
    node.at("rag_config").object();
    let edges = node.at("edges");
    let mut unconditional = 0;
    for edge in edges.items().unwrap_or_default() {
        match check_edge(&edge, known) {
            Some("unconditional") => unconditional += 1,
            Some("event") if kind == "router" => {
                edge.at("condition_type")
                    .fault("a router waits for no event");
            }
            _ => {}
        }
    }
    if kind == "router" && unconditional != 1 {
        edges.fault(format_args!(
            "a router needs one unconditional edge, not {unconditional}"
        ));
    }
}

/// Notes what is wrong with an edge; its kind.
fn check_edge(edge: &Place<'_>, known: &Known<'_>) -> Option<&'static str> {
    edge.clone().required()?.object()?;
    let target = edge.at("to_node_id");
    if let Some(id) = target.required_text()
        && !known.contains_key(id)
    {
        target.fault(format_args!("there is no node {id:?}"));
    }
    edge.at("priority").whole(0..=1_000_000);
    edge.at("function_description").text();
    if let Some(name) = edge.at("function_name").some_text() {
        crate::tools::named_well(&edge.at("function_name"), name);
    }
    for (_, kind) in edge.at("parameters").members() {
        kind.required_text();
    }
    let kind = edge.at("condition_type");
    let kind = match kind.is_present() {
        true => kind.word(&["llm", "expression", "unconditional", "event"])?,
        false => "llm",
    };
    match kind {
        "llm" if !edge.at("function_description").is_filled() => {
            edge.at("condition").required_text();
        }
        "expression" => check_expression(&edge.at("expression")),
        "event" => drop(edge.at("event_name").required_text()),
        _ => drop(edge.at("condition").text()),
    }
    Some(kind)
}

fn check_expression(place: &Place<'_>) {
    let Some(place) = place.clone().required() else {
        return;
    };
    if place.object().is_none() {
        return;
    }
    place.at("logic").word(&["and", "or"]);
    let list = place.at("conditions");
    let conditions = list.clone().required().and_then(|list| list.items());
    if conditions.as_ref().is_some_and(Vec::is_empty) {
        list.fault("must not be empty");
    }
    for condition in conditions.unwrap_or_default() {
        if condition.object().is_none() {
            continue;
        }
        condition.at("variable").required_text();
        let operator = condition.at("operator");
        let operator = operator.required().and_then(|word| word.word(&OPERATORS));
        let value = condition.at("value");
        match operator {
            None | Some("exists" | "not_exists") => {}
            Some("in" | "not_in") => drop(value.required().and_then(|list| list.items())),
            Some(_) => drop(value.required()),
        }
    }
}

/// Routers decide at once: a circle of them would never end.
fn check_circles(nodes: &[Place<'_>], known: &Known<'_>) {
    let is_router = |node: &Place<'_>| {
        node.at("node_type")
            .value()
            .is_some_and(|kind| kind == "router")
    };
    let targets = |node: &Place<'_>| -> Vec<usize> {
        let edges = node.at("edges");
        let edges = edges.value().and_then(serde_json::Value::as_array);
        let targets = edges.into_iter().flatten();
        let targets = targets.filter_map(|edge| known.get(edge.get("to_node_id")?.as_str()?));
        targets
            .copied()
            .filter(|target| nodes.get(*target).is_some_and(is_router))
            .collect()
    };
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| is_router(node)) {
        let (mut seen, mut next) = (Vec::new(), targets(node));
        while let Some(target) = next.pop() {
            if target == index {
                node.fault("routers lead in a circle");
                return;
            }
            if !seen.contains(&target) {
                seen.push(target);
                next.extend(nodes.get(target).map(targets).unwrap_or_default());
            }
        }
    }
}
