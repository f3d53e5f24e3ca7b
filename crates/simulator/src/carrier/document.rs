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
    /// Asks the call's own address again.
    Again,
    /// Turns an unanswered inbound call away.
    Reject {
        busy: bool,
    },
    Hangup,
    /// Calls somebody and connects the two.
    Dial(Dial),
    /// A verb of the carrier's that the fake does not perform; named in the call's warnings.
    Unsupported(String),
}

/// Another leg of the call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dial {
    pub number: String,
    pub caller_id: Option<String>,
    pub timeout_s: u64,
    /// Asked for the next document when the other leg is over; else the document goes on.
    pub action: Option<String>,
    pub method: String,
    pub status_callback: Option<String>,
    pub status_events: Vec<String>,
}

/// A media stream, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    pub url: String,
    pub name: String,
    pub status_callback: Option<String>,
    pub parameters: Vec<(String, String)>,
}
