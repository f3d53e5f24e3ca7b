//! Phone numbers at Twilio. Source: wire-telephony.md §1.4.

use async_trait::async_trait;
use bolo_execution::E164;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::{FETCH_RULES, Twilio, rest};
use crate::{
    AvailableNumber, InboundUrls, NumberSearch, Numbers, NumbersError, OwnedNumber,
    http::{MOST_PAGES, path_of},
    numbers::{Asked, Refusal},
};

const OWNED: &str = "/IncomingPhoneNumbers.json";
/// As many as a client wants to choose from.
const CHOICE: &str = "20";
const PAGE_SIZE: &str = "100";
const NOT_FOUND: u32 = 20404;

#[derive(Deserialize)]
struct Owned {
    sid: String,
    phone_number: String,
    #[serde(default)]
    voice_url: Option<String>,
}

#[derive(Deserialize)]
struct OwnedPage {
    incoming_phone_numbers: Vec<Owned>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
struct Available {
    phone_number: String,
    #[serde(default)]
    friendly_name: Option<String>,
    #[serde(default)]
    locality: Option<String>,
    #[serde(default)]
    region: Option<String>,
}

#[derive(Deserialize)]
struct AvailablePage {
    available_phone_numbers: Vec<Available>,
}

#[async_trait]
impl Numbers for Twilio {
    async fn list(&self) -> Result<Vec<OwnedNumber>, NumbersError> {
        self.owned(&[("PageSize", PAGE_SIZE)]).await
    }

    async fn search(&self, search: &NumberSearch) -> Result<Vec<AvailableNumber>, NumbersError> {
        if search.country.len() != 2 || !search.country.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(refused("country must have two letters"));
        }
        let country = search.country.to_ascii_uppercase();
        let mut query = vec![
            ("VoiceEnabled", "true".to_owned()),
            ("PageSize", CHOICE.to_owned()),
        ];
        match search.pattern.as_deref() {
            // The first three digits are an area there, and nothing else finds what begins with them.
            Some(area) if area.len() == 3 && matches!(country.as_str(), "US" | "CA") => {
                query.push(("AreaCode", area.to_owned()));
            }
            Some(pattern) => query.push(("Contains", format!("{pattern}*"))),
            None => {}
        }
        if let Some(region) = &search.region {
            query.push(("InRegion", region.clone()));
        }
        let path = format!("/AvailablePhoneNumbers/{country}/Local.json");
        let request = self.rest.http.get(self.rest.address(&path)).query(&query);
        let page: AvailablePage = self.asked(Asked::Again, request).await?;
        Ok(page
            .available_phone_numbers
            .into_iter()
            .filter_map(|found| {
                Some(AvailableNumber {
                    number: found.phone_number.parse().ok()?,
                    friendly_name: found.friendly_name.unwrap_or(found.phone_number),
                    locality: found.locality,
                    region: found.region,
                    monthly_cents: None,
                })
            })
            .collect())
    }

    async fn buy(&self, number: &E164) -> Result<OwnedNumber, NumbersError> {
        let request = self.rest.http.post(self.rest.address(OWNED));
        let request = request.form(&[("PhoneNumber", number.as_str())]);
        let bought: Owned = self.asked(Asked::Once, request).await?;
        bought
            .known()
            .ok_or_else(|| NumbersError::Unknown("Twilio sold a number that is none".to_owned()))
    }

    async fn release(&self, number: &E164) -> Result<(), NumbersError> {
        let Some(owned) = self.find(number).await? else {
            return Ok(());
        };
        let request = self.rest.http.delete(self.number_address(&owned)?);
        match self.body(Asked::Again, request).await {
            Err(NumbersError::Refused {
                code: NOT_FOUND, ..
            }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn set_inbound_urls(
        &self,
        number: &E164,
        urls: Option<&InboundUrls>,
    ) -> Result<(), NumbersError> {
        let owned = self.find(number).await?;
        let owned = owned.ok_or_else(|| refused("the account has no such number"))?;
        let request = self.rest.http.post(self.number_address(&owned)?);
        let with_rules = |url: &String| format!("{url}{FETCH_RULES}");
        // An empty text takes an address off.
        let answer = urls.map_or(String::new(), |urls| with_rules(&urls.answer));
        let status = urls.map_or(String::new(), |urls| with_rules(&urls.status));
        let form = [
            ("VoiceUrl", answer.as_str()),
            ("VoiceMethod", "POST"),
            ("VoiceFallbackUrl", &answer),
            ("VoiceFallbackMethod", "POST"),
            ("StatusCallback", &status),
            ("StatusCallbackMethod", "POST"),
        ];
        self.body(Asked::Again, request.form(&form)).await.map(drop)
    }
}

impl Twilio {
    async fn find(&self, number: &E164) -> Result<Option<OwnedNumber>, NumbersError> {
        let found = self.owned(&[("PhoneNumber", number.as_str())]).await?;
        Ok(found.into_iter().find(|owned| owned.number == *number))
    }

    async fn owned(&self, query: &[(&str, &str)]) -> Result<Vec<OwnedNumber>, NumbersError> {
        let mut request = self.rest.http.get(self.rest.address(OWNED)).query(query);
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: OwnedPage = self.asked(Asked::Again, request).await?;
            all.extend(
                page.incoming_phone_numbers
                    .into_iter()
                    .filter_map(Owned::known),
            );
            let Some(next) = page.next_page_uri.filter(|next| !next.is_empty()) else {
                return Ok(all);
            };
            // Only its path: our credentials go to no other host, whatever the page says.
            request = self
                .rest
                .http
                .get(format!("{}{}", self.rest.base, path_of(&next)));
        }
        // To leave some out could hide one that was bought.
        Err(NumbersError::Unreachable(format!(
            "Twilio's list of numbers has more than {MOST_PAGES} pages"
        )))
    }

    fn number_address(&self, owned: &OwnedNumber) -> Result<String, NumbersError> {
        if !rest::is_sid(&owned.id) {
            return Err(NumbersError::Unreachable(
                "Twilio's id of the number is none".to_owned(),
            ));
        }
        Ok(self
            .rest
            .address(&format!("/IncomingPhoneNumbers/{}.json", owned.id)))
    }

    async fn asked<T: serde::de::DeserializeOwned>(
        &self,
        asked: Asked,
        request: RequestBuilder,
    ) -> Result<T, NumbersError> {
        asked.parse("Twilio", &self.body(asked, request).await?)
    }

    async fn body(&self, asked: Asked, request: RequestBuilder) -> Result<Vec<u8>, NumbersError> {
        asked
            .body("Twilio", self.rest.send(request).await, refusal)
            .await
    }
}

impl Owned {
    /// `None` for a short code or whatever else is no number.
    fn known(self) -> Option<OwnedNumber> {
        Some(OwnedNumber {
            number: self.phone_number.parse().ok()?,
            id: self.sid,
            answer_url: self.voice_url.filter(|url| !url.is_empty()),
            monthly_cents: None,
            renews_on: None,
        })
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let refusal: rest::Refusal = serde_json::from_slice(body).ok()?;
    Some((refusal.code?, refusal.explain(status)))
}

/// What Twilio would refuse, without asking.
fn refused(message: &str) -> NumbersError {
    NumbersError::Refused {
        code: NOT_FOUND,
        message: format!("Twilio: {message}"),
    }
}
