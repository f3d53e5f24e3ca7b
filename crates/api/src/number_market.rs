//! Buying a number: written down before it is asked for, asked for once, and looked up at the carrier where
//! nobody knows what came of it, as a dial is (wire-telephony.md §6.1). Source: api.md §10.

use bolo_execution::E164;
use bolo_store::{NewPhoneNumber, PhoneNumber};
use bolo_telephony::{Carrier, Numbers, NumbersError, OwnedNumber};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    error::ApiError,
    extract::Caller,
    phone_numbers::{refused, sells_none},
    time::{iso, now},
};

/// A purchase that the carrier does not show after this time was not made, ms.
const SHOWN_BY: i64 = 120_000;

/// Carriers that calls can be placed with.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "read by the derive only")]
pub enum Seller {
    Twilio,
    Plivo,
    Vobiz,
    Exotel,
    SipTrunk,
}

/// A number that was bought.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bought {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = Uuid)]
    agent_id: Option<String>,
    /// It is held at the carrier.
    bolna_owned: bool,
    deleted: bool,
    renewal: bool,
    #[schema(format = Uuid)]
    payment_uuid: String,
    #[schema(example = "+19876543210")]
    phone_number: String,
    /// Cents a month.
    #[schema(example = 500)]
    price: Option<i64>,
    #[schema(example = "twilio")]
    telephony_provider: String,
    /// The carrier's id of it.
    telephony_sid: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<PhoneNumber> for Bought {
    fn from(of: PhoneNumber) -> Self {
        Self {
            id: of.id.to_string(),
            agent_id: of.agent.map(|agent| agent.to_string()),
            bolna_owned: of.rented,
            deleted: false,
            renewal: true,
            payment_uuid: of.id.to_string(),
            phone_number: of.number,
            price: of.price_cents,
            telephony_provider: of.provider,
            telephony_sid: of.carrier_id,
            created_at: iso(of.created_at),
            updated_at: iso(of.updated_at),
        }
    }
}

/// Buys a number; one whose purchase is of unknown outcome is looked up first.
pub async fn buy(
    app: &App,
    caller: Caller,
    provider: &str,
    carrier: &dyn Carrier,
    number: &E164,
) -> Result<Bought, ApiError> {
    let numbers = carrier.numbers().ok_or_else(|| sells_none(provider))?;
    let intent = NewPhoneNumber {
        number: number.to_string(),
        provider: provider.to_owned(),
        rented: true,
        buying: true,
        ..NewPhoneNumber::default()
    };
    let row = match app
        .store
        .create_phone_number(caller.account, intent.clone(), now())
        .await
    {
        Ok(row) => row,
        Err(bolo_store::Error::Conflict(_)) => {
            match look_up(app, caller, (provider, numbers), number).await? {
                Some(row) => return Ok(row.into()),
                None => {
                    app.store
                        .create_phone_number(caller.account, intent, now())
                        .await?
                }
            }
        }
        Err(other) => return Err(other.into()),
    };
    match numbers.buy(number).await {
        Ok(bought) => settle(app, &row, &bought).await.map(Into::into),
        // The row stays, to be looked up.
        Err(NumbersError::Unknown(cause)) => {
            tracing::warn!(provider, %cause, "nobody knows whether a number was bought");
            Err(ApiError::Unavailable(cause))
        }
        Err(error) => {
            app.store
                .remove_phone_number(caller.account, row.id)
                .await?;
            Err(refused(error))
        }
    }
}

/// What an earlier purchase brought; `None` = nothing, and it is forgotten.
async fn look_up(
    app: &App,
    caller: Caller,
    (provider, numbers): (&str, &dyn Numbers),
    number: &E164,
) -> Result<Option<PhoneNumber>, ApiError> {
    let row = app
        .store
        .phone_number_named(caller.account, number.as_str())
        .await?;
    if !row.buying {
        return Err(ApiError::NotPossible(
            "The account has this number already".to_owned(),
        ));
    }
    if row.provider != provider {
        return Err(ApiError::NotPossible(format!(
            "A purchase of this number at {} is not settled: ask for it there",
            row.provider
        )));
    }
    let held = numbers.list().await.map_err(refused)?;
    if let Some(bought) = held.iter().find(|held| held.number == *number) {
        return settle(app, &row, bought).await.map(Some);
    }
    if now() - row.updated_at < SHOWN_BY {
        return Err(ApiError::Unavailable(
            "an earlier purchase of this number is not settled yet".to_owned(),
        ));
    }
    app.store
        .remove_phone_number(caller.account, row.id)
        .await?;
    Ok(None)
}

async fn settle(
    app: &App,
    row: &PhoneNumber,
    bought: &OwnedNumber,
) -> Result<PhoneNumber, ApiError> {
    Ok(app
        .store
        .bought_phone_number(
            row.account,
            row.id,
            &bought.id,
            bought.monthly_cents.map(i64::from),
            bought.renews_on.as_deref(),
            now(),
        )
        .await?)
}
