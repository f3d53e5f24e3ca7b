//! What ElevenLabs' refusals, error messages and close codes mean. Source: wire-providers.md §4.2, §4.4, §7.2.

use super::ORIGIN;
use crate::{Error, socket::Refusal};

/// A refused upgrade.
pub(super) fn refused(refusal: &Refusal) -> Error {
    by_words(&refusal.words).unwrap_or_else(|| refusal.error(ORIGIN))
}

/// An error message, or a close: `code` is the close code, `words` name and text of the error.
pub(super) fn failed(code: Option<u16>, words: &str) -> Error {
    tracing::warn!(code, words, "elevenlabs reports a failure");
    if let Some(error) = by_words(words) {
        return error;
    }
    match code {
        // We were silent for too long: a new socket is all it takes.
        _ if words.contains("input_timeout") || words.contains("within the timeout") => {
            ORIGIN.dropped()
        }
        Some(1003 | 1007 | 1008 | 1009) => ORIGIN.rejected(words),
        Some(1013) => ORIGIN.rate_limited(None),
        None | Some(1000 | 1001 | 1005 | 1006 | 1011 | 1012) => ORIGIN.dropped(),
        Some(code) => ORIGIN.server(code),
    }
}

fn by_words(words: &str) -> Option<Error> {
    let lower = words.to_ascii_lowercase();
    let has = |names: &[&str]| names.iter().any(|name| lower.contains(name));
    if has(&[
        "quota_exceeded",
        "quota",
        "insufficient_credits",
        "credits remaining",
    ]) {
        Some(ORIGIN.quota())
    } else if has(&[
        "invalid_api_key",
        "api key",
        "unauthorized",
        "authentication",
        "needs_authorization",
    ]) {
        Some(ORIGIN.bad_key())
    } else if has(&[
        "too_many_concurrent",
        "system_busy",
        "max_active_contexts",
        "rate_limit",
    ]) {
        Some(ORIGIN.rate_limited(None))
    } else if has(&[
        "voice_not_found",
        "voice_id_does_not_exist",
        "model_not_found",
    ]) {
        Some(ORIGIN.rejected(words))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn words_before_codes() {
        let kind = |code, words| failed(code, words).kind;
        assert_eq!(
            kind(Some(1008), "quota_exceeded: You have 0 credits remaining"),
            ErrorKind::Quota
        );
        assert_eq!(kind(Some(1008), "invalid_api_key"), ErrorKind::Auth);
        assert_eq!(
            kind(Some(1008), "voice_id_does_not_exist"),
            ErrorKind::BadRequest
        );
        assert_eq!(
            kind(Some(1008), "max_active_contexts"),
            ErrorKind::RateLimited
        );
        let late = "Have not received a new text input within the timeout of 20 seconds. Streaming input terminated.";
        assert_eq!(kind(Some(1008), late), ErrorKind::Dropped);
        assert_eq!(
            kind(Some(1008), "Could not parse input message"),
            ErrorKind::BadRequest
        );
        assert_eq!(kind(Some(1011), ""), ErrorKind::Dropped);
        assert_eq!(kind(Some(1013), ""), ErrorKind::RateLimited);
        assert_eq!(kind(Some(1002), ""), ErrorKind::Server);
        assert_eq!(kind(None, ""), ErrorKind::Dropped);
    }
}
