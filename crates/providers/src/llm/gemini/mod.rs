//! Google's Gemini by its own API: the compatible one loses what thinking models need back.
//! Source: wire-providers.md §3.4; Google's API reference.

mod events;
mod request;
mod schema;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{RequestBuilder, Url};
use secrecy::SecretString;

use self::events::Events;
use super::{
    dialect::{Dialect, under},
    server::{Reader, Wire},
};
use crate::{Ask, error::Origin};

/// Sealed thoughts behind this call's tool calls, by the call's id. A model that thinks wants each back
/// with the call it belongs to.
#[derive(Clone, Default)]
pub(super) struct Signatures(Arc<Mutex<HashMap<String, String>>>);

impl Signatures {
    fn keep(&self, id: &str, signature: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(id.to_owned(), signature.to_owned());
    }

    fn of(&self, id: &str) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id).cloned()
    }
}

/// Gemini, for one phone call: it keeps the signatures of its answers.
pub(crate) struct Gemini {
    dialect: &'static Dialect,
    base: Url,
    key: Option<SecretString>,
    signatures: Signatures,
}

impl Gemini {
    pub(super) fn new(dialect: &'static Dialect, base: Url, key: Option<SecretString>) -> Self {
        Self {
            dialect,
            base,
            key,
            signatures: Signatures::default(),
        }
    }
}

impl Wire for Gemini {
    fn origin(&self) -> Origin {
        self.dialect.origin()
    }

    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder {
        let method = format!("{}:streamGenerateContent", ask.config.model);
        let mut url = under(&self.base, &["models", &method]);
        url.set_query(Some("alt=sse"));
        let body = request::body(ask, |id| self.signatures.of(id));
        self.dialect
            .with_key(http.post(url).json(&body), self.key.as_ref())
    }

    fn free_request(&self, http: &reqwest::Client) -> RequestBuilder {
        let request = http.head(under(&self.base, &["models"]));
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn reader(&self, _: &Ask) -> Box<dyn Reader> {
        Box::new(Events::new(self.origin(), self.signatures.clone()))
    }
}
