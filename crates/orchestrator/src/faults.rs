//! A vendor's error in the machine's words, and vendors that can't be had.

use bolo_conversation::{Fault, FaultKind};
use bolo_providers::{Ask, Delta, Error, ErrorKind, Llm};
use futures_util::{StreamExt, stream, stream::BoxStream};

/// Translates.
pub(crate) fn fault(error: &Error) -> Fault {
    Fault {
        kind: match error.kind {
            ErrorKind::Auth => FaultKind::Auth,
            ErrorKind::Quota => FaultKind::Quota,
            ErrorKind::RateLimited => FaultKind::RateLimited,
            ErrorKind::BadRequest => FaultKind::BadRequest,
            ErrorKind::NotFound => FaultKind::NotFound,
            ErrorKind::Connect => FaultKind::Connect,
            ErrorKind::Timeout => FaultKind::Timeout,
            ErrorKind::Dropped => FaultKind::Dropped,
            ErrorKind::Server => FaultKind::Server,
            ErrorKind::Content => FaultKind::Content,
        },
        message: error.to_string(),
        retry_after_ms: error.retry_after.map(|wait| wait.as_millis() as u64),
    }
}

/// A model that could not be set up (no key, unknown vendor): every question fails with the cause, so
/// that the machine treats it like any other fault (R192).
pub(crate) struct NoLlm(pub(crate) Error);

impl Llm for NoLlm {
    fn name(&self) -> &'static str {
        self.0.vendor
    }

    fn answer(&self, _: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        stream::iter([Err(self.0.clone())]).boxed()
    }
}
