//! Anthropic's messages as they stream. Source: wire-providers.md §3.4; Anthropic's API reference.

mod events;
mod request;

use reqwest::{RequestBuilder, Url};
use secrecy::SecretString;

use self::events::Events;
use super::{
    dialect::{Dialect, under},
    server::{Reader, Wire},
};
use crate::{Ask, error::Origin};

const VERSION: &str = "2023-06-01";

/// Anthropic, or a server that speaks as it does.
pub(crate) struct Anthropic {
    pub(super) dialect: &'static Dialect,
    pub(super) base: Url,
    pub(super) key: Option<SecretString>,
}

impl Anthropic {
    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("anthropic-version", VERSION);
        self.dialect.with_key(request, self.key.as_ref())
    }
}

impl Wire for Anthropic {
    fn origin(&self) -> Origin {
        self.dialect.origin()
    }

    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder {
        let url = under(&self.base, &["messages"]);
        self.with_key(http.post(url).json(&request::body(ask)))
    }

    fn free_request(&self, http: &reqwest::Client) -> RequestBuilder {
        self.with_key(http.head(under(&self.base, &["models"])))
    }

    fn reader(&self, _: &Ask) -> Box<dyn Reader> {
        Box::new(Events::new(self.origin()))
    }
}
