//! `/webhooks`: what was told to a customer's addresses, telling it again, and the secrets that sign.
//! Source: api.md §21.

use axum::{Json, extract::State};
use bolo_execution::{ExecutionId, Status};
use bolo_store::{Endpoint, Told, ToldFilter};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema, openapi::schema::Schema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    execution_filter,
    extract::{Caller, Id, JsonBody, Params, PathId},
    paging::{Envelope, Paging, PagingParams},
    time::{iso, now},
    values::{self, Time},
};

const STATES: [&str; 3] = ["waiting", "delivered", "exhausted"];
/// What the webhooks of tasks tell.
const EXTRACTION: &str = "extraction";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(replay))
        .routes(routes!(replay_many))
        .routes(routes!(endpoints))
        .routes(routes!(enable))
        .routes(routes!(new_secret))
        .routes(routes!(drop_old_secret))
}

/// A webhook's id.
#[derive(Debug, Clone, Copy)]
struct EventId(Uuid);

impl std::str::FromStr for EventId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

impl PathId for EventId {
    const NAME: &'static str = "Webhook";
}

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// `event_id` of the body and `webhook-id` header.
    #[schema(format = Uuid)]
    id: String,
    /// The call.
    #[schema(format = Uuid)]
    execution_id: String,
    /// The status that it tells; `extraction` for what a webhook task sends.
    #[schema(example = "completed")]
    event: String,
    /// Its place among the call's webhooks; below 0 for those of tasks.
    sequence: i64,
    /// Where to.
    url: String,
    /// `waiting`, `delivered` or `exhausted`.
    #[schema(example = "delivered")]
    state: String,
    /// Tries so far.
    tries: i64,
    /// What went wrong at the last one.
    error: Option<String>,
    /// When the status changed.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it is tried next.
    #[schema(format = DateTime)]
    next_try_at: Option<String>,
    /// When it was delivered or given up.
    #[schema(format = DateTime)]
    settled_at: Option<String>,
    /// As it is sent; in a list null.
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
}

fn shown(told: Told) -> DeliveryView {
    DeliveryView {
        id: told.id.to_string(),
        execution_id: told.execution.to_string(),
        event: told.status,
        sequence: told.sequence,
        url: told.url,
        tries: told.tries,
        error: told.error,
        created_at: iso(told.created_at),
        next_try_at: (told.state == "waiting").then(|| iso(told.due_at)),
        settled_at: told.settled_at.map(iso),
        state: told.state,
        body: None,
    }
}

/// The parameters of a list, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the derive only")]
struct DeliveryParams {
    /// Webhooks of this call.
    execution_id: Option<Uuid>,
    /// Webhooks that tell this status; `extraction` for what webhook tasks send.
    #[param(schema_with = events)]
    event: Option<String>,
    /// How far they are.
    #[param(schema_with = states)]
    state: Option<String>,
    /// Of changes at or after this time (ISO 8601).
    #[param(inline)]
    from: Option<Time>,
    /// Of changes at or before this time (ISO 8601).
    #[param(inline)]
    to: Option<Time>,
}

fn events() -> Schema {
    values::one_of(
        Status::ALL
            .map(Status::as_str)
            .into_iter()
            .chain([EXTRACTION]),
    )
}

fn states() -> Schema {
    values::one_of(STATES)
}

fn state_named(text: &str) -> Option<&'static str> {
    STATES.into_iter().find(|state| *state == text)
}

fn event_named(text: &str) -> Option<&'static str> {
    match text {
        EXTRACTION => Some(EXTRACTION),
        status => status.parse().ok().map(Status::as_str),
    }
}

fn filter(params: &Params) -> Result<ToldFilter, ApiError> {
    let span = execution_filter::span(params)?;
    Ok(ToldFilter {
        id: None,
        execution: execution_filter::one(
            params,
            &["execution_id"],
            "must be an execution's id",
            |text| text.parse().ok(),
        )?,
        event: execution_filter::one(
            params,
            &["event"],
            "must be a status, or extraction",
            event_named,
        )?,
        state: execution_filter::one(
            params,
            &["state"],
            &format!("must be one of {}", STATES.join(", ")),
            state_named,
        )?,
        from: span.0,
        to: span.1,
    })
}

/// Lists webhooks, newest first.
#[utoipa::path(get, path = "/webhooks/deliveries", tag = "Webhooks", params(PagingParams, DeliveryParams),
    responses((status = 200, description = "A page of webhooks", body = Envelope<DeliveryView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Envelope<DeliveryView>>, ApiError> {
    let paging = Paging::read(&params)?;
    let filter = filter(&params)?;
    let (rows, total) = app
        .store
        .told(caller.account, &filter, paging.number, paging.size)
        .await?;
    let rows = rows.into_iter().map(shown).collect();
    Ok(Json(Envelope::new(paging, total, rows)))
}

/// Shows one webhook with its body.
#[utoipa::path(get, path = "/webhooks/deliveries/{event_id}", tag = "Webhooks",
    params(("event_id" = Uuid, Path, description = "`event_id` of its body")),
    responses((status = 200, description = "The webhook", body = DeliveryView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<EventId>,
) -> Result<Json<DeliveryView>, ApiError> {
    find(&app, caller, id).await.map(Json)
}

async fn find(app: &App, caller: Caller, id: EventId) -> Result<DeliveryView, ApiError> {
    let filter = ToldFilter {
        id: Some(id.0),
        ..ToldFilter::default()
    };
    let (rows, _) = app.store.told(caller.account, &filter, 1, 1).await?;
    let told = rows
        .into_iter()
        .next()
        .ok_or(ApiError::NotFound(EventId::NAME))?;
    let body = serde_json::from_str(&told.body).ok();
    Ok(DeliveryView {
        body,
        ..shown(told)
    })
}

/// Sends a webhook again: the same body under the same id, with a schedule of tries of its own.
#[utoipa::path(post, path = "/webhooks/deliveries/{event_id}/replay", tag = "Webhooks",
    params(("event_id" = Uuid, Path, description = "`event_id` of its body")),
    responses((status = 200, description = "It waits to be sent", body = DeliveryView), Problems))]
async fn replay(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<EventId>,
) -> Result<Json<DeliveryView>, ApiError> {
    let filter = ToldFilter {
        id: Some(id.0),
        ..ToldFilter::default()
    };
    app.store.tell_again(caller.account, &filter, now()).await?;
    find(&app, caller, id).await.map(Json)
}

/// Which webhooks to send again.
#[derive(Deserialize, ToSchema)]
pub struct Replay {
    /// Of changes at or after this time (ISO 8601).
    #[schema(value_type = Time)]
    from: String,
    /// Of changes at or before this time (ISO 8601); default: now.
    #[schema(value_type = Option<Time>)]
    to: Option<String>,
    /// `exhausted` is the default.
    #[schema(value_type = Option<Settled>)]
    state: Option<String>,
    /// Only of this call.
    execution_id: Option<Uuid>,
}

/// Where a webhook can be sent again from.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "read by the derive only")]
enum Settled {
    Exhausted,
    Delivered,
}

/// How many are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// Webhooks that wait to be sent now.
    replayed: u64,
}

/// Sends the webhooks of a span of time again: those that were given up, unless another state is named.
#[utoipa::path(post, path = "/webhooks/replay", tag = "Webhooks", request_body = Replay,
    responses((status = 200, description = "They wait to be sent, in order", body = Replayed), Problems, TooLarge))]
async fn replay_many(
    State(app): State<App>,
    caller: Caller,
    JsonBody(span): JsonBody<Replay>,
) -> Result<Json<Replayed>, ApiError> {
    let time = |field: &str, text: &str| {
        crate::time::parse(text)
            .map(|(at, _)| at)
            .ok_or_else(|| ApiError::field(field, execution_filter::NO_TIME))
    };
    let state = span.state.as_deref().unwrap_or("exhausted");
    let state = state_named(state).filter(|state| *state != "waiting");
    let filter = ToldFilter {
        id: None,
        execution: span.execution_id.map(ExecutionId),
        event: None,
        state: Some(
            state.ok_or_else(|| ApiError::field("state", "must be exhausted or delivered"))?,
        ),
        from: Some(time("from", &span.from)?),
        to: span.to.as_deref().map(|to| time("to", to)).transpose()?,
    };
    let replayed = app.store.tell_again(caller.account, &filter, now()).await?;
    Ok(Json(Replayed { replayed }))
}

/// A receiver that has failed since it last took a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointView {
    /// Its address.
    url: String,
    /// Since when.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// Since when nothing is sent to it: it had failed for five days.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

/// Lists receivers that fail, and those that were switched off for it.
#[utoipa::path(get, path = "/webhooks/endpoints", tag = "Webhooks",
    responses((status = 200, description = "Receivers that fail", body = Vec<EndpointView>), Problems))]
async fn endpoints(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<Vec<EndpointView>>, ApiError> {
    let shown = |endpoint: Endpoint| EndpointView {
        url: endpoint.url,
        failing_since: endpoint.failing_since.map(iso),
        disabled_at: endpoint.disabled_at.map(iso),
    };
    let endpoints = app.store.endpoints(caller.account).await?;
    Ok(Json(endpoints.into_iter().map(shown).collect()))
}

/// A receiver to switch on.
#[derive(Deserialize, ToSchema)]
pub struct Enable {
    /// Its address, as it is listed.
    #[schema(example = "https://customer.example/hook")]
    url: String,
}

/// Answer to a change of webhooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhooksDone)]
pub struct Done {
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// `enabled` or `deleted`.
    #[schema(example = "enabled")]
    state: &'static str,
}

/// Switches a receiver on again. What it has missed is sent with `POST /webhooks/replay`.
#[utoipa::path(post, path = "/webhooks/endpoints/enable", tag = "Webhooks", request_body = Enable,
    responses((status = 200, description = "It is sent to again", body = Done), Problems, TooLarge))]
async fn enable(
    State(app): State<App>,
    caller: Caller,
    JsonBody(endpoint): JsonBody<Enable>,
) -> Result<Json<Done>, ApiError> {
    app.store
        .enable_endpoint(caller.account, &endpoint.url)
        .await
        .or_not_found("Endpoint")?;
    Ok(Json(Done {
        message: "success",
        state: "enabled",
    }))
}

/// A secret that signs webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookSecret {
    /// As Standard Webhooks writes it. Shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    webhook_secret: String,
}

/// Makes a new secret that signs webhooks, and shows it this once.
///
/// The one before it signs too, so that receivers can change over, until
/// `DELETE /webhooks/secret/previous` or the next new one.
#[utoipa::path(post, path = "/webhooks/secret", tag = "Webhooks",
    responses((status = 200, description = "The new secret", body = WebhookSecret), Problems))]
async fn new_secret(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<WebhookSecret>, ApiError> {
    let secret = app.store.new_webhook_secret(caller.account, now()).await?;
    Ok(Json(WebhookSecret {
        webhook_secret: secret.expose_secret().to_owned(),
    }))
}

/// Webhooks are signed with the newest secret alone.
#[utoipa::path(delete, path = "/webhooks/secret/previous", tag = "Webhooks",
    responses((status = 200, description = "The secret before it signs no more", body = Done), Problems))]
async fn drop_old_secret(State(app): State<App>, caller: Caller) -> Result<Json<Done>, ApiError> {
    app.store
        .drop_old_webhook_secrets(caller.account, now())
        .await
        .or_not_found("Webhook secret")?;
    Ok(Json(Done {
        message: "success",
        state: "deleted",
    }))
}
