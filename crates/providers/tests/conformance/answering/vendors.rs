//! The vendors of models, and what differs between them.

use std::{sync::Arc, time::Duration};

use bolo_agent::LlmConfig;
use bolo_providers::{Llm, llm::Limits};
use bolo_simulator::llm::FakeLlm;

use crate::{keys, vendors};

/// A limit that no test reaches.
pub const LONG: Duration = Duration::from_secs(20);

/// What a vendor's server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Chat,
    Deployments,
    Messages,
    Gemini,
}

impl Api {
    /// In the words of `docs/vendors.md`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat completions",
            Self::Deployments => "chat completions at a deployment",
            Self::Messages => "Anthropic's messages",
            Self::Gemini => "Gemini's own API",
        }
    }
}

/// One vendor.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub api: Api,
    pub model: &'static str,
    /// The name of its key, where it needs one.
    pub key: Option<&'static str>,
    pub tools: bool,
    /// By `use_responses_api`.
    pub responses: bool,
}

const CHAT: Case = Case {
    name: "openai",
    api: Api::Chat,
    model: "gpt-4.1-mini",
    key: Some("OPENAI_API_KEY"),
    tools: true,
    responses: false,
};

/// The same by way of the Responses API.
pub static RESPONSES: [Case; 2] = [
    Case {
        responses: true,
        ..CHAT
    },
    Case {
        responses: true,
        ..AZURE
    },
];

const AZURE: Case = Case {
    name: "azure",
    api: Api::Deployments,
    key: Some("AZURE_API_KEY"),
    ..CHAT
};

/// All of them but the demo's.
pub static CASES: [Case; 17] = [
    CHAT,
    AZURE,
    Case {
        name: "azure-openai",
        ..AZURE
    },
    Case {
        name: "anthropic",
        api: Api::Messages,
        model: "claude-haiku-4-5",
        key: Some("ANTHROPIC_API_KEY"),
        ..CHAT
    },
    Case {
        name: "google",
        api: Api::Gemini,
        model: "gemini-3-flash",
        key: Some("GOOGLE_API_KEY"),
        ..CHAT
    },
    keyed("groq", "GROQ_API_KEY"),
    keyed("deepseek", "DEEPSEEK_API_KEY"),
    keyed("openrouter", "OPENROUTER_API_KEY"),
    keyed("together", "TOGETHER_API_KEY"),
    keyed("fireworks", "FIREWORKS_API_KEY"),
    keyed("deepinfra", "DEEPINFRA_API_KEY"),
    Case {
        tools: false,
        ..keyed("perplexity", "PERPLEXITY_API_KEY")
    },
    keyed("anyscale", "ANYSCALE_API_KEY"),
    keyless("ollama"),
    keyless("vllm"),
    keyless("custom"),
    keyless("ola"),
];

const fn keyed(name: &'static str, key: &'static str) -> Case {
    Case {
        name,
        key: Some(key),
        ..CHAT
    }
}

const fn keyless(name: &'static str) -> Case {
    Case {
        name,
        key: None,
        ..CHAT
    }
}

/// The one of this name.
pub fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

impl Case {
    pub fn config(&self) -> LlmConfig {
        LlmConfig {
            provider: self.name.into(),
            model: self.model.into(),
            family: None,
            max_tokens: 100,
            temperature: 0.1,
            top_p: None,
            top_k: None,
            min_p: None,
            presence_penalty: None,
            frequency_penalty: None,
            stop: Vec::new(),
            request_json: false,
            base_url: None,
            reasoning_effort: None,
            verbosity: None,
            responses: self.responses,
        }
    }

    /// This vendor's client, at the fake, with this key.
    pub fn at(&self, fake: &FakeLlm, key: &str, limits: Limits) -> Arc<dyn Llm> {
        let base = match self.api {
            Api::Chat => fake.base_url(),
            Api::Deployments => fake.address(),
            Api::Messages => format!("{}/v1", fake.address()),
            Api::Gemini => format!("{}/v1beta", fake.address()),
        };
        let vendors = vendors(self.name, base, key).with_llm_limits(limits);
        vendors.llm(&self.config(), &keys()).unwrap()
    }

    /// Its row of `docs/vendors.md`.
    pub fn row(&self) -> String {
        let tools = if self.tools { "yes" } else { "no" };
        let key = self
            .key
            .map_or("none needed".to_owned(), |key| format!("`{key}`"));
        format!(
            "| `{}` | {} | {tools} | {key} |",
            self.name,
            self.api.name()
        )
    }
}
