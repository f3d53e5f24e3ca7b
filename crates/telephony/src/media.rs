//! The media socket in our words.

use bolo_audio::Format;
use bytes::Bytes;

/// What came from the carrier's media socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// The stream begins. Nothing can be sent before.
    Start {
        /// The carrier's id of the call.
        call_id: String,
        /// Parameters we gave in the answer document.
        parameters: Vec<(String, String)>,
        /// Format of both directions.
        format: Format,
    },
    /// Caller audio.
    Audio {
        /// As announced in `Start`; gaps the carrier lost are not filled here.
        payload: Bytes,
        /// Since the stream's start, ms; jumps where audio was lost upstream.
        timestamp_ms: u64,
    },
    /// A key was pressed.
    Dtmf(char),
    /// The far end typed a turn (a browser).
    Typed(String),
    /// Everything before this mark has been played, or was cleared.
    Mark(String),
    /// The carrier dropped what it held, on our request.
    Cleared,
    /// The carrier ends the stream: the call is over or goes elsewhere.
    Stop,
}

/// What we want of the carrier's media socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaCommand {
    /// Play this, after all that was sent before; format as in `Start`.
    Audio(Bytes),
    /// Echo this name when all before it has been played.
    Mark(String),
    /// Drop all that is not yet played.
    Clear,
    /// Nothing follows for now: play also what did not fill a message yet.
    Flush,
}

/// A message of the carrier makes no sense. The call goes on without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable media message: {0}")]
pub struct MediaError(pub String);

/// A message to the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// As most carriers want everything.
    Text(String),
    /// Bare audio.
    Binary(Bytes),
}

/// Codec of one media socket: messages in, messages out. Remembers only the stream's id, and audio that does
/// not fill a message yet.
pub trait MediaWire: Send {
    /// Translates a text message; `None` = nothing for us (a greeting, an unknown event).
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError>;

    /// Translates a binary message; few carriers send any.
    fn decode_binary(&mut self, _: Bytes) -> Result<Option<MediaEvent>, MediaError> {
        Err(MediaError("a binary message".to_owned()))
    }

    /// Translates a command into messages, put behind `out`; none before `Start` and for what this wire can't
    /// do.
    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>);

    /// The carrier echoes marks.
    fn marks(&self) -> bool;

    /// Nobody opens another socket for the call: a far end that closes this one has hung up.
    fn is_the_call(&self) -> bool {
        false
    }

    /// The carrier's id of the stream, once it began; empty where it has none.
    fn stream_id(&self) -> &str {
        ""
    }
}
