//! Twilio. Source: wire-telephony.md §1.

mod media;
mod numbers;
mod outcome;
mod rest;
mod signature;
mod twiml;
mod webhook;

use async_trait::async_trait;

use crate::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, LostDial,
    MediaWire, Numbers, RequestParts, StatusEvent, Webhook,
};

/// Overrides of Twilio's own retry and timeouts for one address: two retries after a connection that
/// failed, an answer that did not come or a 5xx; 2 s to connect, 4 s to answer (wire-telephony.md §1.5).
/// Twilio takes it off before it asks us.
const FETCH_RULES: &str = "#rc=2&rp=ct,rt,5xx&ct=2000&rt=4000";

/// Twilio with one account's credentials.
pub struct Twilio {
    rest: rest::Rest,
}

impl Twilio {
    /// `base_url` replaces `https://api.twilio.com`; a version at its end is allowed.
    /// `Error::Account` when the account can't be the SID of one.
    pub fn new(
        credentials: Credentials,
        base_url: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        Ok(Self {
            rest: rest::Rest::new(credentials, base_url, http)?,
        })
    }
}

#[async_trait]
impl Carrier for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    async fn dial(&self, dial: &Dial) -> Dialled {
        self.rest.dial(dial).await
    }

    async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error> {
        self.rest.find_dial(lost).await
    }

    async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        self.rest.hang_up(call_id).await
    }

    async fn redirect(&self, call_id: &str, url: &str) -> Result<(), Error> {
        self.rest.redirect(call_id, url).await
    }

    async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        self.rest.fetch(call_id).await
    }

    fn verify(&self, request: RequestParts<'_>) -> bool {
        signature::verify(self.rest.token(), request)
    }

    fn parse_webhook(&self, request: RequestParts<'_>) -> Option<Webhook> {
        webhook::parse(request)
    }

    fn parse_status(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        webhook::parse_status(request)
    }

    fn parse_answered_by(&self, request: RequestParts<'_>) -> Option<AnsweredBy> {
        webhook::parse_answered_by(request)
    }

    fn transfers(&self) -> bool {
        true
    }

    fn offers(&self) -> bool {
        true
    }

    fn gathers(&self) -> bool {
        true
    }

    fn parse_keys(&self, request: RequestParts<'_>) -> String {
        webhook::parse_keys(request).unwrap_or_default()
    }

    fn parse_taken(&self, request: RequestParts<'_>) -> Option<bool> {
        webhook::parse_taken(request)
    }

    fn parse_outcome(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        webhook::parse_outcome(request)
    }

    fn render(&self, instruction: &Instruction) -> (String, &'static str) {
        (twiml::render(instruction), "text/xml; charset=utf-8")
    }

    fn media(&self) -> Box<dyn MediaWire> {
        Box::new(media::Wire::default())
    }

    fn numbers(&self) -> Option<&dyn Numbers> {
        Some(self)
    }
}
