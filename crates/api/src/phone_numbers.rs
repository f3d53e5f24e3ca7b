//! `/phone-numbers`: numbers of an account, bought at its carrier or told to us. Source: api.md §10.

use std::time::Duration;

use axum::{Json, extract::State};
use bolo_execution::E164;
use bolo_store::{NewPhoneNumber, PhoneNumber};
use bolo_telephony::{Carrier, NumberSearch, NumbersError, OwnedNumber};
use chrono::{Datelike, Months, NaiveDate, TimeZone, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, DocumentId, Id, JsonBody, Params},
    number_market::{Bought, Seller, buy},
    paging::{Paging, PagingParams},
    time::{humanized, iso, now},
};

pub const NAME: &str = "Phone number";

/// Carriers whose numbers may be told to us.
pub const PROVIDERS: [&str; 6] = ["twilio", "plivo", "vonage", "vobiz", "exotel", "sip-trunk"];

/// A carrier that is slow to list its numbers is not waited for: what is known is shown.
const CARRIER_LISTS: Duration = Duration::from_secs(5);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, list_by_post))
        .routes(routes!(search))
        .routes(routes!(buy_number))
        .routes(routes!(add, list_short))
        .routes(routes!(remove))
}

/// A phone number.
#[derive(Debug, Serialize, ToSchema)]
pub struct Number {
    /// Its id, without dashes.
    #[schema(example = "3c90c3cc0d444b5088888dd25736052a")]
    id: String,
    #[schema(example = "5 minutes ago")]
    humanized_created_at: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(example = "5 minutes ago")]
    humanized_updated_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// When its rent is next due.
    #[schema(example = "17th Dec, 2024")]
    renewal_at: Option<String>,
    #[schema(example = "+19876543210")]
    phone_number: String,
    /// Who answers calls to it.
    #[schema(format = Uuid)]
    agent_id: Option<String>,
    /// A month.
    #[schema(example = "$5.0")]
    price: Option<String>,
    #[schema(example = "twilio")]
    telephony_provider: String,
    /// It is held at the carrier; else it was told to us.
    rented: bool,
    name: Option<String>,
}

impl Number {
    pub fn new(of: PhoneNumber, now: i64) -> Self {
        Self {
            id: of.id.simple().to_string(),
            humanized_created_at: humanized(of.created_at, now),
            created_at: iso(of.created_at),
            humanized_updated_at: humanized(of.updated_at, now),
            updated_at: iso(of.updated_at),
            renewal_at: renewal(&of, now),
            phone_number: of.number,
            agent_id: of.agent.map(|agent| agent.to_string()),
            price: of
                .price_cents
                .map(|cents| format!("${:?}", cents as f64 / 100.0)),
            telephony_provider: of.provider,
            rented: of.rented,
            name: of.name,
        }
    }
}

/// The day that the carrier tells, else the next monthly one after it was had: `17th Dec, 2024`.
fn renewal(of: &PhoneNumber, now: i64) -> Option<String> {
    if !of.rented {
        return None;
    }
    let told = of.renews_on.as_deref();
    let told = told.and_then(|text| NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok());
    let date = |at| Some(Utc.timestamp_millis_opt(at).single()?.date_naive());
    let (had, today) = (date(of.created_at)?, date(now)?);
    let next = (1..).find_map(|month| {
        let day = had.checked_add_months(Months::new(month))?;
        (day > today).then_some(day)
    });
    let day = told.or(next)?;
    let ending = match day.day() {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    Some(format!("{}{ending} {}", day.day(), day.format("%b, %Y")))
}

/// Lists the numbers, newest first.
///
/// Those that the account's own carriers hold, and those that were told to us.
#[utoipa::path(get, path = "/phone-numbers/all", tag = "Phone numbers", params(PagingParams),
    responses((status = 200, description = "All numbers, or the page asked for", body = Vec<Number>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Number>>, ApiError> {
    let paging = Paging::read(&params)?;
    note_held(&app, caller).await?;
    let now = now();
    let all = app.store.phone_numbers(caller.account).await?;
    let shown = paging.cut(all);
    Ok(Json(
        shown
            .into_iter()
            .map(|number| Number::new(number, now))
            .collect(),
    ))
}

/// The same as `GET /phone-numbers/all`.
#[utoipa::path(post, path = "/phone-numbers/all", tag = "Phone numbers", params(PagingParams),
    responses((status = 200, description = "All numbers, or the page asked for", body = Vec<Number>), Problems))]
async fn list_by_post(
    app: State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Number>>, ApiError> {
    list(app, caller, params).await
}

/// The same as `GET /phone-numbers/all`.
#[utoipa::path(get, path = "/phone-numbers", tag = "Phone numbers", params(PagingParams),
    responses((status = 200, description = "All numbers, or the page asked for", body = Vec<Number>), Problems))]
async fn list_short(
    app: State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Number>>, ApiError> {
    list(app, caller, params).await
}

/// Notes what the account's own carriers hold. The server's carriers are shared by accounts, so what they
/// hold is nobody's until it is bought or told. A carrier that fails is passed over.
async fn note_held(app: &App, caller: Caller) -> Result<(), ApiError> {
    let secrets = app.store.secrets(caller.account).await?;
    for name in app.carriers.own_names(&secrets) {
        let Ok(account) = app.carriers.for_account(name, &secrets) else {
            continue;
        };
        let Some(numbers) = account.carrier.numbers() else {
            continue;
        };
        let held = match tokio::time::timeout(CARRIER_LISTS, numbers.list()).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                tracing::warn!(carrier = name, %error, "the carrier does not list its numbers");
                continue;
            }
            Err(_) => {
                tracing::warn!(carrier = name, "the carrier is slow to list its numbers");
                continue;
            }
        };
        let held = held.into_iter().map(|held| owned(name, held)).collect();
        app.store
            .note_phone_numbers(caller.account, held, now())
            .await?;
    }
    Ok(())
}

fn owned(provider: &str, held: OwnedNumber) -> NewPhoneNumber {
    NewPhoneNumber {
        number: held.number.to_string(),
        provider: provider.to_owned(),
        carrier_id: Some(held.id),
        rented: true,
        price_cents: held.monthly_cents.map(i64::from),
        renews_on: held.renews_on,
        ..NewPhoneNumber::default()
    }
}

/// A number that can be bought.
#[derive(Debug, Serialize, ToSchema)]
pub struct Available {
    #[schema(example = "CA")]
    region: Option<String>,
    #[schema(example = "(987) 654-3210")]
    friendly_name: String,
    #[schema(example = "San Francisco")]
    locality: Option<String>,
    #[schema(example = "+19876543210")]
    phone_number: String,
    #[schema(example = "twilio")]
    provider: String,
    /// US dollars a month, where the carrier says so.
    #[schema(example = 5.0)]
    price: Option<f64>,
}

/// Searches numbers that can be bought.
#[utoipa::path(get, path = "/phone-numbers/search", tag = "Phone numbers",
    params(("country" = String, Query, pattern = "^[A-Za-z]{2}$", description = "`US`, `IN`, …: two letters"),
        ("pattern" = Option<String>, Query, pattern = "^[0-9]{0,10}$", description = "Digits it begins with, without the country's"),
        ("provider" = inline(Option<Seller>), Query, description = "Default: the first with keys"),
        ("region" = Option<String>, Query, description = "As the carrier names it")),
    responses((status = 200, description = "The carrier's first page", body = Vec<Available>), Problems))]
async fn search(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Available>>, ApiError> {
    let text = |name| params.get(&[name]).map(|(_, text)| text.trim().to_owned());
    let search = NumberSearch {
        country: country(&text("country").unwrap_or_default())?,
        pattern: text("pattern"),
        region: text("region"),
    };
    let pattern = search.pattern.as_deref().unwrap_or_default();
    if !pattern.bytes().all(|byte| byte.is_ascii_digit()) || pattern.len() > 10 {
        return Err(ApiError::field("pattern", "must be up to 10 digits"));
    }
    let (provider, carrier) = seller(&app, caller, text("provider")).await?;
    let numbers = carrier.numbers().ok_or_else(|| sells_none(&provider))?;
    let found = numbers.search(&search).await.map_err(refused)?;
    let shown = found.into_iter().map(|number| Available {
        region: number.region,
        friendly_name: number.friendly_name,
        locality: number.locality,
        phone_number: number.number.to_string(),
        provider: provider.clone(),
        price: number.monthly_cents.map(|cents| f64::from(cents) / 100.0),
    });
    Ok(Json(shown.collect()))
}

/// [`PROVIDERS`], for the document.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "read by the derive only")]
enum Holder {
    Twilio,
    Plivo,
    Vonage,
    Vobiz,
    Exotel,
    SipTrunk,
}

fn country(text: &str) -> Result<String, ApiError> {
    if text.is_empty() {
        return Err(ApiError::field("country", "field required"));
    }
    match text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(ApiError::field(
            "country",
            "must be two letters, such as US",
        )),
    }
}

/// The carrier that sells numbers to this account.
pub async fn seller(
    app: &App,
    caller: Caller,
    provider: Option<String>,
) -> Result<(String, std::sync::Arc<dyn Carrier>), ApiError> {
    let secrets = app.store.secrets(caller.account).await?;
    let name = provider.unwrap_or_else(|| app.carriers.default_name(&secrets).to_owned());
    match app.carriers.for_account(&name, &secrets) {
        Ok(account) => Ok((name, account.carrier)),
        Err(error) => Err(ApiError::field("provider", error.to_string())),
    }
}

pub fn sells_none(provider: &str) -> ApiError {
    ApiError::field(
        "provider",
        format!("numbers of {provider} can't be managed here"),
    )
}

/// What a carrier says no to is a fault of the request.
pub fn refused(error: NumbersError) -> ApiError {
    match error {
        NumbersError::Refused { message, .. } => ApiError::NotPossible(message),
        NumbersError::Unknown(cause) | NumbersError::Unreachable(cause) => {
            ApiError::Unavailable(cause)
        }
    }
}

/// A number to buy.
#[derive(Deserialize, ToSchema)]
pub struct Purchase {
    #[schema(example = "US", pattern = "^[A-Za-z]{2}$")]
    country: String,
    #[schema(example = "+19876543210", pattern = r"^\+[1-9][0-9]{7,14}$")]
    phone_number: String,
    /// Default: the first that the account has keys for.
    #[schema(value_type = Option<Seller>)]
    provider: Option<String>,
}

/// Buys a number at the carrier.
///
/// One request to the carrier, whatever happens. When its outcome is not known (503), ask again: the number is
/// looked up at the carrier and never bought twice.
#[utoipa::path(post, path = "/phone-numbers/buy", tag = "Phone numbers", request_body = Purchase,
    responses((status = 200, description = "Bought", body = Bought), Problems, TooLarge))]
async fn buy_number(
    State(app): State<App>,
    caller: Caller,
    JsonBody(purchase): JsonBody<Purchase>,
) -> Result<Json<Bought>, ApiError> {
    country(purchase.country.trim())?;
    let number = e164("phone_number", &purchase.phone_number)?;
    let (provider, carrier) = seller(&app, caller, purchase.provider).await?;
    buy(&app, caller, &provider, &*carrier, &number)
        .await
        .map(Json)
}

pub fn e164(field: &str, text: &str) -> Result<E164, ApiError> {
    text.trim()
        .parse()
        .map_err(|error: bolo_execution::NotE164| ApiError::field(field, error.to_string()))
}

/// A number that the account has already.
#[derive(Deserialize, ToSchema)]
pub struct Told {
    #[schema(example = "+19876543210", pattern = r"^\+[1-9][0-9]{1,14}$")]
    phone_number: String,
    #[schema(value_type = Holder)]
    provider: String,
    name: Option<String>,
}

/// Tells us a number that the account has already.
///
/// Nothing is bought, and `DELETE` only forgets it. An agent is set to answer it as with any other number.
#[utoipa::path(post, path = "/phone-numbers", tag = "Phone numbers", request_body = Told,
    responses((status = 200, description = "Noted", body = Number), Problems, TooLarge))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    JsonBody(told): JsonBody<Told>,
) -> Result<Json<Number>, ApiError> {
    let number = e164("phone_number", &told.phone_number)?;
    if !PROVIDERS.contains(&told.provider.as_str()) {
        let names = PROVIDERS.join(", ");
        return Err(ApiError::field(
            "provider",
            format!("must be one of {names}"),
        ));
    }
    let new = NewPhoneNumber {
        number: number.to_string(),
        provider: told.provider,
        name: told.name,
        ..NewPhoneNumber::default()
    };
    let now = now();
    match app
        .store
        .create_phone_number(caller.account, new, now)
        .await
    {
        Ok(number) => Ok(Json(Number::new(number, now))),
        Err(bolo_store::Error::Conflict(why)) => Err(ApiError::field("phone_number", why)),
        Err(other) => Err(other.into()),
    }
}

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneNumberGone)]
pub struct Gone {
    #[schema(example = "The phone number has been removed from your account")]
    message: &'static str,
    #[schema(example = "deleted")]
    state: &'static str,
}

/// Gives a number back to the carrier, or forgets one that was told to us.
#[utoipa::path(delete, path = "/phone-numbers/{phone_number_id}", tag = "Phone numbers",
    params(("phone_number_id" = uuid::Uuid, Path, description = "The number")),
    responses((status = 200, description = "Removed", body = Gone), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<Gone>, ApiError> {
    let found = app
        .store
        .phone_number(caller.account, id)
        .await
        .or_not_found(NAME)?;
    if found.buying {
        return Err(ApiError::NotFound(NAME));
    }
    // No call to it is answered any more, even if the carrier can't be reached now.
    app.store
        .link_phone_number(caller.account, id, None, None, now())
        .await
        .or_not_found(NAME)?;
    if found.rented {
        let (provider, carrier) = seller(&app, caller, Some(found.provider)).await?;
        let numbers = carrier.numbers().ok_or_else(|| sells_none(&provider))?;
        let number = e164("phone_number", &found.number)?;
        numbers.release(&number).await.map_err(refused)?;
    }
    app.store
        .remove_phone_number(caller.account, id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Gone {
        message: "The phone number has been removed from your account",
        state: "deleted",
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bolo_execution::AccountId;
    use uuid::Uuid;

    use super::*;

    fn number(created: &str, renews_on: Option<&str>) -> PhoneNumber {
        PhoneNumber {
            id: Uuid::nil(),
            account: AccountId(Uuid::nil()),
            number: "+19876543210".into(),
            provider: "twilio".into(),
            carrier_id: None,
            agent: None,
            unlinked: false,
            ivr: None,
            trunk: None,
            name: None,
            rented: true,
            price_cents: Some(115),
            renews_on: renews_on.map(str::to_owned),
            buying: false,
            created_at: crate::time::parse(created).unwrap().0,
            updated_at: 0,
        }
    }

    #[test]
    fn a_renewal_reads_as_documented() {
        let now = crate::time::parse("2024-12-01").unwrap().0;
        for (created, told, shown) in [
            ("2024-09-17", None, "17th Dec, 2024"),
            ("2024-11-01", None, "1st Jan, 2025"),
            ("2024-08-31", None, "31st Dec, 2024"),
            ("2024-01-01", Some("2024-12-22"), "22nd Dec, 2024"),
        ] {
            assert_eq!(renewal(&number(created, told), now).as_deref(), Some(shown));
        }
        assert_eq!(
            Number::new(number("2024-09-17", None), now)
                .price
                .as_deref(),
            Some("$1.15")
        );
        let told = PhoneNumber {
            rented: false,
            ..number("2024-09-17", None)
        };
        assert_eq!(renewal(&told, now), None);
    }
}
