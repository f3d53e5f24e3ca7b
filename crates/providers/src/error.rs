//! One error type for all vendors. Source: wire-providers.md §7.1.

use std::time::Duration;

/// What went wrong, named for what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 401, 403: the key is wrong, or not for this. No retry.
    Auth,
    /// Out of credit. No retry.
    Quota,
    /// 429.
    RateLimited,
    /// The request is at fault. No retry.
    BadRequest,
    /// There is no such model, deployment or place. No retry.
    NotFound,
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

/// Whose failures these are: vendor, role and the variable that holds its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) vendor: &'static str,
    pub(crate) role: &'static str,
    pub(crate) variable: &'static str,
}

/// Longest part of a vendor's own words that goes into a cause, characters.
const LONGEST_WORDS: usize = 200;

impl Origin {
    pub(crate) fn fault(self, kind: ErrorKind, cause: impl Into<String>) -> Error {
        Error {
            kind,
            vendor: self.vendor,
            role: self.role,
            cause: cause.into(),
            retry_after: None,
        }
    }

    pub(crate) fn no_key(self) -> Error {
        let variable = self.variable;
        self.fault(
            ErrorKind::Auth,
            format!("no key (set {variable} or add it with POST /providers)"),
        )
    }

    /// The vendor's own words stay out of it: some vendors repeat the key in them.
    pub(crate) fn bad_key(self) -> Error {
        let variable = self.variable;
        self.fault(
            ErrorKind::Auth,
            format!("authentication failed (check {variable})"),
        )
    }

    /// A 403: the key is right, but not for this model or place, unless the vendor says nothing, or that it
    /// is the key.
    pub(crate) fn denied(self, words: &str) -> Error {
        let lower = words.to_lowercase();
        let blamed = [
            "api key",
            "api_key",
            "apikey",
            "unauthorized",
            "authenticat",
            "security token",
            "signature",
        ];
        if words.trim().is_empty() || blamed.iter().any(|name| lower.contains(name)) {
            return self.bad_key();
        }
        let words: String = words.trim().chars().take(LONGEST_WORDS).collect();
        self.fault(ErrorKind::Auth, format!("access denied: {words}"))
    }

    pub(crate) fn quota(self) -> Error {
        self.fault(ErrorKind::Quota, "out of credit or quota")
    }

    pub(crate) fn rate_limited(self, retry_after: Option<Duration>) -> Error {
        Error {
            retry_after,
            ..self.fault(ErrorKind::RateLimited, "rate limited")
        }
    }

    pub(crate) fn rejected(self, words: &str) -> Error {
        let words: String = words.trim().chars().take(LONGEST_WORDS).collect();
        self.fault(
            ErrorKind::BadRequest,
            format!("rejected the request: {words}"),
        )
    }

    pub(crate) fn unreachable(self) -> Error {
        self.fault(ErrorKind::Connect, "could not connect")
    }

    pub(crate) fn no_answer(self, within: Duration) -> Error {
        self.fault(
            ErrorKind::Timeout,
            format!("no answer within {} ms", within.as_millis()),
        )
    }

    pub(crate) fn dropped(self) -> Error {
        self.fault(ErrorKind::Dropped, "connection lost")
    }

    pub(crate) fn server(self, code: impl std::fmt::Display) -> Error {
        self.fault(ErrorKind::Server, format!("server error {code}"))
    }

    /// What a failure means that comes in words only.
    pub(crate) fn worded(self, words: &str) -> Error {
        let lower = words.to_lowercase();
        let has = |names: &[&str]| names.iter().any(|name| lower.contains(name));
        if has(&["api key", "api_key", "unauthorized", "authentication"]) {
            self.bad_key()
        } else if has(&["credit", "quota", "balance"]) {
            self.quota()
        } else if has(&["rate limit", "rate_limit", "too many", "concurren"]) {
            self.rate_limited(None)
        } else if has(&["invalid", "not found", "unsupported", "must be"]) {
            self.rejected(words)
        } else {
            self.server("in the stream")
        }
    }

    /// What an HTTP status means where the vendor says no more (wire-providers.md §7.1).
    pub(crate) fn status(self, status: u16, words: &str, retry_after: Option<Duration>) -> Error {
        match status {
            401 => self.bad_key(),
            403 => self.denied(words),
            402 => self.quota(),
            429 | 498 => self.rate_limited(retry_after),
            408 | 409 | 500.. => Error {
                retry_after,
                ..self.server(status)
            },
            _ => self.rejected(if words.is_empty() {
                "no reason given"
            } else {
                words
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        vendor: "cartesia",
        role: "synthesizer",
        variable: "CARTESIA_API_KEY",
    };

    #[test]
    fn a_403_tells_what_is_denied_unless_it_is_the_key() {
        let told = |words: &str| {
            let error = ORIGIN.status(403, words, None);
            assert_eq!(error.kind, ErrorKind::Auth);
            error.cause
        };
        let key = "authentication failed (check CARTESIA_API_KEY)";
        for words in [
            "",
            " ",
            "Invalid API key sk-123",
            "invalid_api_key_error: no",
        ] {
            assert_eq!(told(words), key, "{words}");
        }
        assert_eq!(
            told("voice_access_denied: your plan has no cloned voices"),
            "access denied: voice_access_denied: your plan has no cloned voices"
        );
        assert_eq!(told(&"x".repeat(900)).len(), "access denied: ".len() + 200);
        let error = ORIGIN.status(401, "your plan has no cloned voices", None);
        assert_eq!(error.cause, key);
    }
}
