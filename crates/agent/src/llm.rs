//! The language model of an agent, and its semantic routes. Source: agent-config.md §3.

/// `tools_config.llm_agent` of a simple agent.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmAgent {
    /// The model and how it is asked.
    pub config: LlmConfig,
    /// Static answers found by meaning, before the model is asked.
    pub routes: Option<Routes>,
}

/// `llm_config`. Values are what the document says; `None` = not said, the vendor's or our default applies.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmConfig {
    /// `openai`, `custom`, `ollama`, … or ours: `demo`.
    pub provider: String,
    /// Model name without a vendor prefix (`azure/gpt-4.1-mini` → `gpt-4.1-mini`); default `gpt-4.1-mini`.
    pub model: String,
    /// Upper bound of an answer; default 100.
    pub max_tokens: u32,
    /// Default 0.1.
    pub temperature: f32,
    /// Sent only when given.
    pub top_p: Option<f32>,
    /// Sent only when given.
    pub presence_penalty: Option<f32>,
    /// Sent only when given.
    pub frequency_penalty: Option<f32>,
    /// Stop sequences.
    pub stop: Vec<String>,
    /// JSON mode.
    pub request_json: bool,
    /// Overrides the vendor's address.
    pub base_url: Option<url::Url>,
    /// For reasoning models.
    pub reasoning_effort: Option<String>,
    /// For gpt-5 models.
    pub verbosity: Option<String>,
}

/// `llm_agent.routes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Routes {
    /// Name of the embedding model that the thresholds refer to; default snowflake-arctic-embed-m.
    pub embedding_model: String,
    /// In the submitted order: on a tie the first wins.
    pub routes: Vec<Route>,
}

/// One semantic route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `route_name`.
    pub name: String,
    /// What a caller may say; at least one.
    pub utterances: Vec<String>,
    /// One answer for all utterances, or one for each (same length).
    pub responses: Vec<String>,
    /// 0..=1 on the reference model's scale; default 0.85.
    pub score_threshold: f32,
}

impl Route {
    /// The answer to the utterance with this index.
    pub fn response(&self, utterance: usize) -> &str {
        let index = if self.responses.len() == 1 { 0 } else { utterance };
        self.responses.get(index).map(String::as_str).unwrap_or_default()
    }
}
