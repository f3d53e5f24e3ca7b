//! `/batches`: calls that are uploaded together, scheduled, stopped and counted. Source: api.md §9.

mod csv;
mod upload;

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bolo_agent::Outline;
use bolo_execution::{AgentId, BatchId, Status};
use bolo_store::{Batch, BatchState, Filter, Reject, Schedule};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use upload::routes as uploads;

use crate::{
    App,
    calls::{carrier_of, webhook_of},
    error::{ApiError, OrNotFound, Problems, TooLarge},
    execution_filter::{self, FilterParams},
    executions,
    extract::{Caller, Id, Params, PathId},
    form::Form,
    json_stream,
    paging::{Paging, PagingParams},
    schemas::ExecutionView,
    time::{self, humanized, iso, now},
    values::Time,
};

/// A request works on a batch's calls this long; what is left then, the worker does.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rejected lines read at a time.
const CHUNK: i64 = 1_000;
/// Hosted rules: how far ahead a batch must be scheduled, and what its time is rounded up to, ms.
const LEAD_MS: i64 = 2 * 60_000;
const ROUND_MS: i64 = 10 * 60_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(schedule))
        .routes(routes!(schedule_named))
        .routes(routes!(stop))
        .routes(routes!(show, remove))
        .routes(routes!(list))
        .routes(routes!(calls))
        .routes(routes!(rejected))
        .route("/batch/{batch_id}/executions", get(calls))
}

/// A batch as clients read it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct BatchView {
    /// 32 hex digits.
    #[schema(example = "3c90c3cc0d444b5088888dd25736052a")]
    batch_id: String,
    /// The same as `batch_id`.
    id: String,
    agent_id: uuid::Uuid,
    #[schema(example = "5 minutes ago")]
    humanized_created_at: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// `created`, `scheduled`, `queued`, `executed` or `stopped`.
    #[schema(example = "scheduled")]
    status: String,
    /// `created`, `scheduled`, `running`, `completed` or `stopped`.
    #[schema(example = "scheduled")]
    state: String,
    #[schema(format = DateTime)]
    scheduled_at: Option<String>,
    bypass_call_guardrails: bool,
    /// The first of `from_phone_numbers`.
    from_phone_number: Option<String>,
    /// Calling numbers, taken in turn.
    from_phone_numbers: Vec<String>,
    #[schema(value_type = Option<Object>)]
    retry_config: Option<Value>,
    #[schema(example = "customers.csv")]
    file_name: String,
    /// Lines that made a call.
    #[schema(example = 7)]
    valid_contacts: i64,
    /// Lines of the table; `GET /batches/{batch_id}/rejected` tells of the others.
    #[schema(example = 11)]
    total_contacts: i64,
    /// Calls by their status.
    #[schema(value_type = Object, example = json!({"completed": 1, "ringing": 10, "in-progress": 15}))]
    execution_status: Map<String, Value>,
    /// Prepared, scheduled, queued and rescheduled calls.
    queued_count: i64,
    /// From `initiated` to `call-disconnected`.
    in_progress_count: i64,
    completed_count: i64,
    /// Failed, canceled, out of balance, or ended by an error.
    failed_count: i64,
    no_answer_count: i64,
    busy_count: i64,
    stopped_count: i64,
}

fn view(batch: &Batch) -> Value {
    let now = now();
    let (status, state) = match batch.state(now) {
        BatchState::Created => ("created", "created"),
        BatchState::Scheduled => ("scheduled", "scheduled"),
        BatchState::Running => ("queued", "running"),
        BatchState::Completed => ("executed", "completed"),
        BatchState::Stopped => ("stopped", "stopped"),
    };
    let by_status: Map<String, Value> = (batch.counts.iter())
        .map(|(status, calls)| (status.as_str().to_owned(), (*calls).into()))
        .collect();
    let count = |wanted: fn(Status) -> bool| {
        let counts = batch.counts.iter();
        let wanted = counts.filter(|(status, _)| wanted(**status));
        wanted.map(|(_, calls)| calls).sum::<i64>()
    };
    use Status as S;
    json!({
        "batch_id": batch.id,
        "id": batch.id,
        "agent_id": batch.agent,
        "humanized_created_at": humanized(batch.created_at, now),
        "created_at": iso(batch.created_at),
        "updated_at": iso(batch.updated_at),
        "status": status,
        "state": state,
        "scheduled_at": batch.scheduled_at.map(iso),
        "bypass_call_guardrails": batch.bypass_guardrails,
        "from_phone_number": batch.from_numbers.first(),
        "from_phone_numbers": batch.from_numbers,
        "retry_config": batch.retry_config,
        "file_name": batch.file_name,
        "valid_contacts": batch.valid_contacts,
        "total_contacts": batch.total_contacts,
        "execution_status": by_status,
        "queued_count": count(S::is_waiting),
        "in_progress_count": count(|status| !status.is_waiting() && !status.is_terminal()),
        "completed_count": count(|status| status == S::Completed),
        "failed_count": count(|status| {
            matches!(status, S::Failed | S::Canceled | S::BalanceLow | S::Error)
        }),
        "no_answer_count": count(|status| status == S::NoAnswer),
        "busy_count": count(|status| status == S::Busy),
        "stopped_count": count(|status| status == S::Stopped),
    })
}

/// Answer to what was done to a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchDone)]
pub struct Done {
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// `scheduled`, `stopped` or `deleted`.
    state: &'static str,
    /// 32 hex digits.
    batch_id: String,
}

impl Done {
    fn new(state: &'static str, id: BatchId) -> Json<Self> {
        Json(Self {
            message: "success",
            state,
            batch_id: id.to_string(),
        })
    }
}

/// The form of [`schedule`], for the OpenAPI document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct ScheduleBody {
    /// A time in the past means now.
    scheduled_at: Time,
    /// Call outside the agent's calling hours too.
    #[schema(default = false)]
    bypass_call_guardrails: Option<bool>,
    /// Needed by `POST /batches/schedule` only.
    batch_id: Option<String>,
}

/// Schedules the calls of a batch.
///
/// The calls run the agent as it is now. A batch whose time has not come may be scheduled again.
#[utoipa::path(post, path = "/batches/{batch_id}/schedule", tag = "Batches",
    request_body(content(
        (ScheduleBody = "multipart/form-data"), (ScheduleBody = "application/x-www-form-urlencoded"),
        (ScheduleBody = "application/json"))),
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "Scheduled", body = Done), Problems, TooLarge))]
async fn schedule(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    set_time(&app, caller, id, &form).await
}

/// Schedules the calls of the batch that body or query name.
#[utoipa::path(post, path = "/batches/schedule", tag = "Batches",
    request_body(content(
        (ScheduleBody = "multipart/form-data"), (ScheduleBody = "application/x-www-form-urlencoded"),
        (ScheduleBody = "application/json"))),
    params(("batch_id" = Option<String>, Query, description = "The batch, where the body names none")),
    responses((status = 200, description = "Scheduled", body = Done), Problems, TooLarge))]
async fn schedule_named(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let (_, id) = form
        .get(&["batch_id"])
        .or_else(|| params.get(&["batch_id"]))
        .ok_or_else(|| ApiError::field("batch_id", "field required"))?;
    let id = id.parse().map_err(|_| ApiError::NotFound(BatchId::NAME))?;
    set_time(&app, caller, id, &form).await
}

async fn set_time(
    app: &App,
    caller: Caller,
    id: BatchId,
    form: &Form,
) -> Result<Json<Done>, ApiError> {
    let now = now();
    let (field, text) = form
        .get(&["scheduled_at", "time"])
        .ok_or_else(|| ApiError::field("scheduled_at", "field required"))?;
    let at = if app.settings.strict_compat {
        hosted_time(field, text, now)?
    } else {
        time_of(field, text)?.max(now)
    };
    let bypass_guardrails = match form.get(&["bypass_call_guardrails"]) {
        None => false,
        Some((field, text)) => execution_filter::truth(text)
            .ok_or_else(|| ApiError::field(field, "must be true or false"))?,
    };
    let batch = app
        .store
        .batch(caller.account, id)
        .await
        .or_not_found(BatchId::NAME)?;
    let stored = app
        .store
        .agent(caller.account, batch.agent)
        .await
        .or_not_found(AgentId::NAME)?;
    let agent = Outline::read(&stored.body);
    let schedule = Schedule {
        at,
        bypass_guardrails,
        agent_version: stored.version,
        provider: carrier_of(app, caller.account, &agent).await?,
        webhook: webhook_of(&agent),
    };
    let done = app
        .store
        .schedule_batch(caller.account, id, schedule, now)
        .await
        .or_not_found(BatchId::NAME)?;
    if !done {
        return Err(ApiError::NotPossible(
            "The batch has begun or was stopped: it can't be scheduled".to_owned(),
        ));
    }
    work(app, id).await?;
    Ok(Done::new("scheduled", id))
}

fn time_of(field: &str, text: &str) -> Result<i64, ApiError> {
    time::parse(text).map(|(at, _)| at).ok_or_else(|| {
        ApiError::field(
            field,
            "must be an ISO 8601 time, such as 2024-06-04T22:40:00.000Z",
        )
    })
}

/// The rules of the hosted service: a numeric offset, two minutes ahead, begun at the next ten minutes.
fn hosted_time(field: &str, text: &str, now: i64) -> Result<i64, ApiError> {
    let (_, clock) = text.split_once(['T', ' ']).unwrap_or_default();
    if !clock.contains(['+', '-']) {
        return Err(ApiError::field(
            field,
            "must have a numeric offset, such as 2024-06-05T04:10:00+05:30",
        ));
    }
    let at = time_of(field, text)?;
    if at < now + LEAD_MS {
        return Err(ApiError::NotPossible(
            "Scheduled time should be atleast 2 minutes in the future".to_owned(),
        ));
    }
    Ok((at + ROUND_MS - 1) / ROUND_MS * ROUND_MS)
}

/// Does to a batch's calls what waits to be done to them. Should it take long, or the client go away, the
/// worker goes on with it.
async fn work(app: &App, id: BatchId) -> Result<(), ApiError> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if !app.store.work_on_batch(id, now()).await? {
            break;
        }
    }
    Ok(())
}

/// Stops a batch.
///
/// No further call is dialled; calls that wait become `stopped`, live ones go on to their end.
#[utoipa::path(post, path = "/batches/{batch_id}/stop", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "Stopped", body = Done), Problems))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
) -> Result<Json<Done>, ApiError> {
    let stopped = app
        .store
        .stop_batch(caller.account, id, now())
        .await
        .or_not_found(BatchId::NAME)?;
    if !stopped {
        return Err(ApiError::BatchNotRunning);
    }
    work(&app, id).await?;
    Ok(Done::new("stopped", id))
}

/// Shows a batch and where its calls stand.
#[utoipa::path(get, path = "/batches/{batch_id}", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "The batch", body = BatchView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
) -> Result<Json<Value>, ApiError> {
    let batch = app
        .store
        .batch(caller.account, id)
        .await
        .or_not_found(BatchId::NAME)?;
    Ok(Json(view(&batch)))
}

/// Deletes a batch.
///
/// Its waiting calls are stopped; its executions stay.
#[utoipa::path(delete, path = "/batches/{batch_id}", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "Deleted", body = Done), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
) -> Result<Json<Done>, ApiError> {
    app.store
        .delete_batch(caller.account, id, now())
        .await
        .or_not_found(BatchId::NAME)?;
    work(&app, id).await?;
    Ok(Done::new("deleted", id))
}

/// Lists the batches of an agent, newest first.
#[utoipa::path(get, path = "/batches/{agent_id}/all", tag = "Batches",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"), PagingParams),
    responses((status = 200, description = "All of them, or the page asked for", body = Vec<BatchView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(agent): Id<AgentId>,
    params: Params,
) -> Result<Json<Vec<Value>>, ApiError> {
    let paging = Paging::read(&params)?;
    let batches = app
        .store
        .batches(caller.account, agent)
        .await
        .or_not_found(AgentId::NAME)?;
    Ok(Json(paging.cut(batches).iter().map(view).collect()))
}

/// Lists the executions of a batch, newest first.
///
/// A bare array; with `page_number` a page in its envelope. Also as `GET /batch/{batch_id}/executions`.
#[utoipa::path(get, path = "/batches/{batch_id}/executions", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch"), PagingParams, FilterParams),
    responses((status = 200, description = "All of them", body = Vec<ExecutionView>), Problems))]
async fn calls(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
    params: Params,
) -> Result<Response, ApiError> {
    app.store
        .batch(caller.account, id)
        .await
        .or_not_found(BatchId::NAME)?;
    let filter = Filter {
        batch: Some(id),
        ..execution_filter::read(&params)?
    };
    if params.get(&["page_number", "page"]).is_some() {
        let page = executions::page(&app, caller, &params, filter).await?;
        return Ok(page.into_response());
    }
    executions::bare(&app, caller, &params, filter).await
}

/// A line that made no call.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct RejectView {
    /// Its number in the file, from 1; the header counts.
    #[schema(example = 3)]
    line: i64,
    /// What stands for a number there.
    contact_number: String,
    /// What is wrong.
    #[schema(example = "must be a phone number in E.164 form, such as +14155550100")]
    reason: String,
}

/// Lists the lines of the uploaded table that made no call, and why.
#[utoipa::path(get, path = "/batches/{batch_id}/rejected", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "In the file's order", body = Vec<RejectView>), Problems))]
async fn rejected(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<BatchId>,
) -> Result<Response, ApiError> {
    app.store
        .batch(caller.account, id)
        .await
        .or_not_found(BatchId::NAME)?;
    let store = app.store.clone();
    let behind = move |line| {
        let store = store.clone();
        async move { store.batch_rejects(caller.account, id, line, CHUNK).await }
    };
    let first = behind(0).await?;
    let is_all = (first.len() as i64) < CHUNK;
    let more = move |last: &Reject| behind(last.line);
    Ok(json_stream::array(first, is_all, more, |reject| {
        json!({
            "line": reject.line,
            "contact_number": reject.contact_number,
            "reason": reject.reason,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosted_rules_of_time() {
        let now = 1_717_540_800_000; // 2024-06-04T22:40:00Z
        let at = |text| hosted_time("scheduled_at", text, now).map_err(|error| error.to_string());
        assert_eq!(at("2024-06-05T04:20:00+05:30"), Ok(now + 600_000));
        assert_eq!(at("2024-06-05T04:12:00+05:30"), Ok(now + 600_000));
        assert_eq!(at("2024-06-05 04:20:01+05:30"), Ok(now + 1_200_000));
        assert_eq!(
            at("2024-06-05T04:11:59+05:30"),
            Err("Scheduled time should be atleast 2 minutes in the future".to_owned())
        );
        for text in ["2024-06-05T22:40:00Z", "2024-06-05T22:40:00", "2024-06-05"] {
            assert!(at(text).is_err_and(|error| error.contains("numeric offset")));
        }
    }
}
