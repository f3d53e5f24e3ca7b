//! Chat completions as OpenAI streams them, and the many servers that do likewise, Azure among them.
//! Source: wire-providers.md §3.
//!
//! Read by hand over HTTP: a client library would hide status and `Retry-After`, retry by itself, and
//! fail on the odd fields of other vendors.

mod chunk;
mod request;

use reqwest::{RequestBuilder, Url};
use secrecy::SecretString;

use self::{chunk::Chunks, request::Body};
use super::{
    dialect::{Dialect, under},
    server::{Reader, Wire},
};
use crate::{Ask, error::Origin};

/// A server of chat completions.
pub(crate) struct OpenAi {
    pub(super) dialect: &'static Dialect,
    pub(super) base: Url,
    pub(super) key: Option<SecretString>,
}

impl Wire for OpenAi {
    fn origin(&self) -> Origin {
        self.dialect.origin()
    }

    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder {
        let request = http
            .post(under(&self.base, &["chat", "completions"]))
            .json(&Body::new(ask, self.dialect));
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn free_request(&self, http: &reqwest::Client) -> RequestBuilder {
        let request = http.head(under(&self.base, &["models"]));
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn reader(&self) -> Box<dyn Reader> {
        let origin = self.origin();
        Box::new(Chunks { origin })
    }
}
