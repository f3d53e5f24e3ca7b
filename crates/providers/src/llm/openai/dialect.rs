//! Vendors that speak OpenAI's chat completions, and how they differ. Source: wire-providers.md §3.4.

/// One vendor's manner.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// As in an agent's `llm_config.provider`.
    pub name: &'static str,
    /// With the version, without `/chat/completions`; empty where the server is the user's own.
    pub base_url: &'static str,
    /// Names under which an account may keep its key; the first is what we ask for.
    pub keys: &'static [&'static str],
    /// The variable named when the key is missing or wrong.
    pub variable: &'static str,
    /// No request goes out without a key.
    pub needs_key: bool,
    /// Takes `prompt_cache_key`, `service_tier` and `include_obfuscation`.
    pub is_openai: bool,
}

const PLAIN: Dialect = Dialect {
    name: "",
    base_url: "",
    keys: &[],
    variable: "",
    needs_key: true,
    is_openai: false,
};

/// The model servers we know, by name.
pub const DIALECTS: &[Dialect] = &[
    Dialect {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        keys: &["OPENAI"],
        variable: "OPENAI_API_KEY",
        is_openai: true,
        ..PLAIN
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
        ..PLAIN
    },
    Dialect {
        name: "together",
        base_url: "https://api.together.xyz/v1",
        keys: &["TOGETHER", "TOGETHERAI"],
        variable: "TOGETHER_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "fireworks",
        base_url: "https://api.fireworks.ai/inference/v1",
        keys: &["FIREWORKS", "FIREWORKS_AI"],
        variable: "FIREWORKS_API_KEY",
        ..PLAIN
    },
    Dialect {
        name: "deepinfra",
        base_url: "https://api.deepinfra.com/v1/openai",
        keys: &["DEEPINFRA"],
        variable: "DEEPINFRA_API_KEY",
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
        ..PLAIN
    },
    Dialect {
        name: "vllm",
        base_url: "http://localhost:8000/v1",
        keys: &["VLLM"],
        variable: "VLLM_API_KEY",
        needs_key: false,
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

/// The dialect of this name.
pub fn dialect(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.name == name)
}
