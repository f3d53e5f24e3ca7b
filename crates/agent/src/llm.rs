//! The language model of an agent, and its semantic routes. Source: agent-config.md §3.

use crate::{knowledge::Knowledge, place::Place};

/// `tools_config.llm_agent` of a simple agent.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmAgent {
    /// The model and how it is asked.
    pub config: LlmConfig,
    /// Static answers found by meaning, before the model is asked.
    pub routes: Option<Routes>,
    /// Documents whose passages the model is given.
    pub knowledge: Option<Knowledge>,
}

/// `llm_config`. Values are what the document says; `None` = not said, the vendor's or our default applies.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmConfig {
    /// `openai`, `custom`, `ollama`, … or ours: `demo`.
    pub provider: String,
    /// Model name without a vendor prefix (`azure/gpt-4.1-mini` → `gpt-4.1-mini`); default
    /// `gpt-4.1-mini`; the demo's is `demo`.
    pub model: String,
    /// The model behind a name of the user's own (an Azure deployment), as OpenAI calls it. A vendor's name,
    /// which stands there by default, is none.
    pub family: Option<String>,
    /// Upper bound of an answer; default 100.
    pub max_tokens: u32,
    /// Default 0.1.
    pub temperature: f32,
    /// Sent only when given.
    pub top_p: Option<f32>,
    /// So many of the likeliest tokens are drawn from; sent to those who take it.
    pub top_k: Option<u32>,
    /// Likewise those at least so likely, as a part of the likeliest; Bolna's default, 0.1, is no wish.
    pub min_p: Option<f32>,
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
    /// `use_responses_api`: asked so where the vendor has it.
    pub responses: bool,
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
        let index = if self.responses.len() == 1 {
            0
        } else {
            utterance
        };
        self.responses
            .get(index)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

/// Vendors of models, at an address we know or are told.
const RUNS: [&str; 18] = [
    "openai",
    "azure",
    "azure-openai",
    "anthropic",
    "google",
    "custom",
    "ollama",
    "vllm",
    "groq",
    "deepseek",
    "openrouter",
    "together",
    "fireworks",
    "deepinfra",
    "perplexity",
    "anyscale",
    "ola",
    "demo",
];
const TO_COME: [&str; 1] = ["cohere"];
/// Stands in every document that Bolna's own pages make.
const MIN_P: f32 = 0.1;
/// Have no address of their own.
const NEED_BASE_URL: [&str; 2] = ["custom", "ola"];

const AGENT_TYPES: [&str; 2] = ["simple_llm_agent", "knowledgebase_agent"];
const AGENT_TYPES_TO_COME: [&str; 3] = ["graph_agent", "multiagent", "llm_agent_graph"];

impl LlmAgent {
    /// `None` after a fault that leaves nothing to go on with, and for a type that doesn't run.
    pub(crate) fn read(place: &Place<'_>) -> Option<Self> {
        let place = place.clone().required()?;
        place.object()?;
        let kind = place.at("agent_type");
        if kind.is_present() {
            let runs = kind.choice("agent type", &AGENT_TYPES, &AGENT_TYPES_TO_COME);
            if runs.is_none() {
                crate::kinds::check(kind.text().unwrap_or_default(), &Fields::of(place));
                return None;
            }
        }
        let fields = Fields::of(place);
        fields
            .flat
            .at("agent_flow_type")
            .choice("flow type", &["streaming"], &["preprocessed"]);
        let (store, rag) = (fields.at("vector_store"), fields.at("rag_config"));
        let wanted = kind.some_text() == Some("knowledgebase_agent");
        let knowledge = match wanted || store.is_filled() || rag.is_filled() {
            true => Knowledge::read(&store, &rag),
            false => None,
        };
        Some(Self {
            config: LlmConfig::read(&fields),
            routes: Routes::read(&fields.at("routes")),
            knowledge,
        })
    }
}

/// Fields stand in `llm_config`, or (v1) in `llm_agent` itself; the former wins.
pub(crate) struct Fields<'d> {
    nested: Place<'d>,
    flat: Place<'d>,
}

impl<'d> Fields<'d> {
    fn of(flat: Place<'d>) -> Self {
        let nested = flat.at("llm_config");
        if nested.is_present() {
            nested.object();
        }
        Self { nested, flat }
    }

    pub(crate) fn at(&self, key: &str) -> Place<'d> {
        let (nested, flat) = (self.nested.at(key), self.flat.at(key));
        if flat.is_present() || !self.nested.is_present() {
            nested.or(flat)
        } else {
            nested
        }
    }
}

impl LlmConfig {
    /// Perplexity's models call no functions; every other vendor's may.
    pub fn takes_tools(&self) -> bool {
        self.provider != "perplexity"
    }

    /// How many times longer than usual its first token may take: an agent that wants much thought waits for
    /// it.
    pub fn patience(&self) -> u32 {
        match self.reasoning_effort.as_deref() {
            None | Some("none" | "minimal" | "low") => 1,
            Some(_) => 3,
        }
    }

    /// Reads a configuration that stands for itself.
    pub(crate) fn read_alone(place: Place<'_>) -> Self {
        Self::read(&Fields {
            flat: place.clone(),
            nested: place,
        })
    }

    pub(crate) fn read(fields: &Fields<'_>) -> Self {
        let provider = fields.at("provider");
        let provider = match provider.is_present() {
            true => provider
                .choice("vendor", &RUNS, &TO_COME)
                .unwrap_or_default(),
            false => "openai",
        };
        let default_model = if provider == "demo" {
            "demo"
        } else {
            "gpt-4.1-mini"
        };
        let model = fields.at("model");
        if ["anthropic", "google"].contains(&provider) && !model.is_filled() {
            model.fault(format_args!(
                "is required: vendor {provider:?} has none of our default models"
            ));
        }
        let model = model.some_text().unwrap_or(default_model);
        let model = without_prefix(provider, model).to_owned();
        let base_url = fields.at("base_url");
        if NEED_BASE_URL.contains(&provider) && !base_url.is_filled() {
            base_url.fault(format_args!(
                "is required: vendor {provider:?} has no address of its own"
            ));
        }
        let family = fields.at("family");
        let is_model = |name: &&str| name.contains(|c: char| c.is_ascii_digit());
        let family = family.some_text().filter(is_model);
        let overflow = fields.at("overflow_llm");
        if overflow.is_filled() {
            overflow.unsupported("an overflow model (tools_config.fallbacks.llm names one)");
        }
        // A call's history is bounded by its messages.
        fields.at("compact_threshold").whole(0..=100_000_000);
        let effort = fields.at("reasoning_effort");
        let number = |key, low, high| {
            fields
                .at(key)
                .number(low..=high)
                .map(|number| number as f32)
        };
        Self {
            max_tokens: fields.at("max_tokens").whole(1..=1_000_000).unwrap_or(100),
            temperature: number("temperature", 0.0, 2.0).unwrap_or(0.1),
            top_p: number("top_p", 0.0, 1.0),
            top_k: number("top_k", 0.0, 1e9)
                .map(|number| number as u32)
                .filter(|number| *number > 0),
            min_p: number("min_p", 0.0, 1e9).filter(|part| *part <= 1.0 && *part != MIN_P),
            presence_penalty: number("presence_penalty", -2.0, 2.0),
            frequency_penalty: number("frequency_penalty", -2.0, 2.0),
            stop: fields.at("stop").texts().unwrap_or_default(),
            request_json: fields.at("request_json").flag(false),
            base_url: base_url.url(),
            reasoning_effort: reasoning_effort(&effort, &model).map(str::to_owned),
            verbosity: fields
                .at("verbosity")
                .word(&["low", "medium", "high"])
                .map(str::to_owned),
            responses: fields.at("use_responses_api").flag(false),
            family: family.map(str::to_owned),
            provider: provider.to_owned(),
            model,
        }
    }
}

/// `azure/gpt-4.1-mini` names a vendor and its model; `meta-llama/llama-3` is all model.
fn without_prefix<'m>(provider: &str, model: &'m str) -> &'m str {
    match model.split_once('/') {
        Some((prefix, rest))
            if provider == "openai" && (RUNS.contains(&prefix) || TO_COME.contains(&prefix)) =>
        {
            rest
        }
        // `openrouter/auto` is a model of that vendor, `openrouter/openai/gpt-4o` names the vendor twice.
        Some((prefix, rest))
            if prefix == provider && (provider != "openrouter" || rest.contains('/')) =>
        {
            rest
        }
        _ => model,
    }
}

/// The efforts that OpenAI's reasoning models take; other models are not checked.
pub(crate) fn reasoning_effort(place: &Place<'_>, model: &str) -> Option<&'static str> {
    const ALL: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];
    let effort = place.word(&ALL)?;
    let name = model.rsplit('/').next().unwrap_or(model);
    let takes: &[&str] = match name {
        "gpt-5" | "gpt-5-mini" | "gpt-5-nano" => &["minimal", "low", "medium", "high"],
        "gpt-5-pro" => &["high"],
        "gpt-5.1" | "gpt-5.4-mini" | "gpt-5.4-nano" => &["none", "low", "medium", "high"],
        "gpt-5.2" | "gpt-5.4" | "gpt-5.5" => &["none", "low", "medium", "high", "xhigh"],
        _ => &ALL,
    };
    if !takes.contains(&effort) {
        place.fault(format_args!(
            "{name} does not take {effort:?}; one of {}",
            takes.join(", ")
        ));
        return None;
    }
    Some(effort)
}

impl Routes {
    /// `{embedding_model, routes: […]}`, or the bare list.
    fn read(place: &Place<'_>) -> Option<Self> {
        let (embedding_model, list) = match place.is_list() {
            true => (None, place.clone()),
            false => {
                place.object()?;
                (place.at("embedding_model").some_text(), place.at("routes"))
            }
        };
        let routes: Vec<Route> = list.items()?.iter().filter_map(Route::read).collect();
        (!routes.is_empty()).then(|| Self {
            embedding_model: embedding_model
                .unwrap_or("snowflake/snowflake-arctic-embed-m")
                .to_owned(),
            routes,
        })
    }
}

impl Route {
    fn read(place: &Place<'_>) -> Option<Self> {
        place.clone().required()?.object()?;
        let name = either(place, "route_name", "name").required_text();
        let utterances = place.at("utterances").required().and_then(|utterances| {
            let texts = utterances.texts()?;
            if texts.is_empty() {
                utterances.fault("must not be empty");
            }
            Some(texts)
        });
        let response = place.at("response");
        let responses = if response.is_list() {
            let responses = response.texts();
            if let (Some(responses), Some(utterances)) = (&responses, &utterances)
                && responses.len() != utterances.len()
            {
                response.fault(format_args!(
                    "must hold one answer for each of the {} utterances, not {}",
                    utterances.len(),
                    responses.len()
                ));
            }
            responses
        } else {
            response.required_text().map(|text| vec![text.to_owned()])
        };
        let threshold = either(place, "score_threshold", "similarity_threshold");
        let score_threshold = threshold
            .number(0.0..=1.0)
            .map_or(0.85, |score| score as f32);
        Some(Self {
            name: name?.to_owned(),
            utterances: utterances?,
            responses: responses?,
            score_threshold,
        })
    }
}

/// A member with two names in the wild; the first is the documented one.
fn either<'d>(place: &Place<'d>, name: &str, other: &str) -> Place<'d> {
    let other = place.at(other);
    if other.is_present() {
        place.at(name).or(other)
    } else {
        place.at(name)
    }
}
