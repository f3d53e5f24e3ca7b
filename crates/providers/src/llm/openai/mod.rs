//! Chat completions as OpenAI streams them, and the many servers that do likewise.
//! Sources: wire-providers.md §3; runtime.md R194.
//!
//! Read by hand over HTTP: a client library would hide status and `Retry-After`, retry by itself, and
//! fail on the odd fields of other vendors.

mod answer;
mod chunk;
mod dialect;
mod failure;
mod request;
mod sse;

use std::time::Duration;

use futures_util::{StreamExt, stream, stream::BoxStream};
use secrecy::SecretString;

pub use self::dialect::{DIALECTS, Dialect, dialect};
use crate::{Ask, Delta, Error, ErrorKind, Llm, error::Origin};

/// Time limits of one answer (R194). The connection has its own, in [`crate::http::CONNECT_LIMIT`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the request to the first text, thought or tool name.
    pub first_token: Duration,
    /// Between such.
    pub between: Duration,
    /// The whole answer.
    pub total: Duration,
    /// For the bill, after the model has finished.
    pub usage: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_token: Duration::from_secs(5),
            between: Duration::from_secs(8),
            total: Duration::from_secs(30),
            usage: Duration::from_secs(1),
        }
    }
}

/// A server of chat completions.
#[derive(Clone)]
pub struct OpenAi {
    dialect: &'static Dialect,
    url: reqwest::Url,
    key: Option<SecretString>,
    http: reqwest::Client,
    limits: Limits,
}

impl OpenAi {
    /// `base_url` with the version, without `/chat/completions`. Without a key no `Authorization` is sent.
    pub fn new(
        dialect: &'static Dialect,
        base_url: &str,
        key: Option<SecretString>,
        http: reqwest::Client,
        limits: Limits,
    ) -> Result<Self, Error> {
        let bad = || origin(dialect).fault(ErrorKind::BadRequest, "base_url is not an address");
        let mut url = reqwest::Url::parse(base_url).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad());
        }
        url.path_segments_mut()
            .map_err(|()| bad())?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        Ok(Self {
            dialect,
            url,
            key,
            http,
            limits,
        })
    }

    fn origin(&self) -> Origin {
        origin(self.dialect)
    }
}

/// Failures of this dialect.
pub(crate) fn origin(dialect: &Dialect) -> Origin {
    Origin {
        vendor: dialect.name,
        role: "llm",
        variable: dialect.variable,
    }
}

impl Llm for OpenAi {
    fn name(&self) -> &'static str {
        self.dialect.name
    }

    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        let answer = answer::Answer::new(self.clone(), ask);
        stream::unfold(answer, |mut answer| async move {
            let delta = answer.next().await?;
            Some((delta, answer))
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests;
