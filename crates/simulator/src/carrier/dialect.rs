//! What each carrier spells its own way. What calls, callers and documents have in common knows no wire.

use super::{
    call::{Call, Status},
    document::{Stream, Verb},
    faults::BadFrame,
    life::Ending,
    signing::Signer,
};
use crate::caller::AnsweredBy;

/// Fields of a webhook, in order.
pub(crate) type Form = Vec<(String, String)>;

/// A webhook about to leave, as far as its headers depend on it.
pub(crate) struct Outgoing<'a> {
    /// With the query; without the fragment.
    pub url: &'a str,
    /// Of a POST.
    pub form: &'a [(String, String)],
    /// The same on each repetition.
    pub token: &'a str,
}

/// Something that a call's status callbacks may tell.
pub(crate) struct News<'a> {
    /// `initiated`, `ringing`, `answered`, `completed`.
    pub event: &'a str,
    pub status: Status,
    /// Place in the order of firing.
    pub sequence: u64,
    /// With `completed`.
    pub ending: Option<Ending>,
}

/// Where news go.
pub(crate) struct Telling {
    pub url: String,
    pub method: String,
    pub form: Form,
}

/// What a stream's status callback tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamNews {
    Started,
    /// Ended by the carrier, or by a good close.
    Stopped,
    /// So much of the room for audio is full, percent.
    Filled(u8),
    /// Audio was dropped for want of room.
    Overflown,
    /// The server's end is gone.
    Lost,
    /// Never opened, or broken; the text as the carrier's debugger shows it.
    Failed(String),
}

/// What the server asks of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Audio(bytes::Bytes),
    Mark(String),
    Clear,
    /// Something that this fake has no use for.
    Nothing,
}

/// A message of the carrier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

/// What a clear is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cleared {
    /// Every mark that waits is echoed.
    Echoes,
    /// The marks are dropped, and this is said.
    Said(String),
    /// The marks are dropped.
    Silence,
}

/// What the carrier has against a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub text: String,
    /// The socket is closed for it.
    pub fatal: bool,
}

/// The messages of one media socket.
pub(crate) trait Writer: Send {
    /// Before `start`.
    fn hello(&self) -> Option<String>;
    fn start(&mut self, stream: &Stream, with_parameters: bool) -> String;
    /// 20 ms of the caller, `None` for silence. `ms` is the time since the stream's start. `None` when the
    /// carrier waits for more.
    fn media(&mut self, ms: u64, audio: Option<&[u8]>) -> Option<Sent>;
    /// What to send in place of a good frame; `None` sends nothing. `Doubled` and `Binary` are the sender's to
    /// do.
    fn bad_media(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<Sent>;
    fn dtmf(&mut self, key: char) -> String;
    /// Said when hardly more audio has room, and when much has again; most carriers don't.
    fn full(&mut self, _is_full: bool) -> Option<String> {
        None
    }
    /// All before this mark has been played, or cleared.
    fn mark(&mut self, name: &str) -> String;
    fn cleared(&mut self) -> Cleared;
    /// Said before the carrier closes the socket.
    fn stop(&mut self) -> Option<String>;
    /// Reads a message of the server.
    fn read(&self, text: &str) -> Result<Ask, Complaint>;
    /// Reads a binary message of the server.
    fn read_binary(&self, bytes: bytes::Bytes) -> Result<Ask, Complaint>;
}

/// A carrier's way to spell.
pub(crate) trait Dialect: Send + Sync {
    /// User of Basic auth, and part of paths.
    fn account(&self) -> &'static str;
    /// Password of Basic auth, and key of all signatures.
    fn token(&self) -> &'static str;
    /// A new call's id, made of a number of chance.
    fn call_id(&self, chance: u128) -> String;
    /// A new stream's id.
    fn stream_id(&self, chance: u128) -> String {
        self.call_id(chance)
    }
    /// How webhooks are tried, in the words of an address' fragment.
    fn fetch_rules(&self) -> &'static str;
    /// Whether the state of a call is told with JSON, not with a form.
    fn tells_json(&self) -> bool {
        false
    }
    /// Signature and whatever else stands in a webhook's head.
    fn headers(&self, signer: &Signer<'_>, request: &Outgoing<'_>) -> Vec<(&'static str, String)>;
    /// The same of a socket's upgrade.
    fn upgrade_headers(&self, signer: &Signer<'_>, url: &str) -> Vec<(&'static str, String)>;
    /// Fields of the request for a document. `failed`: code and address of the one this stands in for.
    fn ask_form(
        &self,
        call: &Call,
        what: &str,
        status: Status,
        failed: Option<(&str, &str)>,
    ) -> Form;
    /// Fields of a request for a document that follows on another leg: what became of that.
    fn dialled_form(&self, leg: &Call, status: &str) -> Form;
    /// Fields of a request for a document that follows on keys.
    fn keys_form(&self, keys: &str) -> Form {
        vec![("Digits".to_owned(), keys.to_owned())]
    }
    /// Told when a leg is connected with the call that it was dialled for; `None` = not by this carrier.
    fn connected(&self, _: &Call) -> Option<Telling> {
        None
    }
    /// Reads a document. The error is what the carrier's debugger would complain of.
    fn read_document(&self, text: &str) -> Result<Vec<Verb>, String>;
    /// What the debugger says of an address without a good answer.
    fn no_document(&self, url: &str, status: Option<u16>) -> String;
    /// How news are told; `None` = not by this carrier, or not asked for.
    fn news(&self, call: &Call, news: &News<'_>) -> Option<Telling>;
    /// Fields of the news of who answered; `None` = this carrier doesn't tell that.
    fn machine_form(&self, call: &Call, by: AnsweredBy) -> Option<Form>;
    /// Fields of a stream's status callback; `None` = not told by this carrier.
    fn stream_form(
        &self,
        call: &Call,
        stream: &Stream,
        id: &str,
        news: &StreamNews,
    ) -> Option<Form>;
    /// What the debugger says of a socket that did not open: the status of its upgrade, or why there is none.
    fn no_socket(&self, status: Option<u16>, why: &str) -> String;
    /// Upgrades tried before a stream is given up.
    fn upgrade_tries(&self) -> u32;
    /// Samples that wait to be played at most; more are dropped.
    fn buffer(&self) -> u64;
    /// The codec of a stream's messages.
    fn writer(&self, call: &Call, stream_id: String) -> Box<dyn Writer>;
}
