//! One answer over HTTP, from the request to its end, whatever the vendor's wire.
//! Sources: wire-providers.md §3.2; runtime.md R194.

use std::time::Duration;

use reqwest::{Response, header};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    failure,
    gathered::Gathered,
    server::{Limits, Reader, Server},
    sse::Events,
};
use crate::{Ask, Delta, Error, ErrorKind};

/// Longest answer that comes in one piece instead of a stream, bytes.
const LONGEST_WHOLE: usize = 1 << 20;
/// After the last event, for the connection to be fit for another request.
const DRAIN: Duration = Duration::from_millis(50);

pub(super) struct Answer {
    server: Server,
    reader: Box<dyn Reader>,
    phase: Phase,
    gathered: Gathered,
    began: Instant,
    complained: bool,
    limits: Limits,
}

enum Phase {
    Ask(Box<Ask>),
    Read(Box<(Response, Events)>),
    Failed(Error),
    Over,
}

impl Answer {
    pub(super) fn new(server: Server, ask: Ask) -> Self {
        Self {
            reader: server.wire.reader(&ask),
            gathered: Gathered::of(&ask),
            limits: server.limits.of(&ask.config),
            server,
            phase: Phase::Ask(Box::new(ask)),
            began: Instant::now(),
            complained: false,
        }
    }

    /// The next delta; `None` after the end or an error.
    pub(super) async fn next(&mut self) -> Option<Result<Delta, Error>> {
        loop {
            if let Some(delta) = self.gathered.next() {
                return Some(Ok(delta));
            }
            let step = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Ask(ask) => {
                    // The stream may be made long before it is read.
                    self.began = Instant::now();
                    Box::pin(self.ask(&ask)).await
                }
                Phase::Read(mut reading) => self.read(&mut reading).await.map(|more| {
                    if more {
                        self.phase = Phase::Read(reading);
                    } else {
                        self.gathered.end();
                    }
                }),
                Phase::Failed(error) => return Some(Err(error)),
                Phase::Over => return None,
            };
            if let Err(error) = step {
                self.phase = Phase::Failed(error);
            }
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<(), Error> {
        let origin = self.server.wire.origin();
        if !ask.config.takes_tools() && !ask.tools.is_empty() {
            // No such agent is asked with tools: nothing is left out in silence.
            return Err(origin.fault(ErrorKind::BadRequest, "takes no tools"));
        }
        let limits = self.limits;
        let limit = limits.first_token.min(limits.total);
        let mut again = true;
        let response = loop {
            let sending = self.server.send(ask);
            let response = match timeout_at(self.began + limit, sending).await {
                Ok(response) => response?,
                Err(_) => return Err(origin.no_answer(limit)),
            };
            if response.status().is_success() {
                break response;
            }
            let error = failure::refused(origin, response).await;
            if !std::mem::replace(&mut again, false) || !self.server.wire.gives_way(ask, &error) {
                return Err(error);
            }
        };
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
        let origin = self.server.wire.origin();
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
        if !self.gathered.is_finished() {
            return Err(origin.dropped());
        }
        self.gathered.end();
        Ok(())
    }

    /// Reads some bytes; `false` when the answer is whole.
    async fn read(&mut self, (response, events): &mut (Response, Events)) -> Result<bool, Error> {
        let origin = self.server.wire.origin();
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
                if self.gathered.is_finished() {
                    Ok(false)
                } else {
                    Err(origin.dropped())
                }
            }
            // All but the bill has come.
            Ok(Err(_)) | Err(_) if self.gathered.is_finished() => Ok(false),
            Ok(Err(_)) => Err(origin.dropped()),
            Err(_) => Err(origin.no_answer(limit)),
        }
    }

    /// Until when the next bytes must come, and the limit that says so.
    fn deadline(&self) -> (Instant, Duration) {
        let limits = self.limits;
        let (from, limit) = match (self.gathered.finished, self.gathered.moved) {
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
        match serde_json::from_str::<&RawValue>(data) {
            Ok(event) => self.reader.event(event, &mut self.gathered),
            Err(error) => {
                if !data.is_empty() && !std::mem::replace(&mut self.complained, true) {
                    let vendor = self.server.wire.origin().vendor;
                    tracing::warn!(vendor, %error, "unreadable event of the model; further ones are not reported");
                }
                Ok(true)
            }
        }
    }
}
