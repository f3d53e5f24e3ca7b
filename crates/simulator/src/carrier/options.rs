//! How a fake carrier is set up.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::chance::sid;
use crate::{
    caller::{CallerScript, Ears, Voice},
    server,
};

/// Settings of a fake carrier; the defaults suit tests.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The account's numbers: `From` must be one of them, unless the list is empty.
    pub numbers: Vec<Number>,
    /// Numbers that the carrier sells.
    pub for_sale: Vec<String>,
    /// Who answers at numbers without a script.
    pub default_script: CallerScript,
    /// The carrier's own delays.
    pub delays: Delays,
    /// Calls started per second; more are queued. `None` = no limit.
    pub calls_per_second: Option<f64>,
    /// Speaks the `text` lines of scripts; without one they are tone-coded.
    pub voice: Option<Arc<dyn Voice>>,
    /// Recognises what the agent says, an utterance at a time.
    pub ears: Option<Arc<dyn Ears>>,
    /// Recognise tone-coded agent audio (default true; costs CPU per call).
    pub tones: bool,
    /// Keep both sides of every call in memory (default true; 16 KB a second).
    pub record: bool,
    /// The same seed makes up the same ids, call by call; `None` (default) = others each time.
    pub seed: Option<u64>,
    /// Keep the fields of every webhook in the ledger (default true).
    pub keep_forms: bool,
    /// A folder of WAV files looked in before the crate's own clips.
    pub clips: Option<PathBuf>,
    /// How long the waiting verbs of tests wait before they fail.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            numbers: vec![Number::new("+14155550100")],
            for_sale: ["+14155550121", "+14155550122", "+918035550121"]
                .map(str::to_owned)
                .into(),
            default_script: CallerScript::default(),
            delays: Delays::default(),
            calls_per_second: None,
            voice: None,
            ears: None,
            tones: true,
            record: true,
            seed: None,
            keep_forms: true,
            clips: None,
            deadline: Duration::from_secs(20),
        }
    }
}

/// A phone number of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The carrier's id of it.
    pub id: String,
    /// E.164.
    pub phone_number: String,
    /// What inbound calls fetch; empty = not set.
    pub voice_url: String,
    /// `POST` or `GET`.
    pub voice_method: String,
    /// Fetched when `voice_url` fails; empty = none.
    pub voice_fallback_url: String,
    /// Told when an inbound call is over; empty = none.
    pub status_callback: String,
    /// Shown in lists.
    pub friendly_name: String,
    /// The application that the webhooks come from, at carriers that have such; empty = none.
    pub application: String,
}

impl Number {
    /// A number without webhooks. Its id is its own for ever.
    pub fn new(phone_number: &str) -> Self {
        let sum = Sha256::digest(phone_number);
        let id = u128::from_be_bytes(sum[..16].try_into().unwrap_or_default());
        Self {
            id: sid("PN", id),
            phone_number: phone_number.to_owned(),
            voice_url: String::new(),
            voice_method: "POST".into(),
            voice_fallback_url: String::new(),
            status_callback: String::new(),
            friendly_name: phone_number.to_owned(),
            application: String::new(),
        }
    }
}

/// The carrier's own delays, milliseconds. The defaults are tiny; [`Delays::real`] is like life
/// (wire-telephony.md §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    /// Before a REST answer.
    pub rest_ms: u64,
    /// From `queued` to `initiated`.
    pub initiated_ms: u64,
    /// From `initiated` to `ringing`.
    pub ringing_ms: u64,
    /// Before each status callback.
    pub callback_ms: u64,
    /// From the answer to the answer webhook.
    pub webhook_ms: u64,
    /// From the document to the socket's upgrade.
    pub upgrade_ms: u64,
    /// From the upgrade to `start`.
    pub start_ms: u64,
    /// From the end to its callback.
    pub end_ms: u64,
    /// How long a character takes that the carrier says itself.
    pub say_char_ms: u64,
    /// From the answer to the news whether a machine answered.
    pub machine_ms: u64,
    /// From a TCP reset of the media socket to the next verb.
    pub reset_ms: u64,
    /// What media and marks take on their way, each way.
    pub network_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            rest_ms: 0,
            initiated_ms: 1,
            ringing_ms: 1,
            callback_ms: 0,
            webhook_ms: 1,
            upgrade_ms: 0,
            start_ms: 0,
            end_ms: 0,
            say_char_ms: 5,
            machine_ms: 50,
            reset_ms: 20,
            network_ms: 0,
        }
    }
}

impl Delays {
    /// Typical delays of the real carrier.
    pub fn real() -> Self {
        Self {
            rest_ms: 120,
            initiated_ms: 200,
            ringing_ms: 1000,
            callback_ms: 80,
            webhook_ms: 20,
            upgrade_ms: 60,
            start_ms: 10,
            end_ms: 150,
            say_char_ms: 65,
            machine_ms: 2500,
            reset_ms: 2000,
            network_ms: 30,
        }
    }

    pub(crate) fn callback(&self) -> Duration {
        Duration::from_millis(self.callback_ms)
    }
}
