//! A SIP trunk behind Asterisk: ARI places and ends calls, the dialplan of `docs/carriers.md` asks and tells us as
//! other carriers do, and the media come through `chan_websocket`. Source: wire-telephony.md §3.3.
//!
//! The id of a channel is ours to choose, so a dial is found again exactly. Nothing is signed: both sides know
//! the same user and password.

mod ari;
mod media;
mod outcome;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use base64::{Engine, engine::general_purpose::STANDARD};
use bolo_execution::Direction;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use crate::{
    AnsweredBy, CallState, Carrier, Credentials, Dial, Dialled, Error, Instruction, LostDial,
    MediaWire, RequestParts, StatusEvent, Webhook, request::get,
};

/// An Asterisk and one of its trunks.
pub struct SipTrunk {
    ari: ari::Ari,
}

impl SipTrunk {
    /// `base_url` replaces `http://127.0.0.1:8088`. `Error::Account` names what the credentials lack.
    pub fn new(
        credentials: Credentials,
        base_url: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        Ok(Self {
            ari: ari::Ari::new(credentials, base_url, http)?,
        })
    }
}

#[async_trait]
impl Carrier for SipTrunk {
    fn name(&self) -> &'static str {
        "sip-trunk"
    }

    async fn dial(&self, dial: &Dial) -> Dialled {
        self.ari.dial(dial).await
    }

    async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error> {
        self.ari.find_dial(lost).await
    }

    async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        self.ari.hang_up(call_id).await
    }

    async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        self.ari.fetch(call_id).await
    }

    /// Basic auth, from the dialplan and from `websocket_client.conf` alike.
    fn verify(&self, request: RequestParts<'_>) -> bool {
        let Credentials { account, token, .. } = self.ari.credentials();
        let pair = format!("{account}:{}", token.expose_secret());
        let expected = format!("Basic {}", STANDARD.encode(pair));
        let given = request.header(AUTHORIZATION.as_str()).unwrap_or_default();
        expected.as_bytes().ct_eq(given.as_bytes()).into()
    }

    fn parse_webhook(&self, request: RequestParts<'_>) -> Option<Webhook> {
        let fields = request.fields();
        let text = |name: &str| get(&fields, name).unwrap_or_default().to_owned();
        Some(Webhook {
            call_id: Some(text("channel")).filter(|id| !id.is_empty())?,
            dial_id: None,
            account: self.ari.credentials().account.clone(),
            from: text("from"),
            to: text("to"),
            direction: direction(&fields),
            over: text("state") == "over",
        })
    }

    fn parse_status(&self, request: RequestParts<'_>) -> Option<StatusEvent> {
        let fields = request.fields();
        let text = |name: &str| get(&fields, name).unwrap_or_default();
        let number = |name: &str| text(name).trim().parse::<u64>().ok();
        if text("state") != "over" {
            return None;
        }
        let cause = number("cause").unwrap_or_default();
        let (change, hangup) = outcome::ended(text("dialstatus"), cause, direction(&fields));
        Some(StatusEvent {
            call_id: Some(text("channel").to_owned()).filter(|id| !id.is_empty())?,
            dial_id: None,
            // There is no other news.
            sequence: 0,
            change: Some(change),
            hangup: Some(hangup),
            duration_s: number("seconds"),
            raw: fields,
        })
    }

    fn parse_answered_by(&self, _: RequestParts<'_>) -> Option<AnsweredBy> {
        None
    }

    /// The dialplan speaks to us at the answer and at the end only.
    fn tells_ringing(&self) -> bool {
        false
    }

    /// One line, in pieces that the dialplan's `CUT` takes apart: `stream|<query of the socket>|<what to ask
    /// when it ends>`, or `hangup`.
    fn render(&self, instruction: &Instruction) -> (String, &'static str) {
        let line = match instruction {
            Instruction::Stream {
                socket_url,
                resume_url,
                ..
            } => format!("stream|call={}|{resume_url}", reference(socket_url)),
            Instruction::Dial { .. }
            | Instruction::Offer { .. }
            | Instruction::Connect
            | Instruction::Gather { .. }
            | Instruction::HangUp
            | Instruction::Reject
            | Instruction::Busy
            | Instruction::Goodbye(_) => "hangup".to_owned(),
        };
        (line, "text/plain; charset=utf-8")
    }

    fn media(&self) -> Box<dyn MediaWire> {
        Box::new(media::Wire::default())
    }
}

/// `wss://…/{execution}/{attempt}/{mac}` → `execution.attempt.mac`: Asterisk knows one address of ours and can
/// only add a query to it.
fn reference(socket_url: &str) -> String {
    let mut parts: Vec<&str> = socket_url.rsplit('/').take(3).collect();
    parts.reverse();
    parts.join(".")
}

fn direction(fields: &[(String, String)]) -> Direction {
    match get(fields, "direction") {
        Some("inbound") => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use axum::http::{HeaderMap, HeaderValue};
    use secrecy::SecretString;

    use super::*;

    fn trunk() -> SipTrunk {
        let credentials = Credentials {
            route: Some("acme".into()),
            ..Credentials::new("bolo", SecretString::from("sesame"))
        };
        SipTrunk::new(credentials, None, crate::testing::client()).unwrap()
    }

    #[test]
    fn a_document_is_one_line_that_the_dialplan_can_cut() {
        let stream = Instruction::Stream {
            socket_url: "wss://h/media/sip-trunk/7f1c/2/ab".into(),
            resume_url: "https://h/telephony/sip-trunk/resume/7f1c/2/ab".into(),
            status_url: String::new(),
            parameters: Vec::new(),
        };
        assert_eq!(
            trunk().render(&stream).0,
            "stream|call=7f1c.2.ab|https://h/telephony/sip-trunk/resume/7f1c/2/ab"
        );
        assert_eq!(trunk().render(&Instruction::Reject).0, "hangup");
    }

    #[test]
    fn only_who_knows_the_password_is_heard() {
        let mut headers = HeaderMap::new();
        let verify = |headers: &HeaderMap| {
            trunk().verify(RequestParts {
                method: "POST",
                url: "https://h/x",
                headers,
                body: b"",
            })
        };
        assert!(!verify(&headers));
        headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Basic Ym9sbzpzZXNhbWU="),
        );
        assert!(verify(&headers));
        headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Basic Ym9sbzpzZXNhbQ=="),
        );
        assert!(!verify(&headers));
    }
}
