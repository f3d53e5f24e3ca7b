//! Plivo. Source: wire-telephony.md §2.

mod calls;
mod document;
mod leg;
mod media;
mod numbers;
mod outcome;
mod rest;
mod signature;
mod webhook;

use async_trait::async_trait;
use bolo_execution::E164;

use crate::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, MediaWire,
    Numbers, RequestParts, StatusEvent, Webhook,
};

/// Overrides of Plivo's own retry and timeouts for one address, as at Twilio: two retries after a
/// connection that failed, an answer that did not come or a 5xx. Plivo takes it off before it asks us, and
/// does not sign it (wire-telephony.md §2.4).
const FETCH_RULES: &str = "#rc=2&rp=ct,rt,5xx&ct=2000&rt=4000";

/// Plivo with one account's credentials.
pub struct Plivo {
    rest: rest::Rest,
}

impl Plivo {
    /// `base_url` replaces `https://api.plivo.com`; a version at its end is allowed.
    /// `Error::Account` when the account can't be the auth id of one.
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
impl Carrier for Plivo {
    fn name(&self) -> &'static str {
        "plivo"
    }

    async fn dial(&self, dial: &Dial) -> Dialled {
        self.rest.dial(dial).await
    }

    async fn find_dial(
        &self,
        to: &E164,
        from: &E164,
        since: i64,
        bound: &[String],
    ) -> Result<Option<CallState>, Error> {
        self.rest.find_dial(to, from, since, bound).await
    }

    async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        self.rest.hang_up(call_id).await
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

    fn parse_outcome(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        leg::parse_outcome(request)
    }

    fn parse_leg(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        leg::parse(request)
    }

    fn render(&self, instruction: &Instruction) -> (String, &'static str) {
        (document::render(instruction), "text/xml; charset=utf-8")
    }

    fn media(&self) -> Box<dyn MediaWire> {
        Box::new(media::Wire::default())
    }

    fn numbers(&self) -> Option<&dyn Numbers> {
        Some(self)
    }
}
