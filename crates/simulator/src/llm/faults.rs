//! What a model's server does wrong, per request (wire-providers.md §3.3, §8).

use serde::{Deserialize, Serialize};

use crate::coming::TooMany;

/// The fault of one request.
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
    /// Nothing comes, not even headers, until the client gives up.
    NoHeaders {},
    /// The headers come, then nothing for ever.
    Silence {},
    /// The connection breaks before the first token.
    ResetBeforeFirst {},
    /// The first token comes so much later.
    DelayFirst {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing comes after so many tokens; the connection stays open.
    StallAfter {
        /// Tokens that are sent.
        tokens: usize,
    },
    /// Nothing comes after so many tokens, for so long; then the rest.
    PauseAfter {
        /// Tokens that are sent.
        tokens: usize,
        /// How long, milliseconds.
        ms: u64,
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
    /// A chunk that is no JSON stands before the first token.
    Garbage {},
    /// An event of a kind that no client knows stands before the first token.
    UnknownEvent {},
    /// The stream ends without `[DONE]` (but with a finish reason).
    NoDone {},
    /// The usage chunk does not come although it was asked for.
    NoUsage {},
    /// The stream ends in mid-air: no finish reason, no `[DONE]`.
    CutShort {
        /// Tokens that are sent.
        tokens: usize,
    },
    /// All text in one chunk.
    OneChunk {},
    /// CRLF line ends, comments, `keepalive` events, and every byte a network piece of its own.
    Crumbs {},
    /// Tool calls in one delta, without `index` and with an empty id, as some dialects do.
    WholeToolCall {},
    /// `finish_reason` `error`, extra and missing fields, as some dialects do.
    OddChunks {},
}

impl Fault {
    /// 401 `invalid_api_key`.
    pub fn unauthorized() -> Self {
        Self::Status {
            status: 401,
            retry_after_s: None,
        }
    }

    /// 429 `rate_limit_exceeded` with `retry-after`.
    pub fn too_many(retry_after_s: u64) -> Self {
        Self::Status {
            status: 429,
            retry_after_s: Some(retry_after_s),
        }
    }

    /// 500 `server_error`.
    pub fn server_error() -> Self {
        Self::Status {
            status: 500,
            retry_after_s: None,
        }
    }
}

impl TooMany for Fault {
    fn too_many() -> Self {
        Self::too_many(1)
    }
}
