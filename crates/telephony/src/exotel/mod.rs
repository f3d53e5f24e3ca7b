//! Exotel. Source: wire-telephony.md §3.2.
//!
//! A call is led by a flow made in Exotel's dashboard: a Voicebot applet asks our address for a socket, and,
//! where a second one follows it, asks again when that socket has ended. The address is the same for every
//! call, so the dial's `CustomField` says which one it is. Nothing is signed; no request ends a call: it ends
//! with its socket.

mod media;
mod rest;
mod webhook;

use async_trait::async_trait;
use serde_json::json;

use crate::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, LostDial,
    MediaWire, RequestParts, StatusEvent, Webhook,
};

/// Exotel with one account's credentials.
pub struct Exotel {
    rest: rest::Rest,
}

impl Exotel {
    /// `base_url` replaces `https://api.exotel.com`. `Error::Account` names what the credentials lack.
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
impl Carrier for Exotel {
    fn name(&self) -> &'static str {
        "exotel"
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

    async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        self.rest.fetch(call_id).await
    }

    /// Exotel signs nothing: the mac in our addresses is the only gate.
    fn verify(&self, _: RequestParts<'_>) -> bool {
        true
    }

    fn parse_webhook(&self, request: RequestParts<'_>) -> Option<Webhook> {
        webhook::parse(request)
    }

    fn parse_status(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        webhook::parse_status(request)
    }

    fn parse_answered_by(&self, _: RequestParts<'_>) -> Option<AnsweredBy> {
        None
    }

    /// It has callbacks for the answer and the end only.
    fn tells_ringing(&self) -> bool {
        false
    }

    /// An applet without an address is over, and the flow goes on to its end.
    fn render(&self, instruction: &Instruction) -> (String, &'static str) {
        let document = match instruction {
            Instruction::Stream { socket_url, .. } => json!({"url": socket_url}),
            Instruction::Dial { .. }
            | Instruction::Offer { .. }
            | Instruction::Connect
            | Instruction::Gather { .. }
            | Instruction::HangUp
            | Instruction::Reject
            | Instruction::Busy
            | Instruction::Goodbye(_) => json!({}),
        };
        (document.to_string(), "application/json")
    }

    fn media(&self) -> Box<dyn MediaWire> {
        Box::new(media::Wire::default())
    }
}
