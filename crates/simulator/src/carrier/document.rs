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
    Say {
        text: String,
        /// The voice or the language that was asked for; empty = the carrier's usual one.
        voice: String,
    },
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
    /// Says something and waits for keys.
    Gather(Gather),
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
    pub whisper: Option<Whisper>,
}

/// What whoever is called hears before the two are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whisper {
    /// A document; its end connects them.
    Document { url: String, method: String },
    /// A document that only speaks; a key connects them, within so many seconds of the answer.
    Key {
        url: String,
        key: char,
        limit_s: u64,
    },
}

/// Keys are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gather {
    /// Said first; a key cuts it short.
    pub prompts: Vec<Verb>,
    /// So many keys are enough; 0 = any number.
    pub digits: usize,
    /// This one ends them, and is none of them.
    pub finish: Option<char>,
    /// Waited for so long behind the prompts, and between keys.
    pub timeout_s: u64,
    pub then: Then,
}

/// What keys lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next document; without keys the present one goes on, if this is not asked all the same.
    Ask {
        url: String,
        method: String,
        on_empty: bool,
    },
    /// This one connects the two legs, others are nothing; without it the leg ends.
    Connect(char),
}

/// A media stream, both ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    pub url: String,
    pub name: String,
    pub status_callback: Option<String>,
    pub parameters: Vec<(String, String)>,
}
