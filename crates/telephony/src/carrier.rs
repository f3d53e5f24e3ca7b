//! What every carrier can do.

use std::time::Duration;

use async_trait::async_trait;
use bolo_execution::{Change, Direction, E164, Hangup};
use secrecy::SecretString;

use crate::{Line, MediaWire, Numbers, RequestParts};

/// An account at a carrier.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Twilio, Exotel: account SID. Plivo, Vobiz: auth id. SIP trunk: user of Asterisk's ARI.
    pub account: String,
    /// Twilio, Plivo, Vobiz: auth token. Exotel: API token. SIP trunk: password.
    pub token: SecretString,
    /// Who the token belongs to, where that is not the account. Exotel: API key.
    pub user: Option<String>,
    /// What leads an outbound call at the carrier. Exotel: id of a flow. SIP trunk: its name in Asterisk.
    pub route: Option<String>,
    /// The account's own host, where accounts have such. Exotel: `api.in.exotel.com`, ….
    pub host: Option<String>,
}

impl Credentials {
    /// All that most carriers need.
    pub fn new(account: impl Into<String>, token: SecretString) -> Self {
        Self {
            account: account.into(),
            token,
            user: None,
            route: None,
            host: None,
        }
    }
}

/// One attempt to place a call.
#[derive(Debug, Clone)]
pub struct Dial {
    /// What this attempt is called, for carriers that repeat it to us: [`CallReference`](crate::CallReference)
    /// as text.
    pub reference: String,
    /// Whom to call.
    pub to: E164,
    /// From which of our numbers.
    pub from: E164,
    /// Fetched by the carrier when the call is answered.
    pub answer_url: String,
    /// Fetched when `answer_url` fails.
    pub fallback_url: String,
    /// Told of every step.
    pub status_url: String,
    /// The carrier listens for an answering machine while the call goes on, and tells this address.
    pub machine_url: Option<String>,
    /// How long it may ring.
    pub ring: Duration,
    /// The carrier's own cap of the call, so that a lost call can't run for hours.
    pub limit: Duration,
    /// Which trunk the number belongs to, where the account keeps several. SIP trunk only.
    pub trunk: Option<Trunk>,
}

/// A trunk as the carrier knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its name among Asterisk's endpoints.
    pub endpoint: String,
    /// Numbers are dialled with their `+`.
    pub plus: bool,
}

/// What became of a dial request (wire-telephony.md §6.1).
#[derive(Debug)]
pub enum Dialled {
    /// The carrier took it; its id of the call.
    Accepted(String),
    /// Surely not placed.
    Refused(NotPlaced),
    /// Nobody knows: it may ring. Look it up with [`Carrier::find_dial`], never repeat it.
    Unknown(String),
}

/// A dial whose outcome is unknown.
#[derive(Debug, Clone, Copy)]
pub struct LostDial<'a> {
    /// As of [`Dial`].
    pub reference: &'a str,
    /// Who was called.
    pub to: &'a E164,
    /// From which of our numbers.
    pub from: &'a E164,
    /// When, epoch ms.
    pub since: i64,
    /// The carrier's ids of calls between these numbers that belong to others.
    pub bound: &'a [String],
}

/// A dial that surely does not ring, and why.
#[derive(Debug)]
pub enum NotPlaced {
    /// Try the same attempt again after this long (429, or no byte was written).
    Later(Duration),
    /// This number can't be called; `Hangup` tells the client why. No retry.
    Number(Hangup),
    /// Our account or configuration is at fault; text names what to mend.
    Account(String),
    /// The carrier refuses the account whole, whatever it is asked for: a bad key, or it is suspended; text names what
    /// to mend.
    Credentials(String),
}

/// A call as the carrier sees it.
#[derive(Debug, Clone)]
pub struct CallState {
    /// The carrier's id.
    pub id: String,
    /// What it amounts to; `None` while the carrier still has it queued.
    pub change: Option<Change>,
    /// Set when the call is over.
    pub hangup: Option<Hangup>,
    /// Seconds of the connected call, once over.
    pub duration_s: Option<u64>,
}

/// A status callback, translated.
#[derive(Debug, Clone)]
pub struct StatusEvent {
    /// The carrier's id of the call.
    pub call_id: String,
    /// What the dial was answered with, where the carrier tells it apart from the call's id.
    pub dial_id: Option<String>,
    /// Place in the order of firing.
    pub sequence: u64,
    /// What it amounts to; `None` = nothing new for us (`initiated`, unknown words).
    pub change: Option<Change>,
    /// Set when the call is over.
    pub hangup: Option<Hangup>,
    /// Seconds of the connected call, once over.
    pub duration_s: Option<u64>,
    /// The raw fields, for the log.
    pub raw: Vec<(String, String)>,
}

/// The carrier has listened who answered (R161).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredBy {
    /// The carrier's id of the call.
    pub call_id: String,
    /// A machine or a fax, not a person; what the carrier can't tell is a person.
    pub is_machine: bool,
}

/// Whom the answer webhook speaks of.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The carrier's id of the call.
    pub call_id: String,
    /// What the dial was answered with, where the carrier tells it apart from the call's id.
    pub dial_id: Option<String>,
    /// The account at the carrier.
    pub account: String,
    /// Caller's number, E.164 where it is one.
    pub from: String,
    /// Called number, E.164 where it is one.
    pub to: String,
    /// Who called whom.
    pub direction: Direction,
    /// Not a question but news: the call is over. Some carriers tell it here when they know no other address.
    pub over: bool,
}

/// What the carrier shall do with an answered call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Open a media socket; when it ends, for whatever reason, ask `resume_url`.
    Stream {
        /// `wss://…`, no query.
        socket_url: String,
        /// Asked when the socket ends.
        resume_url: String,
        /// Told of stream errors.
        status_url: String,
        /// Sent back in the socket's first message.
        parameters: Vec<(String, String)>,
    },
    /// Call somebody else and connect the two; when that leg is over, answered or not, ask `outcome_url`.
    Dial {
        /// Whom.
        to: String,
        /// The number they see.
        from: String,
        /// How long it may ring.
        ring: Duration,
        /// Asked what now, with the outcome.
        outcome_url: String,
        /// Told when they answer and when it is over.
        status_url: String,
        /// They are asked first whether they take the call.
        offer: Option<OfferUrl>,
    },
    /// To somebody who was called with an [`OfferUrl`]: what it is about, then a key takes the call.
    Offer {
        /// Said first.
        line: Line,
        /// How long the key is waited for.
        wait: Duration,
        /// Told of the key, or that none came.
        take_url: String,
    },
    /// The offer is taken: connect the two.
    Connect,
    /// Say these with the carrier's voice, then wait for keys (the menu before an inbound call).
    Gather {
        /// One after the other; a key cuts them short.
        say: Vec<String>,
        /// `Polly.Joanna`, ….
        voice: String,
        /// How long the first key is waited for.
        wait: Duration,
        /// So many keys are not waited behind.
        most: u64,
        /// The key that ends them.
        finish: char,
        /// Told of the keys, or that none came.
        keys_url: String,
    },
    /// End the call.
    HangUp,
    /// Turn an unanswered inbound call away.
    Reject,
    /// The same, with the sound of a busy line: worth calling again.
    Busy,
    /// Say a line, then hang up.
    Goodbye(Line),
}

/// Where the carrier asks what whoever is called shall hear before the two are connected (R115).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferUrl {
    /// Asked for an [`Instruction::Offer`] when they pick up.
    pub url: String,
    /// From then on they may take so long.
    pub limit: Duration,
}

/// The key that takes a call.
pub(crate) const TAKE_KEY: &str = "1";

/// A request to a carrier failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad credentials or a suspended account; text names what to mend.
    #[error("{0}")]
    Account(String),
    /// The carrier does not know this call.
    #[error("the carrier does not know this call")]
    NotFound,
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// This carrier can't; text says how it is done instead.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// REST, webhooks and media wire of one carrier with one account's credentials.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// `twilio`, `plivo`, `vobiz`, `exotel`, `sip-trunk`, as it stands in paths and in `telephony_data.provider`.
    fn name(&self) -> &'static str;

    /// Sends the dial request once; no retry inside, whatever happens.
    async fn dial(&self, dial: &Dial) -> Dialled;

    /// Looks for a dial whose outcome is unknown.
    async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error>;

    /// Ends a call, ringing or talking. A call that is over already is a success; where no request can end
    /// one, `Error::Unsupported` while it is up.
    async fn hang_up(&self, call_id: &str) -> Result<(), Error>;

    /// Has a talking call ask `url` what to do, whatever it does now. `NotFound`: it does not talk (any more).
    async fn redirect(&self, call_id: &str, url: &str) -> Result<(), Error> {
        let _ = (call_id, url);
        Err(Error::Unavailable(format!(
            "{} can't be told to go on elsewhere",
            self.name()
        )))
    }

    /// The carrier's view of a call.
    async fn fetch(&self, call_id: &str) -> Result<CallState, Error>;

    /// Checks the carrier's signature with this account's token, in constant time.
    fn verify(&self, request: RequestParts<'_>) -> bool;

    /// Reads an answer, resume or inbound webhook.
    fn parse_webhook(&self, request: RequestParts<'_>) -> Option<Webhook>;

    /// Reads a status callback.
    fn parse_status(&self, request: RequestParts<'_>) -> Option<StatusEvent>;

    /// Reads the news of who answered.
    fn parse_answered_by(&self, request: RequestParts<'_>) -> Option<AnsweredBy>;

    /// Whether it tells that a phone which it was asked to call rings.
    fn tells_ringing(&self) -> bool {
        true
    }

    /// Whether [`Instruction::Dial`] can be given.
    fn transfers(&self) -> bool {
        false
    }

    /// Whether an [`Instruction::Dial`] can be given with an [`OfferUrl`].
    fn offers(&self) -> bool {
        false
    }

    /// Whether an [`Instruction::Gather`] can be given.
    fn gathers(&self) -> bool {
        false
    }

    /// The keys that an [`Instruction::Gather`] brought; empty = none came.
    fn parse_keys(&self, _: RequestParts<'_>) -> String {
        String::new()
    }

    /// Whether somebody who was asked takes the call; `None` when the request says nothing of it.
    fn parse_taken(&self, _: RequestParts<'_>) -> Option<bool> {
        None
    }

    /// Reads what became of an [`Instruction::Dial`]: as the status of the other leg.
    fn parse_outcome(&self, _: RequestParts<'_>) -> Option<StatusEvent> {
        None
    }

    /// Reads news of that leg while it lives.
    fn parse_leg(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        self.parse_status(request)
    }

    /// The answer document for an instruction, and its content type.
    fn render(&self, instruction: &Instruction) -> (String, &'static str);

    /// A codec for one media socket.
    fn media(&self) -> Box<dyn MediaWire>;

    /// The account's phone numbers, where they can be managed.
    fn numbers(&self) -> Option<&dyn Numbers> {
        None
    }
}
