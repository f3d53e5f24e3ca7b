//! `/inbound/setup` and `/inbound/unlink`: which agent answers a number. Source: api.md §11.

use axum::{Json, extract::State};
use bolo_agent::Ivr;
use bolo_execution::{AccountId, AgentId};
use bolo_store::PhoneNumber;
use bolo_telephony::InboundUrls;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, JsonBody, PathId},
    phone_numbers::{NAME, e164, refused},
    time::now,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(setup))
        .routes(routes!(unlink))
}

/// Carriers that ask menus.
const WITH_MENUS: [&str; 2] = ["plivo", "twilio"];

/// Who shall answer which number.
#[derive(Deserialize, ToSchema)]
pub struct Setup {
    agent_id: Uuid,
    /// With dashes or without.
    phone_number_id: Uuid,
    /// Kept for Plivo's sake: here an agent may always answer many numbers.
    #[schema(default = false)]
    #[serde(rename = "allow_multiple", default)]
    _allow_multiple: Option<bool>,
    /// What is asked before the agent answers: numbers of Plivo and Twilio only. `{"enabled": false}` switches it off,
    /// absent leaves it as it is.
    #[schema(value_type = Option<Object>)]
    ivr_config: Option<Value>,
}

/// A number and what its calls ask.
#[derive(Debug, Serialize, ToSchema)]
pub struct Linked {
    /// What inbound calls ask; `null` = nobody answers.
    #[schema(
        example = "https://bolo.example.com/inbound_call?agent_id=3c90c3cc-0d44-4b50-8888-8dd25736052a&user_id=28f9c34b-8eb0-4af5-8689-c2f6c4daec22"
    )]
    url: Option<String>,
    #[schema(example = "+19876543210")]
    phone_number: String,
    #[schema(example = "3c90c3cc0d444b5088888dd25736052a")]
    id: String,
}

/// Has an agent answer a number.
///
/// The number's answer address is set at the carrier, where it can be; else give `url` to the carrier. One
/// number has one agent: another setup replaces the former.
#[utoipa::path(post, path = "/inbound/setup", tag = "Inbound", request_body = Setup,
    responses((status = 200, description = "The agent answers the number", body = Linked), Problems, TooLarge))]
async fn setup(
    State(app): State<App>,
    caller: Caller,
    JsonBody(setup): JsonBody<Setup>,
) -> Result<Json<Linked>, ApiError> {
    let agent = AgentId(setup.agent_id);
    app.store
        .agent(caller.account, agent)
        .await
        .or_not_found(AgentId::NAME)?;
    let number = found(&app, caller.account, setup.phone_number_id).await?;
    if let Some(document) = &setup.ivr_config {
        check_ivr(&app, caller.account, &number, document).await?;
    }
    let ivr = setup.ivr_config.or_else(|| number.ivr.clone());
    let url = |word: &str| {
        let base = app.callbacks.public_url();
        format!("{base}/{word}?agent_id={agent}&user_id={}", caller.account)
    };
    let urls = InboundUrls {
        answer: url("inbound_call"),
        status: url("inbound_status"),
    };
    tell_carrier(&app, &number, Some(&urls)).await?;
    let number = app
        .store
        .link_phone_number(caller.account, number.id, Some(agent), ivr.as_ref(), now())
        .await
        .or_not_found(NAME)?;
    Ok(Json(Linked {
        url: Some(urls.answer),
        phone_number: number.number,
        id: number.id.simple().to_string(),
    }))
}

async fn found(app: &App, account: AccountId, id: Uuid) -> Result<PhoneNumber, ApiError> {
    let number = app
        .store
        .phone_number(account, id)
        .await
        .or_not_found(NAME)?;
    match number.buying {
        true => Err(ApiError::NotFound(NAME)),
        false => Ok(number),
    }
}

async fn check_ivr(
    app: &App,
    account: AccountId,
    number: &PhoneNumber,
    document: &Value,
) -> Result<(), ApiError> {
    let ivr = Ivr::parse(document)?;
    if !ivr.enabled {
        return Ok(());
    }
    if !WITH_MENUS.contains(&number.provider.as_str()) {
        let fault = format!("is for numbers of {} only", WITH_MENUS.join(" and "));
        return Err(ApiError::field("ivr_config", fault));
    }
    for agent in &ivr.agents {
        let unknown = || ApiError::field("ivr_config", format!("there is no agent {agent}"));
        let id = agent.parse().map_err(|_| unknown())?;
        match app.store.agent(account, id).await {
            Ok(_) => {}
            Err(bolo_store::Error::NotFound) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sets the number's addresses where the carrier can be told. A number that was only told to us may be
/// at a carrier that we have no keys for, or be claimed by other accounts of this server: then its owner sets
/// it there.
async fn tell_carrier(
    app: &App,
    number: &PhoneNumber,
    urls: Option<&InboundUrls>,
) -> Result<(), ApiError> {
    let secrets = app.store.secrets(number.account).await?;
    let account = match app.carriers.for_account(&number.provider, &secrets) {
        Ok(account) => account,
        Err(_) if !number.rented => return Ok(()),
        Err(error) => return Err(ApiError::NotPossible(error.to_string())),
    };
    let ours = app
        .carriers
        .own_names(&secrets)
        .contains(&number.provider.as_str());
    if !number.rented
        && !ours
        && app
            .store
            .number_is_claimed(number.account, &number.number)
            .await?
    {
        return Ok(());
    }
    let Some(numbers) = account.carrier.numbers() else {
        return Ok(());
    };
    let at_carrier = e164("phone_number_id", &number.number)?;
    numbers
        .set_inbound_urls(&at_carrier, urls)
        .await
        .map_err(refused)
}

/// Which number nobody shall answer any more.
#[derive(Deserialize, ToSchema)]
pub struct Unlink {
    /// With dashes or without.
    phone_number_id: Uuid,
}

/// Takes a number's agent away: its calls are rejected.
#[utoipa::path(post, path = "/inbound/unlink", tag = "Inbound", request_body = Unlink,
    responses((status = 200, description = "Nobody answers the number", body = Linked), Problems, TooLarge))]
async fn unlink(
    State(app): State<App>,
    caller: Caller,
    JsonBody(unlink): JsonBody<Unlink>,
) -> Result<Json<Linked>, ApiError> {
    let number = found(&app, caller.account, unlink.phone_number_id).await?;
    // Ours first: from here on its calls are rejected, whatever the carrier still asks.
    let number = app
        .store
        .link_phone_number(caller.account, number.id, None, number.ivr.as_ref(), now())
        .await
        .or_not_found(NAME)?;
    tell_carrier(&app, &number, None).await?;
    Ok(Json(Linked {
        url: None,
        phone_number: number.number,
        id: number.id.simple().to_string(),
    }))
}
