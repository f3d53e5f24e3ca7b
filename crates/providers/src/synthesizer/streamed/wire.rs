//! What differs between vendors that speak over a socket: which messages say what.

use std::time::Duration;

use bolo_audio::Format;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use crate::{
    Error, SynthesizerSpec,
    error::Origin,
    socket::Refusal,
    synthesizer::pieces::{Part, Words},
};

/// One vendor's side of a socket.
pub(crate) trait Wire: Send + Sync + Sized + 'static {
    /// A text message of the vendor; other fields pass by.
    type Heard: DeserializeOwned + Send;
    /// Whose failures these are.
    const ORIGIN: Origin;
    /// Where the vendor speaks.
    const BASE_URL: &'static str;
    /// Names of its key in an account.
    const KEYS: &'static [&'static str];
    /// Parts of one utterance that may be on the way at once.
    const AHEAD: usize;
    /// Characters in a part.
    const LONGEST: usize = 1000;
    /// Without a message for this long, say that we are still here.
    const KEEP_ALIVE: Duration;

    /// Refuses what this vendor can't do.
    fn new(spec: &SynthesizerSpec) -> Result<Self, Error>;

    /// What the vendor is asked to make.
    fn made(&self) -> Format;

    /// The address of the socket.
    fn address(&self, base: &str) -> Result<Url, Error>;

    /// Headers of the upgrade.
    fn headers(key: &str) -> Vec<(&'static str, String)>;

    /// What a refused upgrade means.
    fn refused(refusal: &Refusal) -> Error {
        refusal.error(Self::ORIGIN)
    }

    /// The first messages of a socket; forgets all that went before.
    fn greet(&mut self) -> Vec<Message> {
        Vec::new()
    }

    /// Speaks a part.
    fn say(&mut self, part: &Part) -> Vec<Message>;

    /// All text of the utterance has been said.
    fn end(&mut self, _context: u32) -> Vec<Message> {
        Vec::new()
    }

    /// Drops an utterance; `in_flight`: some of its audio is still to come.
    fn stop(&mut self, context: u32, in_flight: bool) -> Stop;

    /// What a message means. `Err` ends the session.
    fn read(&mut self, heard: Self::Heard) -> Result<Vec<News>, Error>;

    /// What a binary message means.
    fn read_audio(&mut self, audio: Bytes) -> Vec<News> {
        vec![News::Audio { of: None, audio }]
    }

    /// Says that we are still here.
    fn keep_alive(&self) -> Message {
        Message::Ping(Bytes::new())
    }

    /// Whether the socket has served: what follows needs another.
    fn is_spent(&self) -> bool {
        false
    }

    /// How long the vendor may say nothing of parts that are on the way, where audio may take `limit`;
    /// `None`: as long as it likes.
    fn patience(&self, limit: Duration) -> Option<Duration> {
        Some(limit)
    }

    /// What is taken for told where the vendor says no more; `None`: it fails.
    fn presume(&mut self) -> Option<Vec<News>> {
        None
    }

    /// Asks the vendor to close; `None`: just close.
    fn bye(&self) -> Option<Message> {
        None
    }

    /// What a close means that we did not ask for.
    fn closed(code: u16, words: &str) -> Error {
        tracing::warn!(
            vendor = Self::ORIGIN.vendor,
            code,
            words,
            "the vendor closed the socket"
        );
        match code {
            1003 | 1007 | 1008 | 1009 => Self::ORIGIN.rejected(words),
            1013 => Self::ORIGIN.rate_limited(None),
            1000 | 1001 | 1005 | 1006 | 1011 | 1012 => Self::ORIGIN.dropped(),
            code => Self::ORIGIN.server(code),
        }
    }
}

/// How a vendor is stopped.
pub(crate) enum Stop {
    /// By messages; the wire tells apart what still comes.
    Send(Vec<Message>),
    /// By another socket: this one can't be made silent.
    Redial,
}

/// What came of a vendor. `of` is a part's id; `None`: the oldest that is on the way.
pub(crate) enum News {
    /// Sound.
    Audio { of: Option<u32>, audio: Bytes },
    /// Words with their times from the part's start.
    Words { of: Option<u32>, words: Words },
    /// All of a part, and of those before it, has come.
    Done { of: Option<u32> },
}
