//! What goes wrong with one request.

use serde::{Deserialize, Serialize};

/// A fault of a model's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Refused with this HTTP status.
    Status {
        /// Such as 429.
        status: u16,
        /// `Retry-After` header, seconds.
        retry_after_s: Option<u64>,
    },
    /// The headers come, then nothing for ever.
    Silence {},
    /// The connection breaks before the first token.
    ResetBeforeFirst {},
    /// Nothing comes after so many tokens; the connection stays open.
    StallAfter {
        /// Tokens that are sent.
        tokens: usize,
    },
    /// The connection breaks after so many tokens.
    ResetAfter {
        /// Tokens that are sent.
        tokens: usize,
    },
    /// An `error` object comes as a chunk after so many tokens, then the end.
    ErrorChunkAfter {
        /// Tokens that are sent.
        tokens: usize,
    },
    /// A chunk that is no JSON stands between the others.
    Garbage {},
    /// The stream ends without `[DONE]` (but with a finish reason).
    NoDone {},
    /// The usage chunk does not come although it was asked for.
    NoUsage {},
    /// The stream ends in mid-air: no finish reason, no `[DONE]`.
    CutShort {
        /// Tokens that are sent.
        tokens: usize,
    },
}
