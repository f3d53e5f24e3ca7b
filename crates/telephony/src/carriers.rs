//! From a carrier's name and an account's keys to a [`Carrier`], and the addresses carriers call us at.

use std::{collections::HashMap, sync::Arc};

use bolo_execution::{E164, ExecutionId};
use secrecy::SecretString;

use crate::{Carrier, Credentials, Error};

/// `telephony.<carrier>` of the server's configuration.
#[derive(Debug, Clone, Default)]
pub struct CarrierSettings {
    /// Replaces the carrier's REST address.
    pub base_url: Option<String>,
    /// Used where the account has no keys of its own (`TWILIO_ACCOUNT_SID`, …).
    pub credentials: Option<Credentials>,
    /// Number to call from where neither call nor account names one.
    pub phone_number: Option<E164>,
}

/// A carrier with an account's credentials.
#[derive(Clone)]
pub struct CarrierAccount {
    /// REST, webhooks, media.
    pub carrier: Arc<dyn Carrier>,
    /// Number to call from by default.
    pub phone_number: Option<E164>,
}

/// All carriers of this process: one HTTP client.
#[derive(Clone)]
pub struct Carriers {
    settings: Arc<HashMap<String, CarrierSettings>>,
    http: reqwest::Client,
}

impl Carriers {
    /// `settings` by carrier name.
    pub fn new(settings: HashMap<String, CarrierSettings>, http: reqwest::Client) -> Self {
        Self { settings: Arc::new(settings), http }
    }

    /// The carrier `name` with the account's own keys (`TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`,
    /// `TWILIO_PHONE_NUMBER` among `secrets`), else the server's. `Error::Account` names what is missing.
    pub fn for_account(&self, name: &str, secrets: &HashMap<String, SecretString>) -> Result<CarrierAccount, Error> {
        let _ = (name, secrets, &self.settings, &self.http);
        Err(Error::Account("not written yet".into()))
    }
}

/// What a callback address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallbackKind {
    /// The call was answered: what now?
    Answer,
    /// News of the call.
    Status,
    /// The media socket ended: what now?
    Resume,
    /// News of the media stream.
    Stream,
    /// The media socket itself.
    Media,
}

/// Addresses carriers call us at: `/telephony/{carrier}/{kind}/{execution}/{attempt}/{mac}` and
/// `wss://…/media/{carrier}/{execution}/{attempt}/{mac}`. The mac (16 hex digits of an HMAC with the
/// server's key) is a cheap first gate; the carrier's signature is the second.
#[derive(Debug, Clone)]
pub struct Callbacks {
    public_url: String,
    key: SecretString,
}

impl Callbacks {
    /// `public_url` without a trailing slash.
    pub fn new(public_url: String, key: SecretString) -> Self {
        Self { public_url, key }
    }

    /// The server's public address.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Full address; `https` becomes `wss` (`http`: `ws`) for `Media`.
    pub fn url(&self, kind: CallbackKind, carrier: &str, execution: ExecutionId, attempt: i64) -> String {
        let _ = (kind, carrier, execution, attempt, &self.key);
        String::new()
    }

    /// Whether the mac in a path is ours, in constant time.
    pub fn check(&self, carrier: &str, execution: ExecutionId, attempt: i64, mac: &str) -> bool {
        let _ = (carrier, execution, attempt, mac);
        false
    }
}
