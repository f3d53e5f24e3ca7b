//! What a socket's session has still to send, in order.

use std::collections::VecDeque;

use axum::extract::ws::Message;

use super::sound::{self, Chunk, Encoding};

/// Chunks that are on their way when a client cancels.
const LATE: usize = 2;

/// One thing to send.
pub(super) enum Item {
    /// A chunk of audio and what goes with it.
    Audio {
        label: String,
        messages: Vec<Message>,
        ms: u64,
        /// Begins a generation: the vendor takes a moment before it.
        first: bool,
    },
    /// Something about audio, in its turn.
    Tell { label: String, message: Message },
    /// The end of the connection.
    Close(u16, String),
}

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    /// Characters that begin to be spoken, and are billed.
    characters: u64,
}

impl Outbox {
    /// Speaks a text; `wrap` makes the messages of a chunk.
    pub fn speak(
        &mut self,
        label: &str,
        text: &str,
        encoding: Encoding,
        mut wrap: impl FnMut(&Chunk) -> Vec<Message>,
    ) {
        self.characters += text.trim().chars().count() as u64;
        for (index, chunk) in sound::chunks(text, encoding).iter().enumerate() {
            self.items.push_back(Item::Audio {
                label: label.to_owned(),
                messages: wrap(chunk),
                ms: chunk.ms,
                first: index == 0,
            });
        }
    }

    pub fn tell(&mut self, label: &str, message: serde_json::Value) {
        self.items.push_back(Item::Tell {
            label: label.to_owned(),
            message: Message::text(message.to_string()),
        });
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        self.items.push_back(Item::Close(code, reason.to_owned()));
    }

    /// Drops what is under a label, or all, but for the chunks that are on their way.
    pub fn cancel(&mut self, dropped: Option<&str>) {
        let mut late = 0;
        self.items.retain(|item| {
            let (label, is_audio) = match item {
                Item::Audio { label, .. } => (label, true),
                Item::Tell { label, .. } => (label, false),
                Item::Close(..) => return true,
            };
            if dropped.is_some_and(|dropped| dropped != label) {
                return true;
            }
            late += usize::from(is_audio);
            is_audio && late <= LATE
        });
    }

    /// Characters since the last call.
    pub fn take_bill(&mut self) -> u64 {
        std::mem::take(&mut self.characters)
    }

    pub fn next(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn starts_generation(&self) -> bool {
        matches!(self.items.front(), Some(Item::Audio { first: true, .. }))
    }
}
