//! Phone numbers at Plivo. Source: wire-telephony.md §2.3.
//!
//! The addresses belong to an application, not to the number: each pair of them has one of its own here, named by
//! them, so that a repeated request finds it again.

use std::fmt::Write;

use async_trait::async_trait;
use bolo_execution::E164;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Plivo, calls::digits, dialect::Dialect, rest, webhook};
use crate::{
    AvailableNumber, InboundUrls, NumberSearch, Numbers, NumbersError, OwnedNumber,
    http::{MOST_PAGES, path_of},
    numbers::{Asked, Refusal},
};

#[derive(Deserialize)]
struct Page<T> {
    objects: Vec<T>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Owned {
    number: String,
    #[serde(default)]
    monthly_rental_rate: Option<String>,
    #[serde(default)]
    renewal_date: Option<String>,
}

#[derive(Deserialize)]
struct Available {
    number: String,
    #[serde(default)]
    city: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    monthly_rental_rate: Option<String>,
}

/// The answer to a purchase; what waits for papers is not `fulfilled`.
#[derive(Deserialize)]
struct Order {
    status: String,
}

#[derive(Deserialize)]
struct Application {
    app_id: String,
    #[serde(default)]
    app_name: String,
    #[serde(default)]
    answer_url: String,
}

#[derive(Deserialize)]
struct Created {
    app_id: String,
}

#[async_trait]
impl Numbers for Plivo {
    async fn list(&self) -> Result<Vec<OwnedNumber>, NumbersError> {
        let request = self.rest.request(Method::GET, "/Number/");
        let all: Vec<Owned> = self
            .all(request.query(&[("limit", rest::PAGE_SIZE)]))
            .await?;
        Ok(all.into_iter().filter_map(Owned::known).collect())
    }

    async fn search(&self, search: &NumberSearch) -> Result<Vec<AvailableNumber>, NumbersError> {
        let country = search.country.to_ascii_uppercase();
        let mut query = vec![("country_iso", country.as_str()), ("services", "voice")];
        query.extend(
            search
                .pattern
                .as_deref()
                .map(|pattern| ("pattern", pattern)),
        );
        query.extend(search.region.as_deref().map(|region| ("region", region)));
        query.push(("limit", rest::PAGE_SIZE));
        let request = self.rest.request(Method::GET, "/PhoneNumber/");
        let page: Page<Available> = self.asked(Asked::Again, request.query(&query)).await?;
        Ok(page
            .objects
            .into_iter()
            .filter_map(|found| {
                let number: E164 = webhook::number(&found.number).parse().ok()?;
                Some(AvailableNumber {
                    friendly_name: number.to_string(),
                    number,
                    locality: found.city,
                    region: found.region,
                    monthly_cents: found.monthly_rental_rate.as_deref().and_then(cents),
                })
            })
            .collect())
    }

    async fn buy(&self, number: &E164) -> Result<OwnedNumber, NumbersError> {
        let path = format!("/PhoneNumber/{}/", digits(number));
        let request = self.rest.request(Method::POST, &path).json(&json!({}));
        let order: Order = self.asked(Asked::Once, request).await?;
        if order.status != "fulfilled" {
            return Err(NumbersError::Unknown(format!(
                "Plivo took the order but calls it {:?}",
                order.status
            )));
        }
        Ok(OwnedNumber {
            id: digits(number).to_owned(),
            number: number.clone(),
            answer_url: None,
            monthly_cents: None,
            renews_on: None,
        })
    }

    async fn release(&self, number: &E164) -> Result<(), NumbersError> {
        let path = format!("/Number/{}/", digits(number));
        let request = self.rest.request(Method::DELETE, &path);
        match self.body(Asked::Again, request).await {
            Err(NumbersError::Refused { code: 404, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn set_inbound_urls(
        &self,
        number: &E164,
        urls: Option<&InboundUrls>,
    ) -> Result<(), NumbersError> {
        // A number without an application gets the account's default one: there is no "none".
        let Some(urls) = urls else { return Ok(()) };
        let application = self.application(urls).await?;
        let path = format!("/Number/{}/", digits(number));
        let request = self.rest.request(Method::POST, &path);
        let request = request.json(&json!({"app_id": application}));
        self.body(Asked::Again, request).await.map(drop)
    }
}

impl Plivo {
    /// The id of the application that asks and tells these addresses.
    async fn application(&self, urls: &InboundUrls) -> Result<String, NumbersError> {
        let with_rules = |url: &str| format!("{url}{}", Dialect::Plivo.fetch_rules());
        let (answer, status) = (with_rules(&urls.answer), with_rules(&urls.status));
        let name = application_name(&answer, &status);
        let request = self.rest.request(Method::GET, "/Application/");
        let request = request.query(&[("app_name", name.as_str()), ("limit", rest::PAGE_SIZE)]);
        let found: Vec<Application> = self.all(request).await?;
        let ours = |app: &Application| app.app_name == name && app.answer_url == answer;
        if let Some(application) = found.into_iter().find(ours) {
            return Ok(application.app_id);
        }
        let request = self.rest.request(Method::POST, "/Application/");
        let request = request.json(&json!({
            "app_name": name,
            "answer_url": answer,
            "answer_method": "POST",
            "fallback_answer_url": answer,
            "fallback_method": "POST",
            // Without one the answer address is told of the end.
            "hangup_url": status,
            "hangup_method": "POST",
        }));
        let created: Created = self.asked(Asked::Again, request).await?;
        Ok(created.app_id)
    }

    async fn all<T: DeserializeOwned>(
        &self,
        mut request: RequestBuilder,
    ) -> Result<Vec<T>, NumbersError> {
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: Page<T> = self.asked(Asked::Again, request).await?;
            all.extend(page.objects);
            let Some(next) = page.meta.next.filter(|next| !next.is_empty()) else {
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
            "a list of Plivo's has more than {MOST_PAGES} pages"
        )))
    }

    async fn asked<T: DeserializeOwned>(
        &self,
        asked: Asked,
        request: RequestBuilder,
    ) -> Result<T, NumbersError> {
        asked.parse("Plivo", &self.body(asked, request).await?)
    }

    async fn body(&self, asked: Asked, request: RequestBuilder) -> Result<Vec<u8>, NumbersError> {
        asked
            .body("Plivo", self.rest.send(request).await, refusal)
            .await
    }
}

impl Owned {
    fn known(self) -> Option<OwnedNumber> {
        Some(OwnedNumber {
            number: webhook::number(&self.number).parse().ok()?,
            id: self.number,
            answer_url: None,
            monthly_cents: self.monthly_rental_rate.as_deref().and_then(cents),
            renews_on: self.renewal_date,
        })
    }
}

/// `0.80000` → 80; rounded up.
fn cents(dollars: &str) -> Option<u32> {
    let dollars: f64 = dollars.trim().parse().ok()?;
    // A cast saturates; no number costs 40 million dollars a month.
    (dollars.is_finite() && dollars >= 0.0).then(|| (dollars * 100.0 - 1e-6).ceil() as u32)
}

/// Letters, digits and `-` are all that an application's name may have.
fn application_name(answer: &str, status: &str) -> String {
    let mut name = String::from("bolo-");
    for byte in &Sha256::digest(format!("{answer} {status}").as_bytes())[..8] {
        // Writing to a String can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Plivo has texts, no codes: the HTTP status stands in for one.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let text = rest::error_text(body)?;
    let said = Dialect::Plivo.explain(status, Some(&text));
    Some((status.as_u16().into(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_in_cents() {
        for (text, found) in [
            ("0.80000", Some(80)),
            ("3.31000", Some(331)),
            ("0.001", Some(1)),
            ("0", Some(0)),
            ("free", None),
            ("-1", None),
        ] {
            assert_eq!(cents(text), found, "{text}");
        }
    }
}
