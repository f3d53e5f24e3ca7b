//! A model behind HTTP: one way to ask, to wait and to give up, for every vendor's wire.

use std::{sync::Arc, time::Duration};

use bolo_agent::LlmConfig;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use reqwest::{RequestBuilder, Response, header};
use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{
    answer::Answer,
    anthropic::Anthropic,
    dialect::{Api, Dialect},
    gathered::Gathered,
    gemini::Gemini,
    openai::OpenAi,
};
use crate::{Ask, Delta, Error, ErrorKind, Llm, NotPublic, PublicClient, error::Origin};

/// A connection opened ahead may take this long, its answer included.
const WARM: Duration = Duration::from_secs(5);
/// Where the server loads the model for it. To leave sooner would end the loading.
const LOAD: Duration = Duration::from_secs(90);

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

impl Limits {
    /// For a question about a call that is over: nobody waits on the line.
    #[must_use]
    pub fn patient(self) -> Self {
        Self {
            first_token: self.first_token.max(Duration::from_secs(60)),
            between: self.between.max(Duration::from_secs(30)),
            total: self.total.max(Duration::from_secs(90)),
            ..self
        }
    }

    /// Those for this model (wire-providers.md §10.4).
    pub(super) fn of(self, config: &LlmConfig) -> Self {
        Self {
            first_token: self.first_token * config.patience(),
            ..self
        }
    }
}

/// How a vendor is asked, and what its answers mean.
pub(crate) trait Wire: Send + Sync {
    fn origin(&self) -> Origin;

    /// The request for a streamed answer.
    fn request(&self, http: &reqwest::Client, ask: &Ask) -> RequestBuilder;

    /// Whether the same request, which was refused with this error, is worth another try: the server does not
    /// know something that it can do without.
    fn gives_way(&self, _ask: &Ask, _error: &Error) -> bool {
        false
    }

    /// A request that costs nothing.
    fn free_request(&self, http: &reqwest::Client) -> RequestBuilder;

    /// Whether the free request has the server load the model.
    fn loads(&self) -> bool {
        false
    }

    /// For one answer.
    fn reader(&self, ask: &Ask) -> Box<dyn Reader>;
}

/// Reads the events of one answer.
pub(crate) trait Reader: Send {
    /// Takes one event; `false` when nothing follows it. Events of an unknown kind pass by.
    fn event(&mut self, event: &RawValue, gathered: &mut Gathered) -> Result<bool, Error>;
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) wire: Arc<dyn Wire>,
    pub(super) http: reqwest::Client,
    pub(super) limits: Limits,
}

impl Server {
    /// `address` of the vendor, with the version; Azure's may be the bare endpoint. Without a key none
    /// is sent.
    pub(crate) fn new(
        dialect: &'static Dialect,
        address: &str,
        model: &str,
        key: Option<SecretString>,
        http: reqwest::Client,
        limits: Limits,
    ) -> Result<Self, Error> {
        let base = dialect.base(address, model)?;
        let wire: Arc<dyn Wire> = match dialect.api {
            Api::Chat | Api::Deployments => Arc::new(OpenAi::new(dialect, base, model, key)),
            Api::Messages => Arc::new(Anthropic { dialect, base, key }),
            Api::Gemini => Arc::new(Gemini::new(dialect, base, key)),
        };
        Ok(Self { wire, http, limits })
    }

    /// Sends the request, and once again at once if its connection was lost before any of the answer:
    /// a server closes idle connections at any time, also at the moment when one is used again.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Response, Error> {
        let origin = self.wire.origin();
        let mut again = true;
        loop {
            let request = self.wire.request(&self.http, ask);
            let request = request
                .header(header::ACCEPT, "text/event-stream")
                // A compressed stream would be held back until a block is full.
                .header(header::ACCEPT_ENCODING, "identity");
            let error = match request.send().await {
                Ok(response) => return Ok(response),
                Err(error) => error.without_url(),
            };
            let vendor = origin.vendor;
            if PublicClient::refused(&error) {
                return Err(origin.fault(ErrorKind::BadRequest, format!("base_url: {NotPublic}")));
            }
            if error.is_connect() {
                tracing::warn!(vendor, ?error, "no connection to the model server");
                return Err(origin.unreachable());
            }
            if !std::mem::replace(&mut again, false) {
                tracing::warn!(vendor, ?error, "no answer from the model server");
                return Err(origin.dropped());
            }
            tracing::debug!(vendor, %error, "connection lost before the answer: asked again");
        }
    }
}

impl Llm for Server {
    fn name(&self) -> &'static str {
        self.wire.origin().vendor
    }

    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        let answer = Answer::new(self.clone(), ask);
        stream::unfold(answer, |mut answer| async move {
            let delta = answer.next().await?;
            Some((delta, answer))
        })
        .boxed()
    }

    fn warm(&self) -> BoxFuture<'static, ()> {
        let request = self.wire.free_request(&self.http);
        let limit = if self.wire.loads() { LOAD } else { WARM };
        let vendor = self.name();
        async move {
            // Whatever the server says to it, the connection is open and goes back to the pool.
            let whole = async {
                let mut response = request.send().await?;
                // Read to its end, and kept nowhere: an agent's server may send what it likes.
                while response.chunk().await?.is_some() {}
                Ok::<_, reqwest::Error>(())
            };
            match timeout(limit, whole).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let error = error.without_url();
                    tracing::warn!(
                        vendor,
                        ?error,
                        "no connection to the model server ahead of the call"
                    );
                }
                Err(_) => tracing::warn!(vendor, "the model server is slow ahead of the call"),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use tokio::{io::AsyncWriteExt, net::TcpListener, sync::watch};
    use tokio_util::task::AbortOnDropHandle;

    use super::{super::dialect, *};
    use crate::testing::{RawServer, ask, tls, try_read_request};

    const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    fn server(base: &str) -> Server {
        let http = crate::http::client(&tls()).unwrap();
        let ollama = dialect("ollama").unwrap();
        Server::new(ollama, base, "m", None, http, Limits::default()).unwrap()
    }

    /// Answers each request but those of the given number, at which it closes the connection; tells how many
    /// connections were made and how many requests came.
    async fn keeping(
        dies_at: usize,
    ) -> (
        String,
        watch::Receiver<(usize, usize)>,
        AbortOnDropHandle<()>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (counts, seen) = watch::channel((0, 0));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.send_modify(|counts| counts.0 += 1);
                loop {
                    let Some(request) = try_read_request(&mut stream).await else {
                        break;
                    };
                    counts.send_modify(|counts| counts.1 += 1);
                    if counts.borrow().1 == dies_at {
                        break;
                    }
                    let body = ANSWER;
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
                    let answer = match request.starts_with("HEAD") {
                        true => "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n".to_owned(),
                        false => format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (base, seen, AbortOnDropHandle::new(task))
    }

    #[test]
    fn a_model_that_is_to_think_gets_time_for_it() {
        let limits = Limits::default();
        let mut config = ask("m").config;
        for (effort, seconds) in [(None, 5), (Some("low"), 5), (Some("medium"), 15)] {
            config.reasoning_effort = effort.map(str::to_owned);
            let first = limits.of(&config).first_token;
            assert_eq!(first, Duration::from_secs(seconds), "{effort:?}");
        }
        let patient = limits.patient();
        assert!(patient.first_token > limits.first_token * 3);
        assert!(patient.total > limits.total && patient.usage == limits.usage);
    }

    #[tokio::test] // R95
    async fn a_connection_that_died_while_it_was_idle_costs_no_turn() {
        let (base, counts, _server) = keeping(2).await;
        let server = server(&base);
        for _ in 0..3 {
            let all: Vec<_> = server.answer(ask("m")).collect().await;
            assert_eq!(all[0].as_ref().unwrap(), &Delta::Text("Hi".into()));
        }
        // The second request was lost with its connection, and sent again on another.
        assert_eq!(*counts.borrow(), (2, 4));
    }

    #[tokio::test] // R3
    async fn ollama_loads_the_model_ahead() {
        for (path, expected) in [
            ("/v1", "POST /api/generate "),
            ("/ollama/v1/", "POST /ollama/api/generate "),
            ("/ollama", "POST /ollama/api/generate "),
        ] {
            let (tell, mut told) = watch::channel(String::new());
            let fake = RawServer::start(Box::new(move |mut stream, request| {
                Box::pin(async move {
                    tell.send_replace(request);
                    let done = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(done.as_bytes()).await.unwrap();
                })
            }))
            .await;
            server(&format!("{}{path}", fake.base)).warm().await;
            let request = told.wait_for(|told| !told.is_empty()).await.unwrap();
            assert!(request.starts_with(expected), "{}", *request);
            assert!(request.ends_with(r#"{"model":"m"}"#), "{}", *request);
        }
    }

    #[tokio::test] // R3, R95
    async fn a_connection_opened_ahead_is_the_one_that_answers() {
        let (base, counts, _server) = keeping(0).await;
        let server = server(&base);
        server.warm().await;
        assert_eq!(*counts.borrow(), (1, 1));
        let all: Vec<_> = server.answer(ask("m")).collect().await;
        assert!(all.last().unwrap().is_ok());
        assert_eq!(*counts.borrow(), (1, 2));
    }
}
