//! What sets the carriers of Plivo's wire apart: Plivo itself, and Vobiz. Sources: wire-telephony.md §2, §3.1.

use bolo_execution::HangupBy;
use reqwest::{RequestBuilder, StatusCode};
use secrecy::ExposeSecret;

use crate::Credentials;

/// A carrier of this wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Plivo,
    Vobiz,
}

impl Dialect {
    /// As it stands in paths.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plivo => "plivo",
            Self::Vobiz => "vobiz",
        }
    }

    /// As people write it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Plivo => "Plivo",
            Self::Vobiz => "Vobiz",
        }
    }

    pub(super) fn base(self) -> &'static str {
        match self {
            Self::Plivo => "https://api.plivo.com",
            Self::Vobiz => "https://api.vobiz.ai",
        }
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Plivo => "/v1",
            Self::Vobiz => "/api/v1",
        }
    }

    /// What our account's id and token are called.
    pub(super) fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Plivo => ["PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN"],
            Self::Vobiz => ["VOBIZ_AUTH_ID", "VOBIZ_AUTH_TOKEN"],
        }
    }

    /// Vobiz's accounts are called `MA_…`.
    pub(super) fn is_account(self, text: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || (self == Self::Vobiz && byte == b'_');
        !text.is_empty() && text.bytes().all(fits)
    }

    pub(super) fn authorize(
        self,
        request: RequestBuilder,
        credentials: &Credentials,
    ) -> RequestBuilder {
        let token = credentials.token.expose_secret();
        match self {
            Self::Plivo => request.basic_auth(&credentials.account, Some(token)),
            Self::Vobiz => request
                .header("X-Auth-ID", &credentials.account)
                .header("X-Auth-Token", token),
        }
    }

    /// Overrides of the carrier's own retry and timeouts for one address, as at Twilio: two retries after a
    /// connection that failed, an answer that did not come or a 5xx. Plivo takes it off before it asks us, and
    /// does not sign it (wire-telephony.md §2.4). Vobiz promises nothing of the kind.
    pub(super) fn fetch_rules(self) -> &'static str {
        match self {
            Self::Plivo => "#rc=2&rp=ct,rt,5xx&ct=2000&rt=4000",
            Self::Vobiz => "",
        }
    }

    /// The list of calls that are not over. Vobiz tells its two lists apart by the slash.
    pub(super) fn open_list(self, status: &str) -> &'static str {
        match self {
            Self::Vobiz if status == "live" => "/Call",
            _ => "/Call/",
        }
    }

    /// One call that is not over.
    pub(super) fn open_call(self, id: &str, status: &str) -> String {
        match self {
            Self::Vobiz if status == "live" => format!("/Call/{id}"),
            _ => format!("/Call/{id}/"),
        }
    }

    /// What is deleted to end a call, in this order, until one is found. At Plivo a call that waits is
    /// taken out of the queue under another name.
    pub(super) fn hang_up(self, id: &str) -> Vec<String> {
        match self {
            Self::Plivo => vec![format!("/Call/{id}/"), format!("/Request/{id}/")],
            Self::Vobiz => vec![format!("/Call/{id}")],
        }
    }

    /// The record of a call that is over.
    pub(super) fn record(self, id: &str) -> String {
        match self {
            Self::Plivo => format!("/Call/{id}/"),
            Self::Vobiz => format!("/cdr/{id}"),
        }
    }

    /// "Plivo" is a word of Bolna's clients for its own ends of calls; the others' are the carrier's.
    pub(super) fn by(self, by: HangupBy) -> HangupBy {
        match (self, by) {
            (Self::Vobiz, HangupBy::Plivo) => HangupBy::Carrier,
            _ => by,
        }
    }

    /// What it said, and what to mend where our account is at fault.
    pub(super) fn explain(self, status: StatusCode, text: Option<&str>) -> String {
        let said = match text {
            Some(text) => format!("{} answered {}: {text}", self.title(), status.as_u16()),
            None => format!("{} answered {}", self.title(), status.as_u16()),
        };
        let [id, token] = self.keys();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("{said} (check {id} and {token})")
            }
            _ => said,
        }
    }
}
