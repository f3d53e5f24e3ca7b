//! Chat completions as OpenAI streams them, and the many servers that do likewise, Azure among them.
//! Source: wire-providers.md §3.
//!
//! Read by hand over HTTP: a client library would hide status and `Retry-After`, retry by itself, and
//! fail on the odd fields of other vendors.

mod chunk;
mod model;
mod request;

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{RequestBuilder, Url};
use secrecy::SecretString;
use serde_json::json;

use self::{chunk::Chunks, request::Body};
use super::{
    dialect::{Dialect, under},
    server::{Reader, Wire},
};
use crate::{Ask, error::Origin};

/// A server of chat completions.
pub(crate) struct OpenAi {
    dialect: &'static Dialect,
    base: Url,
    model: String,
    key: Option<SecretString>,
    /// The log says once a call that the agent's effort is not what the model gets.
    complained: AtomicBool,
}

impl OpenAi {
    pub(super) fn new(
        dialect: &'static Dialect,
        base: Url,
        model: &str,
        key: Option<SecretString>,
    ) -> Self {
        Self {
            dialect,
            base,
            model: model.to_owned(),
            key,
            complained: AtomicBool::new(false),
        }
    }
}

impl Wire for OpenAi {
    fn origin(&self) -> Origin {
        self.dialect.origin()
    }

    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder {
        let body = Body::new(ask, self.dialect);
        if let Some(sent) = body.other_effort(ask)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let (wished, model) = (&ask.config.reasoning_effort, &ask.config.model);
            tracing::warn!(
                model,
                ?wished,
                sent,
                "the model does not take this effort here"
            );
        }
        let request = http
            .post(under(&self.base, &["chat", "completions"]))
            .json(&body);
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn free_request(&self, http: &reqwest::Client) -> RequestBuilder {
        let request = match self.dialect.is_ollama {
            // A request without a prompt loads the model.
            true => http
                .post(under(&root(&self.base), &["api", "generate"]))
                .json(&json!({ "model": self.model })),
            false => http.head(under(&self.base, &["models"])),
        };
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn loads(&self) -> bool {
        self.dialect.is_ollama
    }

    fn reader(&self) -> Box<dyn Reader> {
        let origin = self.origin();
        Box::new(Chunks { origin })
    }
}

/// Where a server's own API is found, beside OpenAI's under `/v1`.
fn root(base: &Url) -> Url {
    let mut root = base.clone();
    let path = base.path().trim_end_matches('/');
    root.set_path(path.strip_suffix("/v1").unwrap_or(path));
    root
}
