//! One answer, from the request to its end. Sources: wire-providers.md §3.2; runtime.md R194.

use std::{collections::VecDeque, time::Duration};

use reqwest::{Response, header};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    OpenAi,
    chunk::{Calls, Choice, Chunk, Usage},
    failure,
    request::Body,
    sse::Events,
};
use crate::{Ask, Delta, Error, ErrorKind};

/// Longest answer that comes in one piece instead of a stream, bytes.
const LONGEST_WHOLE: usize = 1 << 20;
/// After the last event, for the connection to be fit for another request.
const DRAIN: Duration = Duration::from_millis(50);
/// A model that sends no usage: characters a token.
const CHARACTERS_A_TOKEN: usize = 4;

pub(super) struct Answer {
    server: OpenAi,
    phase: Phase,
    /// Read but not yet handed on.
    ready: VecDeque<Result<Delta, Error>>,
    began: Instant,
    /// Last text, thought or tool name.
    moved: Option<Instant>,
    /// Characters of the request and of the answer, for an estimate.
    characters: (usize, usize),
    calls: Calls,
    finish: Option<&'static str>,
    finished: Option<Instant>,
    usage: Option<Usage>,
    complained: bool,
}

enum Phase {
    Ask(Box<Ask>),
    Read(Box<(Response, Events)>),
    Over,
}

impl Answer {
    pub(super) fn new(server: OpenAi, ask: Ask) -> Self {
        let sent = |message: &crate::AskMessage| {
            let calls = message
                .tool_calls
                .iter()
                .map(|(_, name, arguments)| name.len() + arguments.len());
            message
                .content
                .as_ref()
                .map_or(0, |text| text.chars().count())
                + calls.sum::<usize>()
        };
        Self {
            server,
            characters: (ask.messages.iter().map(sent).sum(), 0),
            phase: Phase::Ask(Box::new(ask)),
            ready: VecDeque::new(),
            began: Instant::now(),
            moved: None,
            calls: Calls::default(),
            finish: None,
            finished: None,
            usage: None,
            complained: false,
        }
    }

    /// The next delta; `None` after the end or an error.
    pub(super) async fn next(&mut self) -> Option<Result<Delta, Error>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if item.is_err() {
                    self.ready.clear();
                    self.phase = Phase::Over;
                }
                return Some(item);
            }
            let step = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Ask(ask) => {
                    // The stream may be made long before it is read.
                    self.began = Instant::now();
                    Box::pin(self.ask(&ask)).await
                }
                Phase::Read(mut reading) => match self.read(&mut reading).await {
                    Ok(true) => {
                        self.phase = Phase::Read(reading);
                        Ok(())
                    }
                    Ok(false) => {
                        self.end();
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Phase::Over => return None,
            };
            if let Err(error) = step {
                self.ready.push_back(Err(error));
            }
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(), Error> {
        let server = &self.server;
        let origin = server.origin();
        let limits = server.limits;
        if !ask.config.takes_tools() && !ask.tools.is_empty() {
            // The agent's parser refuses such agents: nothing is left out in silence.
            return Err(origin.fault(ErrorKind::BadRequest, "takes no tools"));
        }
        let mut request = server
            .http
            .post(server.url.clone())
            .header(header::ACCEPT, "text/event-stream")
            // A compressed stream would be held back until a block is full.
            .header(header::ACCEPT_ENCODING, "identity")
            .json(&Body::new(ask, server.dialect));
        if let Some(key) = &server.key {
            request = request.bearer_auth(key.expose_secret());
        }
        let limit = limits.first_token.min(limits.total);
        let response = match timeout_at(self.began + limit, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let connected = !error.is_connect();
                tracing::warn!(vendor = origin.vendor, error = %error.without_url(), "no answer from the model server");
                return Err(if connected {
                    origin.dropped()
                } else {
                    origin.unreachable()
                });
            }
            Err(_) => return Err(origin.no_answer(limit)),
        };
        if !response.status().is_success() {
            return Err(failure::refused(origin, response).await);
        }
        let content = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|content| content.to_str().ok());
        if content.is_some_and(|content| content.starts_with("application/json")) {
            return self.read_whole(response).await;
        }
        self.phase = Phase::Read(Box::new((response, Events::default())));
        Ok(())
    }

    /// An answer of a server that does not stream, or an error told with a status of success.
    async fn read_whole(&mut self, mut response: Response) -> Result<(), Error> {
        let origin = self.server.origin();
        let mut body = Vec::new();
        loop {
            let (deadline, limit) = self.deadline();
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(bytes))) if body.len() + bytes.len() <= LONGEST_WHOLE => {
                    body.extend_from_slice(&bytes)
                }
                Ok(Ok(Some(_))) => return Err(origin.server("(answer too long)")),
                Ok(Ok(None)) => break,
                Ok(Err(_)) => return Err(origin.dropped()),
                Err(_) => return Err(origin.no_answer(limit)),
            }
        }
        self.event(&String::from_utf8_lossy(&body))?;
        if self.finish.is_none() {
            return Err(origin.dropped());
        }
        self.end();
        Ok(())
    }

    /// Reads some bytes; `false` when the answer is whole.
    async fn read(&mut self, (response, events): &mut (Response, Events)) -> Result<bool, Error> {
        let origin = self.server.origin();
        let (deadline, limit) = self.deadline();
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                events
                    .push(&bytes)
                    .map_err(|_| origin.server("(event too long)"))?;
                while let Some(data) = events.next() {
                    if !self.event(&data)? {
                        // Read to the end, else the connection can't be used again.
                        let _ = timeout(DRAIN, async {
                            while let Ok(Some(_)) = response.chunk().await {}
                        })
                        .await;
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Ok(Ok(None)) => {
                if let Some(data) = events.last()
                    && !self.event(&data)?
                {
                    return Ok(false);
                }
                // Without a reason the answer was cut off.
                if self.finish.is_some() {
                    Ok(false)
                } else {
                    Err(origin.dropped())
                }
            }
            // All but the bill has come.
            Ok(Err(_)) | Err(_) if self.finish.is_some() => Ok(false),
            Ok(Err(_)) => Err(origin.dropped()),
            Err(_) => Err(origin.no_answer(limit)),
        }
    }

    /// Until when the next bytes must come, and the limit that says so.
    fn deadline(&self) -> (Instant, Duration) {
        let limits = self.server.limits;
        let (from, limit) = match (self.finished, self.moved) {
            (Some(finished), _) => (finished, limits.usage),
            (None, Some(moved)) => (moved, limits.between),
            (None, None) => (self.began, limits.first_token),
        };
        let total = self.began + limits.total;
        if total < from + limit {
            (total, limits.total)
        } else {
            (from + limit, limit)
        }
    }

    /// Takes one event; `false` after the last.
    fn event(&mut self, data: &str) -> Result<bool, Error> {
        let data = data.trim();
        if data == "[DONE]" {
            return Ok(false);
        }
        let mut chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(error) => {
                if !data.is_empty() && !std::mem::replace(&mut self.complained, true) {
                    let vendor = self.server.dialect.name;
                    tracing::warn!(vendor, %error, "unreadable event of the model; further ones are not reported");
                }
                return Ok(true);
            }
        };
        if let Some(error) = chunk.failure() {
            return Err(failure::in_stream(self.server.origin(), &error));
        }
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage);
        }
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            self.choice(choice)?;
        }
        Ok(true)
    }

    fn choice(&mut self, choice: Choice) -> Result<(), Error> {
        if let Some(mut part) = choice.delta {
            if part.refusal.as_ref().is_some_and(|words| !words.is_empty()) {
                let origin = self.server.origin();
                return Err(origin.fault(ErrorKind::Content, "the model refused to answer"));
            }
            let mut moved = false;
            if let Some(thought) = part.reasoning() {
                moved = true;
                self.ready.push_back(Ok(Delta::Reasoning(thought)));
            }
            if let Some(text) = part.content.filter(|text| !text.is_empty()) {
                moved = true;
                self.characters.1 += text.chars().count();
                self.ready.push_back(Ok(Delta::Text(text)));
            }
            if let Some(parts) = part.tool_calls {
                moved |= !parts.is_empty();
                let begun = self.calls.add(parts).into_iter().map(Delta::Calling);
                self.ready.extend(begun.map(Ok));
            }
            if moved {
                self.moved = Some(Instant::now());
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty())
            && self.finish.is_none()
        {
            self.finished = Some(Instant::now());
            self.finish = Some(match reason.as_str() {
                "length" => "length",
                "tool_calls" | "function_call" => "tool_calls",
                "content_filter" => "content_filter",
                "stop" => "stop",
                other => {
                    tracing::info!(
                        vendor = self.server.dialect.name,
                        reason = other,
                        "unknown finish reason"
                    );
                    "stop"
                }
            });
            // Some servers send the last pieces of a call with the reason, none after it.
            self.tell_calls();
        }
        Ok(())
    }

    fn tell_calls(&mut self) {
        self.characters.1 += self.calls.characters();
        let calls = self.calls.take();
        if !calls.is_empty() {
            // Some say `stop` although they call.
            self.finish = Some("tool_calls");
            self.ready.push_back(Ok(Delta::Calls(calls)));
        }
    }

    /// The answer is whole.
    fn end(&mut self) {
        self.tell_calls();
        let (sent, came) = self.characters;
        let estimate = |characters: usize| characters.div_ceil(CHARACTERS_A_TOKEN) as u64;
        let usage = self.usage.take();
        self.ready.push_back(Ok(Delta::Done {
            finish: self.finish.unwrap_or("stop"),
            input: usage
                .as_ref()
                .map_or(estimate(sent), |usage| usage.prompt_tokens),
            output: usage
                .as_ref()
                .map_or(estimate(came), |usage| usage.completion_tokens),
            cached: usage.as_ref().map_or(0, Usage::cached),
            estimated: usage.is_none(),
        }));
    }
}
