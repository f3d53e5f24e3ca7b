//! Plivo, and Vobiz, which speaks Plivo's wire with differences. Sources: wire-telephony.md §2, §3.1.

mod calls;
mod dialect;
mod document;
mod leg;
mod media;
mod numbers;
mod outcome;
mod rest;
mod signature;
mod webhook;

use async_trait::async_trait;

use crate::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, LostDial,
    MediaWire, Numbers, RequestParts, StatusEvent, Webhook, request::get,
};

use dialect::Dialect;

/// Plivo or Vobiz with one account's credentials.
pub struct Plivo {
    dialect: Dialect,
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
        Self::of(Dialect::Plivo, credentials, base_url, http)
    }

    /// The same for Vobiz, `https://api.vobiz.ai`.
    pub fn vobiz(
        credentials: Credentials,
        base_url: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        Self::of(Dialect::Vobiz, credentials, base_url, http)
    }

    fn of(
        dialect: Dialect,
        credentials: Credentials,
        base_url: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        Ok(Self {
            dialect,
            rest: rest::Rest::new(dialect, credentials, base_url, http)?,
        })
    }
}

#[async_trait]
impl Carrier for Plivo {
    fn name(&self) -> &'static str {
        self.dialect.name()
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
        signature::verify(self.dialect, self.rest.token(), request)
    }

    fn parse_webhook(&self, request: RequestParts<'_>) -> Option<Webhook> {
        webhook::parse(request)
    }

    fn parse_status(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        webhook::parse_status(self.dialect, request)
    }

    fn parse_answered_by(&self, request: RequestParts<'_>) -> Option<AnsweredBy> {
        webhook::parse_answered_by(request)
    }

    fn transfers(&self) -> bool {
        true
    }

    fn offers(&self) -> bool {
        // Vobiz does not promise that its confirmKey keeps the two apart.
        self.dialect == Dialect::Plivo
    }

    fn gathers(&self) -> bool {
        // Vobiz spells it otherwise, and is not known well enough.
        self.dialect == Dialect::Plivo
    }

    fn parse_keys(&self, request: RequestParts<'_>) -> String {
        let fields = request.fields();
        get(&fields, "Digits").unwrap_or_default().to_owned()
    }

    fn parse_taken(&self, request: RequestParts<'_>) -> Option<bool> {
        leg::parse_taken(request)
    }

    fn parse_outcome(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        leg::parse_outcome(self.dialect, request)
    }

    fn parse_leg(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        leg::parse(self.dialect, request)
    }

    fn render(&self, instruction: &Instruction) -> (String, &'static str) {
        (
            document::render(self.dialect, instruction),
            "text/xml; charset=utf-8",
        )
    }

    fn media(&self) -> Box<dyn MediaWire> {
        Box::new(media::Wire::default())
    }

    fn numbers(&self) -> Option<&dyn Numbers> {
        // Vobiz has an interface of its own for them, which this is not.
        (self.dialect == Dialect::Plivo).then_some(self)
    }
}
