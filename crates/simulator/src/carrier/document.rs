//! Steps of an answer document, whatever the carrier calls them.

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Opens the media socket; the document goes on when it closes, for whatever reason.
    Stream(Stream),
    Redirect {
        url: String,
        method: String,
    },
    Say(String),
    Play(String),
    Pause {
        seconds: u64,
    },
    /// Turns an unanswered inbound call away.
    Reject {
        busy: bool,
    },
    Hangup,
    /// A verb of the carrier's that the fake does not perform; named in the call's warnings.
    Unsupported(String),
}

/// A media stream, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    pub url: String,
    pub name: String,
    pub status_callback: Option<String>,
    pub parameters: Vec<(String, String)>,
}
