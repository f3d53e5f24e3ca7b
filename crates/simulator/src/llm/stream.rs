//! The event stream of one answer: paced, broken as asked, and aware of a client that goes away.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Fault, Outcome, Reply, Shared, chunks::tokens, wire::Words};
use crate::jitter::Dice;

/// What is to be sent, and how.
pub(super) struct Plan {
    /// What the user said.
    pub user: Arc<str>,
    pub reply: Reply,
    pub finish: &'static str,
    pub fault: Option<Fault>,
    /// When the request came.
    pub asked: Instant,
    pub first: Duration,
    pub each: Duration,
    /// How both scatter.
    pub dice: Dice,
    pub words: Box<dyn Words>,
    /// Tokens of the prompt.
    pub prompt: usize,
}

enum Piece {
    /// For the first token.
    Until(Instant),
    Wait(Duration),
    Text(String),
    /// So many tokens are out.
    Token,
    Stall,
    Reset,
}

/// Marks a request aborted unless it is finished first: a client that goes away drops it.
pub(super) struct Aborting {
    shared: Arc<Shared>,
    number: usize,
    done: bool,
}

impl Aborting {
    pub fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self {
            shared,
            number,
            done: false,
        }
    }

    pub fn finished(mut self, tokens: usize) {
        self.end(Outcome::Finished, Some(tokens));
    }

    fn end(&mut self, outcome: Outcome, tokens: Option<usize>) {
        self.done = true;
        if let Some(tokens) = tokens {
            self.shared.note_tokens(self.number, tokens);
        }
        self.shared.note_outcome(self.number, outcome);
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if !self.done {
            self.end(Outcome::Aborted, None);
        }
    }
}

fn pieces(plan: &mut Plan) -> VecDeque<Piece> {
    let fault = plan.fault.as_ref();
    let words = &mut plan.words;
    let mut out = VecDeque::new();
    let late = match fault {
        Some(Fault::DelayFirst { ms }) => Duration::from_millis(*ms),
        _ => Duration::ZERO,
    };
    if let Some(Fault::Silence {}) = fault {
        // A comment, so that the headers leave at once.
        out.push_back(Piece::Text(": processing\n\n".into()));
        out.push_back(Piece::Stall);
        return out;
    }
    let first = plan.dice.delay(plan.first);
    out.push_back(Piece::Until(plan.asked + first + late));
    if let Some(Fault::ResetBeforeFirst {}) = fault {
        out.push_back(Piece::Reset);
        return out;
    }
    out.push_back(Piece::Text(words.begin()));
    if let Some(Fault::UnknownEvent {}) = fault {
        out.push_back(Piece::Text(words.unknown()));
    }
    let text = match fault {
        Some(Fault::OneChunk {}) => vec![plan.reply.text.clone()],
        _ => tokens(&plan.reply.text),
    };
    let count = text.len();
    for (n, token) in text.into_iter().enumerate() {
        if broken_at(fault, n, words.as_mut(), &mut out) {
            return out;
        }
        if n > 0 && !plan.each.is_zero() {
            out.push_back(Piece::Wait(plan.dice.delay(plan.each)));
        }
        out.push_back(Piece::Text(words.token(&token)));
        out.push_back(Piece::Token);
    }
    if broken_at(fault, count, words.as_mut(), &mut out) {
        return out;
    }
    for (n, call) in plan.reply.calls.iter().enumerate() {
        out.extend(words.call(n, call).into_iter().map(Piece::Text));
    }
    let bill = (fault != Some(&Fault::NoUsage {})).then_some((plan.prompt, count));
    out.push_back(Piece::Text(words.finish(plan.finish, bill)));
    out.extend(words.end().map(Piece::Text));
    out
}

/// Adds what a fault does before token `n`; true if the stream ends there.
fn broken_at(
    fault: Option<&Fault>,
    n: usize,
    words: &mut dyn Words,
    out: &mut VecDeque<Piece>,
) -> bool {
    match fault {
        Some(Fault::StallAfter { tokens }) if *tokens == n => out.push_back(Piece::Stall),
        Some(Fault::PauseAfter { tokens, ms }) if *tokens == n => {
            out.push_back(Piece::Wait(Duration::from_millis(*ms)));
            return false;
        }
        Some(Fault::ResetAfter { tokens }) if *tokens == n => {
            // Time for what went before to leave the process.
            out.push_back(Piece::Wait(Duration::from_millis(5)));
            out.push_back(Piece::Reset);
        }
        Some(Fault::CutShort { tokens }) if *tokens == n => {}
        Some(Fault::ErrorChunkAfter { tokens }) if *tokens == n => {
            out.push_back(Piece::Text(words.failure()));
        }
        Some(Fault::Garbage {}) if n == 0 => {
            out.push_back(Piece::Text("data: {\"id\":\"chatcmpl-\n\n".into()));
            return false;
        }
        _ => return false,
    }
    true
}

struct Sending {
    pieces: VecDeque<Piece>,
    crumbs: bool,
    /// Bytes cut into crumbs, to be sent one after the other.
    waiting: VecDeque<Bytes>,
    tokens: usize,
    /// What is answered.
    user: Arc<str>,
    aborting: Aborting,
    stop: CancellationToken,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if let Some(crumb) = self.waiting.pop_front() {
            return Some(Ok(crumb));
        }
        loop {
            let text = match self.pieces.pop_front() {
                None => {
                    let tokens = self.tokens;
                    self.aborting.end(Outcome::Finished, Some(tokens));
                    return None;
                }
                Some(Piece::Until(due)) => {
                    sleep_until(due).await;
                    if let Some(observer) = &self.aborting.shared.options.observer {
                        observer.tell(&self.user, due);
                    }
                    continue;
                }
                Some(Piece::Wait(time)) => {
                    sleep(time).await;
                    continue;
                }
                Some(Piece::Token) => {
                    self.tokens += 1;
                    let tokens = self.tokens;
                    let Aborting { shared, number, .. } = &self.aborting;
                    shared.note_tokens(*number, tokens);
                    continue;
                }
                Some(Piece::Stall) => std::future::pending().await,
                Some(Piece::Reset) => {
                    self.pieces.clear();
                    self.aborting.end(Outcome::Failed(200), None);
                    return Some(Err(io::Error::other("reset as the test asked")));
                }
                Some(Piece::Text(text)) if text.is_empty() => continue,
                Some(Piece::Text(text)) => text,
            };
            if !self.crumbs {
                return Some(Ok(text.into()));
            }
            let text = format!(
                ": ping\r\n\r\nevent: keepalive\r\ndata: {{}}\r\n\r\n{}",
                text.replace('\n', "\r\n")
            );
            self.waiting = text
                .as_bytes()
                .chunks(1)
                .map(Bytes::copy_from_slice)
                .collect();
            return self.waiting.pop_front().map(Ok);
        }
    }
}

/// The response of a streamed answer.
pub(super) fn respond(shared: Arc<Shared>, number: usize, mut plan: Plan) -> Response {
    let sending = Sending {
        pieces: pieces(&mut plan),
        crumbs: plan.fault == Some(Fault::Crumbs {}),
        waiting: VecDeque::new(),
        tokens: 0,
        user: plan.user,
        stop: shared.stop.clone(),
        aborting: Aborting::new(shared, number),
    };
    let events = futures_util::stream::unfold(sending, |mut sending| async move {
        let stop = sending.stop.clone();
        let piece = stop.run_until_cancelled(sending.next()).await.flatten()?;
        Some((piece, sending))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::wire::Wire, *};
    use crate::Jitter;

    /// When the first token comes, and how long the others take.
    fn delays(seed: u64, p99_ms: u64) -> Vec<Duration> {
        let jitter = Jitter {
            seed,
            around_ms: 10,
            p99_ms,
        };
        let asked = Instant::now();
        let mut plan = Plan {
            user: "".into(),
            reply: Reply::text("one two three"),
            finish: "stop",
            fault: None,
            asked,
            first: Duration::from_millis(100),
            each: Duration::from_millis(20),
            dice: jitter.dice(0),
            words: Wire::Chat.words(&json!({"model": "m"}), None),
            prompt: 0,
        };
        let delay = |piece: &Piece| match piece {
            Piece::Until(at) => Some(*at - asked),
            Piece::Wait(time) => Some(*time),
            _ => None,
        };
        pieces(&mut plan).iter().filter_map(delay).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_pace() {
        assert_eq!(delays(1, 0).len(), 3);
        assert_eq!(delays(1, 0), delays(1, 0));
        assert_ne!(delays(1, 0), delays(2, 0));
    }

    #[test]
    fn one_token_in_a_hundred_is_slow() {
        let slow = Duration::from_millis(900);
        let all: Vec<Duration> = (0..300).flat_map(|seed| delays(seed, 900)).collect();
        let count = all.iter().filter(|delay| **delay == slow).count();
        assert!((1..30).contains(&count), "{count}");
        let most = all.iter().filter(|delay| **delay < slow).max();
        assert!(most.is_some_and(|most| *most <= Duration::from_millis(110)));
    }
}
