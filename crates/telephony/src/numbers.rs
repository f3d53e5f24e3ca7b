//! Phone numbers of an account at a carrier: list, search, buy, release, and where inbound calls ask.
//! Source: wire-telephony.md §1.4, §2.3, §6.1.

use async_trait::async_trait;
use bolo_execution::E164;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::http::read_body;

/// A number that the account has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedNumber {
    /// The carrier's id of it.
    pub id: String,
    /// The number itself.
    pub number: E164,
    /// What inbound calls ask; `None` where nothing is set, or the carrier does not say here (Plivo).
    pub answer_url: Option<String>,
    /// US cents a month, where the carrier says so here.
    pub monthly_cents: Option<u32>,
    /// The day it is paid for until, as the carrier writes it.
    pub renews_on: Option<String>,
}

/// A number that can be bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableNumber {
    /// The number itself.
    pub number: E164,
    /// The number for people to read.
    pub friendly_name: String,
    /// Town.
    pub locality: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// US cents a month, where the carrier says so here.
    pub monthly_cents: Option<u32>,
}

/// What to look for among the numbers that a carrier sells.
#[derive(Debug, Clone, Default)]
pub struct NumberSearch {
    /// ISO 3166, two letters.
    pub country: String,
    /// Digits the number begins with, without the country's.
    pub pattern: Option<String>,
    /// As the carrier names it.
    pub region: Option<String>,
}

/// A request about numbers failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumbersError {
    /// The carrier says no, and nothing was done.
    #[error("{message}")]
    Refused {
        /// The carrier's own code; the HTTP status where it has none.
        code: u32,
        /// The carrier's words.
        message: String,
    },
    /// Nobody knows whether the number was bought: look for it with [`Numbers::list`], never buy again. Only a
    /// purchase ends like this; whatever else is asked may be asked again.
    #[error("{0}")]
    Unknown(String),
    /// Nothing was bought. Try again later.
    #[error("{0}")]
    Unreachable(String),
}

/// Addresses of ours for the calls to a number.
#[derive(Debug, Clone)]
pub struct InboundUrls {
    /// Asked what to do with a call, and asked once more when that failed: another node may have the answer.
    pub answer: String,
    /// Told of its end, whether it was answered or not.
    pub status: String,
}

/// The numbers of one account at a carrier that sells them.
#[async_trait]
pub trait Numbers: Send + Sync {
    /// Every number of the account.
    async fn list(&self) -> Result<Vec<OwnedNumber>, NumbersError>;

    /// Some that can be bought and called, the carrier's first page.
    async fn search(&self, search: &NumberSearch) -> Result<Vec<AvailableNumber>, NumbersError>;

    /// Buys it: one request, no retry inside, whatever happens.
    async fn buy(&self, number: &E164) -> Result<OwnedNumber, NumbersError>;

    /// Gives it back. One that the account has not is a success.
    async fn release(&self, number: &E164) -> Result<(), NumbersError>;

    /// Sets what inbound calls ask and tell. With `None` they ask nobody; a carrier that can't take an address off a
    /// number (Plivo) goes on asking, so the address must turn them away.
    async fn set_inbound_urls(
        &self,
        number: &E164,
        urls: Option<&InboundUrls>,
    ) -> Result<(), NumbersError>;
}

/// Code and words of a refusal; `None` when they are not the carrier's.
pub(crate) type Refusal = Option<(u32, String)>;

/// Whether a request may be sent twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Another one does no harm.
    Again,
    /// Another one may be a second purchase.
    Once,
}

impl Asked {
    fn unclear(self, text: String) -> NumbersError {
        match self {
            Self::Again => NumbersError::Unreachable(text),
            Self::Once => NumbersError::Unknown(text),
        }
    }

    /// The body of a good answer. `refusal` finds code and words in the body of a bad one; without them it is
    /// not the carrier's.
    pub(crate) async fn body(
        self,
        carrier: &str,
        sent: Result<Response, reqwest::Error>,
        refusal: fn(StatusCode, &[u8]) -> Refusal,
    ) -> Result<Vec<u8>, NumbersError> {
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(NumbersError::Refused {
                    code: 0,
                    message: format!("{carrier}: base_url can't be called: {error}"),
                });
            }
            // DNS, TCP or TLS: the request was never written.
            Err(error) if error.is_connect() => {
                return Err(NumbersError::Unreachable(format!(
                    "no connection to {carrier}: {error}"
                )));
            }
            Err(error) => {
                return Err(self.unclear(format!("{carrier} did not answer: {error}")));
            }
        };
        let status = response.status();
        let body = read_body(response).await.map_err(|cause| {
            self.unclear(format!("the answer of {carrier} was cut off: {cause}"))
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let said = format!("{carrier} answered {}", status.as_u16());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(NumbersError::Unreachable(said));
        }
        match refusal(status, &body) {
            Some((code, message))
                if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT =>
            {
                Err(NumbersError::Refused { code, message })
            }
            _ => Err(self.unclear(said)),
        }
    }

    pub(crate) fn parse<T: DeserializeOwned>(
        self,
        carrier: &str,
        body: &[u8],
    ) -> Result<T, NumbersError> {
        serde_json::from_slice(body).map_err(|error| {
            self.unclear(format!("the answer of {carrier} is unreadable: {error}"))
        })
    }
}
