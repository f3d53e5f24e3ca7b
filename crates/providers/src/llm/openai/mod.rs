//! Chat completions as OpenAI streams them, and the many servers that do likewise, Azure among them.
//! Source: wire-providers.md §3.
//!
//! Read by hand over HTTP: a client library would hide status and `Retry-After`, retry by itself, and
//! fail on the odd fields of other vendors.

mod chunk;
mod model;
mod request;
mod responses;

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{RequestBuilder, Url};
use secrecy::SecretString;
use serde_json::json;

use self::{
    chunk::Chunks,
    request::{Body, other_effort},
};
use super::{
    dialect::{Api, Dialect, under},
    server::{Reader, Wire},
};
use crate::{Ask, Error, ErrorKind, error::Origin};

/// A server of chat completions.
pub(crate) struct OpenAi {
    dialect: &'static Dialect,
    base: Url,
    model: String,
    key: Option<SecretString>,
    /// The log says once a call that the agent's effort is not what the model gets.
    complained: AtomicBool,
    /// The server refused `response_format` in this call.
    no_json_mode: AtomicBool,
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
            no_json_mode: AtomicBool::new(false),
        }
    }
}

impl OpenAi {
    /// Vendors without it are asked as ever.
    fn speaks_responses(&self, ask: &Ask) -> bool {
        ask.config.responses && self.dialect.has_responses
    }

    /// Azure has it at its address without a version only.
    fn responses_address(&self) -> Url {
        if self.dialect.api != Api::Deployments {
            return under(&self.base, &["responses"]);
        }
        let mut base = self.base.clone();
        base.set_query(None);
        let path = base.path().to_owned();
        let front = path.split("/openai/").next().unwrap_or_default();
        base.set_path(&format!("{front}/openai/v1"));
        under(&base, &["responses"])
    }

    /// Tells once that the model is asked for another effort than the agent wishes.
    fn complain_of(&self, effort: Option<&str>, ask: &Ask) {
        if let Some(sent) = other_effort(effort, ask)
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
    }
}

impl Wire for OpenAi {
    fn origin(&self) -> Origin {
        self.dialect.origin()
    }

    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder {
        let json_mode = !self.no_json_mode.load(Ordering::Relaxed);
        let request = if self.speaks_responses(ask) {
            let (body, effort) = responses::body(ask, self.dialect, json_mode);
            self.complain_of(effort, ask);
            http.post(self.responses_address()).json(&body)
        } else {
            let body = Body::new(ask, self.dialect, json_mode);
            self.complain_of(body.effort(), ask);
            http.post(under(&self.base, &["chat", "completions"]))
                .json(&body)
        };
        self.dialect.with_key(request, self.key.as_ref())
    }

    fn gives_way(&self, ask: &Ask, error: &Error) -> bool {
        let words = error.cause.to_lowercase();
        let names = [
            "text.format",
            "response_format",
            "response format",
            "json_object",
            "json mode",
        ];
        let refused = error.kind == ErrorKind::BadRequest
            && ask.wants_json()
            && names.iter().any(|name| words.contains(name));
        if refused {
            tracing::info!(
                vendor = self.origin().vendor,
                "no JSON mode: asked in words only"
            );
            self.no_json_mode.store(true, Ordering::Relaxed);
        }
        refused
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

    fn reader(&self, ask: &Ask) -> Box<dyn Reader> {
        let origin = self.origin();
        match self.speaks_responses(ask) {
            true => Box::new(responses::Events { origin }),
            false => Box::new(Chunks { origin }),
        }
    }
}

/// Where a server's own API is found, beside OpenAI's under `/v1`.
fn root(base: &Url) -> Url {
    let mut root = base.clone();
    let path = base.path().trim_end_matches('/');
    root.set_path(path.strip_suffix("/v1").unwrap_or(path));
    root
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use futures_util::StreamExt;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use crate::{
        Delta, ErrorKind, Llm,
        llm::{Limits, Server, dialect},
        testing::{ask, read_request, tls},
    };

    const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"{}\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    async fn send(stream: &mut TcpStream, status: &str, kind: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n");
        let whole = format!("{head}content-length: {length}\r\n\r\n{body}");
        stream.write_all(whole.as_bytes()).await.unwrap();
    }

    /// Asks twice for JSON; each request is refused with these words, unless it names no format. The answers,
    /// and whether each request named one.
    async fn refusing(words: &'static str) -> (Vec<Result<Delta, ErrorKind>>, Vec<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let http = crate::http::client(&tls()).unwrap();
        let vllm = dialect("vllm").unwrap();
        let server = Server::new(vllm, &base, "m", None, http, Limits::default()).unwrap();
        let mut ask = ask("m");
        ask.json = true;
        let asking = async {
            let mut answers = Vec::new();
            for _ in 0..2 {
                let first = server.answer(ask.clone()).next().await.unwrap();
                answers.push(first.map_err(|error| error.kind));
            }
            answers
        };
        let mut named = Vec::new();
        let answering = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                assert!(
                    request.contains("Answer with one JSON object."),
                    "{request}"
                );
                named.push(request.contains("response_format"));
                if *named.last().unwrap() {
                    let body = format!("{{\"error\":{{\"message\":\"{words}\"}}}}");
                    send(&mut stream, "400 Bad Request", "application/json", &body).await;
                } else {
                    send(&mut stream, "200 OK", "text/event-stream", ANSWER).await;
                }
            }
        };
        let answers = tokio::select! {
            answers = asking => answers,
            () = answering => unreachable!(),
        };
        (answers, named)
    }

    #[tokio::test]
    async fn a_server_without_json_mode_is_asked_in_words() {
        let (answers, named) = refusing("'response_format.type' must be 'json_schema'").await;
        assert_eq!(answers, vec![Ok(Delta::Text("{}".into())); 2]);
        // Once is enough for the call.
        assert_eq!(named, [true, false, false]);
    }

    #[tokio::test]
    async fn another_refusal_stays_one() {
        let (answers, named) = refusing("context length exceeded").await;
        assert_eq!(answers, vec![Err(ErrorKind::BadRequest); 2]);
        assert_eq!(named, [true, true]);
    }
}
