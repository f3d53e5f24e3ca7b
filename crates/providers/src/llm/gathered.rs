//! What has come of an answer: deltas to hand on, tool calls put together from their pieces, and the
//! bill. Sources: wire-providers.md §3.2; runtime.md R99.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use crate::{Ask, Called, Delta};

/// A model that sends no usage: characters a token.
const CHARACTERS_A_TOKEN: usize = 4;

/// The vendor's bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Of the prompt, cached ones included.
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached: u64,
}

/// A piece of a tool call; what is not known yet, or was told before, is empty.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) index: u64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// See the module.
#[derive(Default)]
pub(super) struct Gathered {
    ready: VecDeque<Delta>,
    /// Last text, thought or piece of a call.
    pub(super) moved: Option<Instant>,
    /// When the model said why it stopped.
    pub(super) finished: Option<Instant>,
    finish: Option<&'static str>,
    calls: Vec<Piece>,
    usage: Option<Usage>,
    sent: usize,
    came: usize,
}

impl Gathered {
    pub(super) fn of(ask: &Ask) -> Self {
        Self {
            sent: characters(ask),
            ..Self::default()
        }
    }

    /// The next delta to hand on.
    pub(super) fn next(&mut self) -> Option<Delta> {
        self.ready.pop_front()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    pub(super) fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.moved = Some(Instant::now());
            self.came += text.chars().count();
            self.ready.push_back(Delta::Text(text));
        }
    }

    pub(super) fn thought(&mut self, thought: String) {
        if !thought.is_empty() {
            self.moved = Some(Instant::now());
            // Billed as what is said.
            self.came += thought.chars().count();
            self.ready.push_back(Delta::Reasoning(thought));
        }
    }

    /// Pieces belong together by index; several calls under one index are told apart by their ids.
    pub(super) fn call(&mut self, piece: Piece) {
        self.moved = Some(Instant::now());
        let open = self.calls.iter().rposition(|call| {
            call.index == piece.index
                && (piece.id.is_empty() || call.id.is_empty() || call.id == piece.id)
        });
        let at = open.unwrap_or(self.calls.len());
        if open.is_none() {
            self.calls.push(Piece {
                index: piece.index,
                ..Piece::default()
            });
        }
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = piece.id;
        }
        if call.name.is_empty() && !piece.name.is_empty() {
            self.ready.push_back(Delta::Calling(piece.name.clone()));
            call.name = piece.name;
        }
        call.arguments.push_str(&piece.arguments);
    }

    /// Why the model stopped; the first reason counts.
    pub(super) fn finish(&mut self, finish: &'static str) {
        if self.finish.is_none() {
            self.finished = Some(Instant::now());
            self.finish = Some(finish);
            // Some servers send the last pieces of a call with the reason, none after it.
            self.tell_calls();
        }
    }

    pub(super) fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn tell_calls(&mut self) {
        let calls = std::mem::take(&mut self.calls);
        self.came += calls
            .iter()
            .map(|call| call.name.len() + call.arguments.len())
            .sum::<usize>();
        let calls: Vec<Called> = calls.into_iter().filter_map(whole).collect();
        if !calls.is_empty() {
            // Some say `stop` although they call.
            self.finish = Some("tool_calls");
            self.ready.push_back(Delta::Calls(calls));
        }
    }

    /// The answer is whole.
    pub(super) fn end(&mut self) {
        self.tell_calls();
        let usage = self.usage.unwrap_or(Usage {
            input: estimate(self.sent),
            output: estimate(self.came),
            cached: 0,
        });
        self.ready.push_back(Delta::Done {
            finish: self.finish.unwrap_or("stop"),
            input: usage.input,
            output: usage.output,
            cached: usage.cached,
            estimated: self.usage.is_none(),
        });
    }
}

/// The call, once no more of it comes; without a name it can't be made.
fn whole(call: Piece) -> Option<Called> {
    if call.name.is_empty() {
        tracing::warn!("the model called a tool without a name");
        return None;
    }
    Some(Called {
        id: if call.id.is_empty() {
            new_call_id()
        } else {
            call.id
        },
        name: call.name,
        arguments: if call.arguments.trim().is_empty() {
            "{}".into()
        } else {
            call.arguments
        },
    })
}

/// For a call whose server gives it no id: unlike any other in the same history.
pub(super) fn new_call_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("call_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Characters of a request.
fn characters(ask: &Ask) -> usize {
    let calls = |calls: &[(String, String, String)]| -> usize {
        let lengths = calls.iter().map(|(_, name, text)| name.len() + text.len());
        lengths.sum()
    };
    let sent = ask.messages.iter().map(|message| {
        let text = message.content.as_deref().unwrap_or_default();
        text.chars().count() + calls(&message.tool_calls)
    });
    sent.sum()
}

/// Tokens that a request is likely to cost; for one that ends without a bill.
pub(super) fn estimated_input(ask: &Ask) -> u64 {
    estimate(characters(ask))
}

/// Tokens of so many characters.
pub(super) fn estimate(characters: usize) -> u64 {
    characters.div_ceil(CHARACTERS_A_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn gather(pieces: &[(u64, &str, &str, &str)]) -> (Vec<String>, Vec<Called>) {
        let mut gathered = Gathered::default();
        for (index, id, name, arguments) in pieces {
            gathered.call(Piece {
                index: *index,
                id: (*id).into(),
                name: (*name).into(),
                arguments: (*arguments).into(),
            });
        }
        gathered.finish("stop");
        let (mut begun, mut calls) = (Vec::new(), Vec::new());
        while let Some(delta) = gathered.next() {
            match delta {
                Delta::Calling(name) => begun.push(name),
                Delta::Calls(whole) => calls.extend(whole),
                other => panic!("{other:?}"),
            }
        }
        (begun, calls)
    }

    fn call(id: &str, name: &str, arguments: &str) -> Called {
        Called {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        }
    }

    #[test] // R99
    fn pieces_by_index() {
        let (begun, calls) = gather(&[
            (0, "a", "f", ""),
            (1, "b", "g", "{"),
            (0, "", "", "{\"x\":"),
            (1, "", "", "}"),
            (0, "", "", "1}"),
        ]);
        assert_eq!(begun, ["f", "g"]);
        assert_eq!(calls, [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")]);
    }

    #[test]
    fn calls_without_an_id_get_one_of_their_own() {
        let (_, calls) = gather(&[(0, "", "f", "{\"x\":1}"), (1, "", "g", "")]);
        assert!(calls.iter().all(|call| call.id.starts_with("call_")));
        assert_ne!(calls[0].id, calls[1].id);
        assert_eq!(calls[1].arguments, "{}");
    }

    #[test]
    fn one_index_for_two_calls() {
        let (_, calls) = gather(&[(0, "a", "f", "{}"), (0, "b", "g", "{}")]);
        assert_eq!(calls, [call("a", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn a_repeated_name_is_taken_once_and_a_nameless_call_is_none() {
        let (begun, calls) = gather(&[(0, "a", "f", "{"), (0, "a", "f", "}"), (1, "z", "", "")]);
        assert_eq!(begun, ["f"]);
        assert_eq!(calls, [call("a", "f", "{}")]);
    }
}
