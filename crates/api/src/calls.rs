//! `POST /call` and stopping calls. Source: api.md §7.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bolo_agent::Outline;
use bolo_execution::{
    AccountId, Change, Direction, E164, ExecutionId, Hangup, HangupBy, Record, Status,
};
use bolo_store::{Command, Facts, NewExecution, WebhookTarget};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    call_request::{self, CallBody},
    error::{ApiError, KeyReused, OrNotFound, Problems, TooLarge},
    extract::{Caller, Id, JsonBody, PathId},
    idempotency::{self, IdempotencyKey},
    time::now,
};

/// Reads and writes of a stop that meets other writers.
const STOP_TRIES: usize = 5;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(stop))
        .routes(routes!(event))
        .route("/call/{execution_id}/events", post(event))
        .route("/call/stop/{execution_id}", post(stop))
}

/// Answer to a new call. All four ids are the same: clients read different ones.
#[derive(Debug, Serialize, ToSchema)]
pub struct Placed {
    /// `done`.
    #[schema(example = "done")]
    message: &'static str,
    /// `queued` or `scheduled`.
    #[schema(example = "queued")]
    status: &'static str,
    /// The call.
    #[schema(format = Uuid)]
    execution_id: String,
    /// The call.
    #[schema(format = Uuid)]
    run_id: String,
    /// The call.
    #[schema(format = Uuid)]
    call_id: String,
    /// The call.
    #[schema(format = Uuid)]
    id: String,
}

/// Places an outbound call.
///
/// Answers at once: the call waits in the queue, or until `scheduled_at`, and is dialled from there. Every
/// request is a call of its own, unless it repeats one that came with the same `Idempotency-Key` within a day:
/// that one's answer is given again.
#[utoipa::path(post, path = "/call", tag = "Calls", request_body = CallBody,
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]([ -~]{0,253}[!-~])?$",
        description = "Chosen by the client, at most 255 characters")),
    responses((status = 200, description = "The call is queued or scheduled", body = Placed), KeyReused, Problems, TooLarge))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, ApiError> {
    let now = now();
    let once = key.once(caller.account, "POST /call", body.to_string().as_bytes());
    if let Some(answer) = idempotency::replayed(&app, once.as_ref()).await? {
        return Ok(answer);
    }
    let call = call_request::read(&body)?;
    let stored = app
        .store
        .agent(caller.account, call.agent)
        .await
        .or_not_found("Agent")?;
    let agent = Outline::read(&stored.body);
    let due_at = call.scheduled_at.filter(|at| *at > now);
    let new = NewExecution {
        account: caller.account,
        agent: stored.id,
        agent_version: stored.version,
        direction: Direction::Outbound,
        provider: carrier_from(&app, caller.account, &agent, call.from.as_ref()).await?,
        to: call.to.to_string(),
        from: call.from.map(|from| from.to_string()).unwrap_or_default(),
        status: if due_at.is_some() {
            Status::Scheduled
        } else {
            Status::Queued
        },
        due_at: due_at.unwrap_or(now),
        user_data: call.user_data,
        voice_id: call.voice_id,
        retry_config: call.retry_config,
        bypass_guardrails: call.bypass_guardrails,
        carrier_call_id: None,
        webhook: webhook_of(&agent),
        error_message: None,
    };
    let placed = match &once {
        None => app.store.create_execution(new, now).await,
        Some(once) => {
            app.store
                .create_execution_once(new, once, answer, now)
                .await
        }
    };
    let record = match placed {
        // It came twice at once, and the other was quicker.
        Err(bolo_store::Error::Conflict(_)) if once.is_some() => {
            return idempotency::replayed(&app, once.as_ref())
                .await?
                .ok_or_else(|| ApiError::Unavailable("the key's request is under way".to_owned()));
        }
        placed => placed?.0,
    };
    tracing::info!(execution_id = %record.id, agent_id = %record.agent, status = %record.status, "call accepted");
    Ok(Json(answer(&record)).into_response())
}

fn answer(record: &Record) -> Value {
    let id = record.id.to_string();
    let placed = Placed {
        message: "done",
        status: record.status.as_str(),
        execution_id: id.clone(),
        run_id: id.clone(),
        call_id: id.clone(),
        id,
    };
    json!(placed)
}

/// The carrier of a call from this number: one of a SIP trunk is called from through the trunk.
async fn carrier_from(
    app: &App,
    account: AccountId,
    agent: &Outline,
    from: Option<&E164>,
) -> Result<String, ApiError> {
    if let Some(from) = from {
        match app.store.phone_number_named(account, from.as_str()).await {
            Ok(number) if number.trunk.is_some() => return Ok("sip-trunk".to_owned()),
            Ok(_) | Err(bolo_store::Error::NotFound) => {}
            Err(other) => return Err(other.into()),
        }
    }
    carrier_of(app, account, agent).await
}

/// The carrier that an agent's calls go through; one that names none takes what the account has keys for.
pub async fn carrier_of(
    app: &App,
    account: AccountId,
    agent: &Outline,
) -> Result<String, ApiError> {
    if let Some(named) = agent.telephony_provider.clone() {
        return Ok(named);
    }
    let secrets = app.store.secrets(account).await?;
    Ok(app.carriers.default_name(&secrets).to_owned())
}

/// Where the agent wants to be told of its calls.
pub fn webhook_of(agent: &Outline) -> Option<WebhookTarget> {
    let statuses =
        |words: &Vec<String>| words.iter().filter_map(|word| word.parse().ok()).collect();
    Some(WebhookTarget {
        url: agent.webhook_url.as_ref()?.to_string(),
        statuses: agent.webhook_statuses.as_ref().map(statuses),
    })
}

/// Answer to a stop.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stopped {
    /// `done`.
    #[schema(example = "done")]
    message: &'static str,
    /// `stopped`.
    #[schema(example = "stopped")]
    status: &'static str,
    /// The call.
    #[schema(format = Uuid)]
    execution_id: String,
}

/// Stops a call, waiting or in flight.
///
/// A call that is over already answers 400. Also as `POST /call/stop/{execution_id}`.
#[utoipa::path(post, path = "/call/{execution_id}/stop", tag = "Calls",
    params(("execution_id" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "Stopped", body = Stopped), Problems))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
) -> Result<Json<Stopped>, ApiError> {
    let record = stopped(&app, caller, id).await?;
    if record.carrier_call_id.is_some() || record.answered_at.is_some() {
        end_at_once(&app, &record).await;
    }
    tracing::info!(execution_id = %id, "call stopped by request");
    Ok(Json(Stopped {
        message: "done",
        status: record.status.as_str(),
        execution_id: id.to_string(),
    }))
}

/// Something that happened outside a call.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EventBody {
    /// What.
    #[schema(example = "payment_received", pattern = r"\S")]
    event: String,
    /// What is known of it: variables of the call from now on.
    #[schema(value_type = Option<Object>)]
    properties: Option<Map<String, Value>>,
    /// When, epoch seconds.
    #[serde(rename = "timestamp")]
    _timestamp: Option<f64>,
}

/// Answer to an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventTaken {
    #[schema(example = "accepted")]
    status: &'static str,
    #[schema(example = "payment_received")]
    event: String,
    #[schema(format = Uuid)]
    run_id: String,
}

/// Tells a live call what happened outside it.
///
/// Its properties are known to the agent from now on; what else it does is the agent's. Also as
/// `POST /call/{run_id}/events`.
#[utoipa::path(post, path = "/v1/call/{run_id}/events", tag = "Calls", request_body = EventBody,
    params(("run_id" = uuid::Uuid, Path, description = "The call")),
    responses((status = 202, description = "The call was told", body = EventTaken), Problems, TooLarge))]
async fn event(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
    JsonBody(body): JsonBody<EventBody>,
) -> Result<(StatusCode, Json<EventTaken>), ApiError> {
    if body.event.trim().is_empty() {
        return Err(ApiError::field("event", "must not be empty"));
    }
    const NOT_LIVE: &str = "Active call with this run_id";
    app.store
        .execution(caller.account, id)
        .await
        .or_not_found(NOT_LIVE)?;
    let told = Command::Event {
        name: body.event.clone(),
        properties: body.properties.unwrap_or_default(),
    };
    if !app.store.signals().send(id, told).await {
        return Err(ApiError::NotFound(NOT_LIVE));
    }
    let taken = EventTaken {
        status: "accepted",
        event: body.event,
        run_id: id.to_string(),
    };
    Ok((StatusCode::ACCEPTED, Json(taken)))
}

/// Writes the stop down. Another writer may move the call meanwhile, even to its end.
async fn stopped(app: &App, caller: Caller, id: ExecutionId) -> Result<Record, ApiError> {
    for _ in 0..STOP_TRIES {
        let record = app
            .store
            .execution(caller.account, id)
            .await
            .or_not_found(ExecutionId::NAME)?;
        let over = record.status.is_terminal() || record.status == Status::CallDisconnected;
        if over {
            return Err(ApiError::NotPossible(format!(
                "The call is over already: it is {}",
                record.status
            )));
        }
        let in_flight = !record.status.is_waiting();
        if in_flight && !app.settings.stop_inflight {
            return Err(ApiError::NotPossible(format!(
                "A call that is {} can't be stopped here",
                record.status
            )));
        }
        let facts = if in_flight {
            hung_up()
        } else {
            Facts::default()
        };
        match app.store.change(id, Change::StopAsked, facts, now()).await {
            Err(bolo_store::Error::Conflict(_) | bolo_store::Error::Illegal(_)) => {}
            changed => return changed.or_not_found(ExecutionId::NAME),
        }
    }
    Err(ApiError::Unavailable(
        "the call changes all the time".to_owned(),
    ))
}

/// What is written of a call in flight that a request ends.
fn hung_up() -> Facts {
    Facts {
        hangup: Some(Hangup {
            by: HangupBy::ApiRequest,
            reason: bolo_execution::EndReason::ApiStopped.as_str().to_owned(),
            code: 4000,
        }),
        happened_at: Some(now()),
        ..Facts::default()
    }
}

/// Ends a call in flight, whether or not its agent is there still; one that is over already is left alone.
pub async fn stop_live(app: &App, record: &Record) -> Result<(), ApiError> {
    let changed = app
        .store
        .change(record.id, Change::StopAsked, hung_up(), now())
        .await;
    match changed {
        Err(bolo_store::Error::Illegal(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(record) => {
            end_at_once(app, &record).await;
            Ok(())
        }
    }
}

/// Tells the node that runs the call; where none does, the carrier.
async fn end_at_once(app: &App, record: &Record) {
    if !app.store.signals().send(record.id, Command::Stop).await {
        crate::telephony::hang_up_later(app, record, record.carrier_call_id.clone());
    }
}
