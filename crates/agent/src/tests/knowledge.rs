//! Agents that answer from documents.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{faults, minimal_with, tools};
use crate::Agent;

const ID: &str = "3c90c3cc-0d44-4b50-8822-8dd25736052a";
const OTHER: &str = "4d91c4dd1e555c6199339ee36847163b";

/// The ids, how many passages, and how near.
fn knowledge(at: &str, config: Value) -> (Vec<String>, usize, f32) {
    let body = minimal_with(&[
        (&tools("llm_agent/agent_type"), json!("knowledgebase_agent")),
        (&tools(at), config),
    ]);
    let agent = Agent::parse(&body).unwrap();
    let knowledge = agent.conversation.llm.knowledge.unwrap();
    let ids = knowledge.vector_ids.iter().map(ToString::to_string);
    (ids.collect(), knowledge.top_k, knowledge.score_threshold)
}

#[test]
fn a_vector_store_is_read_wherever_it_stands() {
    let store = json!({"provider": "lancedb", "provider_config": {"vector_id": ID}});
    for place in [
        "llm_agent/vector_store",
        "llm_agent/llm_config/vector_store",
    ] {
        let read = knowledge(place, store.clone());
        assert_eq!(read, (vec![ID.to_owned()], 10, 0.1));
    }
    let many = json!({"provider_config": {"vector_ids": [ID, OTHER, ID], "similarity_top_k": 4,
        "score_threshold": 0.3, "reranker": {"enabled": true, "final_count": 3}}});
    let dashed = "4d91c4dd-1e55-5c61-9933-9ee36847163b";
    assert_eq!(
        knowledge("llm_agent/vector_store", many),
        (vec![ID.to_owned(), dashed.to_owned()], 3, 0.3)
    );
    let rag =
        json!({"similarity_top_k": 7, "used_sources": [{"rag_id": OTHER, "source": "hours.pdf"}]});
    assert_eq!(
        knowledge("llm_agent/rag_config", rag),
        (vec![dashed.to_owned()], 7, 0.1)
    );
}

#[test]
fn what_names_no_document_is_refused() {
    let of = |store: Value| {
        faults(&minimal_with(&[
            (&tools("llm_agent/agent_type"), json!("knowledgebase_agent")),
            (&tools("llm_agent/vector_store"), store),
        ]))
    };
    assert_snapshot!(of(Value::Null), @"tasks[0].tools_config.llm_agent.llm_config.vector_store.provider_config.vector_id: is required, or vector_ids");
    assert_snapshot!(of(json!({"provider_config": {"vector_id": "hours.pdf"}})), @r#"tasks[0].tools_config.llm_agent.vector_store.provider_config.vector_id: "hours.pdf" is no id of a knowledgebase"#);
    assert_snapshot!(of(json!({"provider": "mongodb", "provider_config": {"vector_id": ID}})), @r#"tasks[0].tools_config.llm_agent.vector_store.provider: vector store "mongodb" is not supported by this version yet; one of lancedb"#);
    assert_snapshot!(of(json!({"provider_config": {"vector_id": ID, "similarity_top_k": 0}})), @"tasks[0].tools_config.llm_agent.vector_store.provider_config.similarity_top_k: must be between 1 and 100, not 0");
}
