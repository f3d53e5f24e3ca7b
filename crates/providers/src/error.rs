//! One error type for all vendors. Source: wire-providers.md §7.1.

use std::time::Duration;

/// What went wrong, named for what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 401, 403: the key is wrong. No retry.
    Auth,
    /// Out of credit. No retry.
    Quota,
    /// 429.
    RateLimited,
    /// The request is at fault. No retry.
    BadRequest,
    /// No connection could be made.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection was lost.
    Dropped,
    /// 5xx or an error in mid-stream.
    Server,
    /// Refused for its content; not fatal.
    Content,
}

/// A vendor failed. Displays as `<vendor> <role>: <cause>`, fit for `error_message`; holds no key and no
/// full address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{vendor} {role}: {cause}")]
pub struct Error {
    /// Kind.
    pub kind: ErrorKind,
    /// `openai`, `deepgram`, `local`, …
    pub vendor: &'static str,
    /// `llm`, `transcriber`, `synthesizer`, `embedder`.
    pub role: &'static str,
    /// In words.
    pub cause: String,
    /// The vendor asked to wait this long.
    pub retry_after: Option<Duration>,
}
