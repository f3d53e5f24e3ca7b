//! The documents an agent answers from. Source: agent-config.md §3, knowledgebase_agent.

use uuid::Uuid;

use crate::place::Place;

/// `vector_store` or `rag_config` of a knowledgebase agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    /// Ids of knowledgebases, or their vector ids; at least one.
    pub vector_ids: Vec<Uuid>,
    /// Passages for a turn; default 10 (runtime.md R123).
    pub top_k: usize,
    /// Nearer ones only; default 0.1.
    pub score_threshold: f32,
}

impl Knowledge {
    /// `store` is `vector_store`, `config` `rag_config`: where both stand, the latter wins.
    pub(super) fn read(store: &Place<'_>, config: &Place<'_>) -> Option<Self> {
        let of_config = config.is_filled();
        let store = match of_config {
            true => config.at("vector_store"),
            false => store.clone(),
        };
        if store.is_filled() {
            store.object()?;
            let provider = store.at("provider");
            if provider.is_filled() {
                // Whatever the name says, the server's own database holds the vectors.
                provider.choice("vector store", &["lancedb"], &["mongodb"])?;
            }
        }
        let settings = store.at("provider_config");
        let mut named: Vec<(Place<'_>, &str)> = Vec::new();
        let one = settings.at("vector_id");
        named.extend(one.some_text().map(|id| (one.clone(), id)));
        let many = settings.at("vector_ids");
        if many.is_filled() {
            let items = many.items()?;
            named.extend(items.into_iter().filter_map(|item| {
                let id = item.required_text()?;
                Some((item, id))
            }));
        }
        let sources = config.at("used_sources");
        if named.is_empty() && sources.is_filled() {
            for source in sources.items()? {
                let place = match source.at("vector_id").is_filled() {
                    true => source.at("vector_id"),
                    false => source.at("rag_id"),
                };
                if let Some(id) = place.required_text() {
                    named.push((place, id));
                }
            }
        }
        if named.is_empty() {
            settings.at("vector_id").fault("is required, or vector_ids");
            return None;
        }
        let mut vector_ids: Vec<Uuid> = Vec::with_capacity(named.len());
        for (place, id) in named {
            match Uuid::try_parse(id) {
                Ok(id) if !vector_ids.contains(&id) => vector_ids.push(id),
                Ok(_) => {}
                Err(_) => place.fault(format_args!("{id:?} is no id of a knowledgebase")),
            }
        }
        let of_store = settings.at("similarity_top_k").whole(1..=100);
        let of_config = config.at("similarity_top_k").whole(1..=100);
        let mut top_k = of_config.or(of_store).unwrap_or(10) as usize;
        let reranker = settings.at("reranker");
        if reranker.at("enabled").flag(false) {
            // No model ranks again here: the best by their vectors stay.
            let last = reranker.at("final_count").whole(1..=50).unwrap_or(5) as usize;
            reranker.at("candidate_count").whole(1..=100);
            top_k = top_k.min(last);
        }
        let score_threshold = settings.at("score_threshold").number(0.0..=1.0);
        (!vector_ids.is_empty()).then(|| Self {
            vector_ids,
            top_k,
            score_threshold: score_threshold.map_or(0.1, |score| score as f32),
        })
    }
}
