//! The vendors of models, and how they differ. Source: wire-providers.md §3.4.

use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::{Error, ErrorKind, error::Origin};

/// One vendor's manner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// As in an agent's `llm_config.provider`.
    pub name: &'static str,
    /// With the version, without the method; empty where the server is the user's own.
    pub base_url: &'static str,
    /// Names under which an account may keep its key; the first is what we ask for.
    pub keys: &'static [&'static str],
    /// The variable named when the key is missing or wrong.
    pub variable: &'static str,
    /// No request goes out without a key.
    pub needs_key: bool,
    /// Where the key goes.
    pub auth: Auth,
    /// Takes `prompt_cache_key`, `service_tier` and `include_obfuscation`.
    pub is_openai: bool,
    /// Has OpenAI's Responses API, too.
    pub has_responses: bool,
    /// Takes `top_k` and `min_p` too.
    pub takes_top_k: bool,
    /// Loads a model when it is first asked for it, and forgets it when it is idle.
    pub is_ollama: bool,
    /// What it speaks.
    pub api: Api,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// The same, a model being a deployment that the address names (Azure).
    Deployments,
    /// Anthropic's messages.
    Messages,
    /// Google's `generateContent`.
    Gemini,
}

/// How a key is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// In a header of its own.
    Header(&'static str),
}

const PLAIN: Dialect = Dialect {
    name: "",
    base_url: "",
    keys: &[],
    variable: "",
    needs_key: true,
    auth: Auth::Bearer,
    is_openai: false,
    has_responses: false,
    takes_top_k: false,
    is_ollama: false,
    api: Api::Chat,
};

const AZURE: Dialect = Dialect {
    name: "azure",
    keys: &["AZURE", "AZURE_OPENAI"],
    variable: "AZURE_API_KEY",
    auth: Auth::Header("api-key"),
    has_responses: true,
    api: Api::Deployments,
    ..PLAIN
};

/// The version asked for where the address names none.
const AZURE_VERSION: &str = "2024-12-01-preview";

/// Turns an endpoint into the address of a deployment, unless it is one already or the versionless form
/// (`…/openai/v1`), which takes the deployment as `model`.
fn deployment(base: &mut Url, model: &str) {
    let path = base.path().trim_end_matches('/').to_owned();
    if path.ends_with("/openai/v1") {
        return;
    }
    if !path.contains("/deployments/")
        && let Ok(mut segments) = base.path_segments_mut()
    {
        segments.pop_if_empty();
        if !path.ends_with("/openai") {
            segments.push("openai");
        }
        segments.extend(["deployments", model]);
    }
    if !base.query_pairs().any(|(name, _)| name == "api-version") {
        base.query_pairs_mut()
            .append_pair("api-version", AZURE_VERSION);
    }
}

/// The model servers we know, by name.
pub(crate) const DIALECTS: &[Dialect] = &[
    Dialect {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        keys: &["OPENAI"],
        variable: "OPENAI_API_KEY",
        is_openai: true,
        has_responses: true,
        ..PLAIN
    },
    AZURE,
    Dialect {
        name: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        keys: &["ANTHROPIC"],
        variable: "ANTHROPIC_API_KEY",
        auth: Auth::Header("x-api-key"),
        api: Api::Messages,
        ..PLAIN
    },
    Dialect {
        name: "google",
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        keys: &["GOOGLE", "GEMINI"],
        variable: "GOOGLE_API_KEY",
        auth: Auth::Header("x-goog-api-key"),
        api: Api::Gemini,
        ..PLAIN
    },
    Dialect {
        name: "azure-openai",
        ..AZURE
    },
    Dialect {
        name: "groq",
        base_url: "https://api.groq.com/openai/v1",
        keys: &["GROQ"],
        variable: "GROQ_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "deepseek",
        base_url: "https://api.deepseek.com/v1",
        keys: &["DEEPSEEK"],
        variable: "DEEPSEEK_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "openrouter",
        base_url: "https://openrouter.ai/api/v1",
        keys: &["OPENROUTER"],
        variable: "OPENROUTER_API_KEY",
        takes_top_k: true,
        ..PLAIN
    },
    Dialect {
        name: "together",
        base_url: "https://api.together.xyz/v1",
        keys: &["TOGETHER", "TOGETHERAI"],
        variable: "TOGETHER_API_KEY",
        takes_top_k: true,
        ..PLAIN
    },
    Dialect {
        name: "fireworks",
        base_url: "https://api.fireworks.ai/inference/v1",
        keys: &["FIREWORKS", "FIREWORKS_AI"],
        variable: "FIREWORKS_API_KEY",
        takes_top_k: true,
        ..PLAIN
    },
    Dialect {
        name: "deepinfra",
        base_url: "https://api.deepinfra.com/v1/openai",
        keys: &["DEEPINFRA"],
        variable: "DEEPINFRA_API_KEY",
        takes_top_k: true,
        ..PLAIN
    },
    Dialect {
        name: "perplexity",
        base_url: "https://api.perplexity.ai",
        keys: &["PERPLEXITY", "PERPLEXITYAI"],
        variable: "PERPLEXITY_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "anyscale",
        base_url: "https://api.endpoints.anyscale.com/v1",
        keys: &["ANYSCALE"],
        variable: "ANYSCALE_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "ollama",
        base_url: "http://localhost:11434/v1",
        keys: &["OLLAMA"],
        variable: "OLLAMA_API_KEY",
        needs_key: false,
        is_ollama: true,
        ..PLAIN
    },
    Dialect {
        name: "vllm",
        base_url: "http://localhost:8000/v1",
        keys: &["VLLM"],
        variable: "VLLM_API_KEY",
        needs_key: false,
        takes_top_k: true,
        ..PLAIN
    },
    Dialect {
        name: "custom",
        keys: &["CUSTOM", "CUSTOM_LLM"],
        variable: "CUSTOM_API_KEY",
        needs_key: false,
        ..PLAIN
    },
    Dialect {
        name: "ola",
        keys: &["OLA"],
        variable: "OLA_API_KEY",
        needs_key: false,
        ..PLAIN
    },
    Dialect {
        name: "demo",
        keys: &["DEMO"],
        variable: "DEMO_API_KEY",
        needs_key: false,
        ..PLAIN
    },
];

impl Dialect {
    /// Failures of this vendor.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            vendor: self.name,
            role: "llm",
            variable: self.variable,
        }
    }

    /// Where `model` is found, from the vendor's, the server's or the agent's address.
    pub(super) fn base(&self, address: &str, model: &str) -> Result<Url, Error> {
        let bad = || {
            self.origin()
                .fault(ErrorKind::BadRequest, "base_url is not an address")
        };
        let mut base = Url::parse(address).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad());
        }
        match self.api {
            Api::Deployments => deployment(&mut base, model),
            // As Anthropic's own clients take it.
            Api::Messages if base.path() == "/" => base.set_path("v1"),
            Api::Messages | Api::Chat | Api::Gemini => {}
        }
        Ok(base)
    }

    /// `request` with the key, if there is one.
    pub(super) fn with_key(
        &self,
        request: RequestBuilder,
        key: Option<&SecretString>,
    ) -> RequestBuilder {
        match (key, self.auth) {
            (None, _) => request,
            (Some(key), Auth::Bearer) => request.bearer_auth(key.expose_secret()),
            (Some(key), Auth::Header(name)) => request.header(name, key.expose_secret()),
        }
    }
}

/// `base` with `path` after it.
pub(super) fn under(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The dialect of this name.
pub(crate) fn dialect(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn addresses_of_deployments() {
        let azure = dialect("azure").unwrap();
        let address = |base: &str| {
            let base = azure.base(base, "gpt-4.1-mini").unwrap();
            under(&base, &["chat", "completions"]).to_string()
        };
        let whole = "https://x.openai.azure.com/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2024-12-01-preview";
        for base in [
            "https://x.openai.azure.com",
            "https://x.openai.azure.com/",
            "https://x.openai.azure.com/openai/",
            "https://x.openai.azure.com/openai/deployments/gpt-4.1-mini",
        ] {
            assert_eq!(address(base), whole, "{base}");
        }
        assert_eq!(
            address("https://x.openai.azure.com/?api-version=2025-01-01"),
            whole.replace("2024-12-01-preview", "2025-01-01")
        );
        assert_eq!(
            address("https://x.openai.azure.com/openai/v1/"),
            "https://x.openai.azure.com/openai/v1/chat/completions"
        );
    }

    #[test]
    fn anthropics_version_may_be_left_out() {
        let anthropic = dialect("anthropic").unwrap();
        for base in ["https://api.anthropic.com", "https://api.anthropic.com/v1/"] {
            let base = anthropic.base(base, "m").unwrap();
            assert_eq!(
                under(&base, &["messages"]).as_str(),
                "https://api.anthropic.com/v1/messages"
            );
        }
    }
}
