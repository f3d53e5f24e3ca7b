//! Calls as records: one, many, and their logs. Source: api.md §8.

use axum::{Json, extract::State, response::Response, routing::get};
use bolo_execution::{AgentId, ExecutionId, Record, view};
use bolo_store::Filter;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems},
    execution_filter::{self, FilterParams},
    extract::{Caller, Id, Ids, Params, PathId},
    json_stream,
    paging::{Envelope, Paging, PagingParams},
    schemas::ExecutionView,
    time::iso,
};

/// Rows read at a time for a list without pages.
const CHUNK: i64 = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_of_agent))
        .routes(routes!(list_of_agent_bare))
        .routes(routes!(show_of_agent))
        .routes(routes!(show))
        .routes(routes!(log))
        .route(
            "/agent/{agent_id}/execution/{execution_id}",
            get(show_of_agent),
        )
        .route("/call/{execution_id}", get(show))
        .route("/call/{execution_id}/status", get(show))
}

fn shown(app: &App, record: &Record) -> Value {
    view(
        record,
        &format!("{}/recordings", app.callbacks.public_url()),
    )
}

/// A page in its envelope.
pub async fn page(
    app: &App,
    caller: Caller,
    params: &Params,
    filter: Filter,
) -> Result<Json<Envelope<Value>>, ApiError> {
    let paging = Paging::read(params)?;
    let page = app
        .store
        .executions(caller.account, &filter, paging.number, paging.size)
        .await?;
    let rows = page.rows.iter().map(|record| shown(app, record)).collect();
    Ok(Json(Envelope::new(paging, page.total, rows)))
}

/// Lists the executions of all agents, newest first.
#[utoipa::path(get, path = "/executions", tag = "Executions",
    params(PagingParams, FilterParams,
        ("agent_id" = Option<uuid::Uuid>, Query, description = "Executions of this agent")),
    responses((status = 200, description = "A page of executions", body = Envelope<ExecutionView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Envelope<Value>>, ApiError> {
    page(&app, caller, &params, execution_filter::read(&params)?).await
}

/// Lists an agent's executions, newest first.
#[utoipa::path(get, path = "/v2/agent/{agent_id}/executions", tag = "Executions",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"), PagingParams, FilterParams),
    responses((status = 200, description = "A page of executions", body = Envelope<ExecutionView>), Problems))]
async fn list_of_agent(
    State(app): State<App>,
    caller: Caller,
    Id(agent): Id<AgentId>,
    params: Params,
) -> Result<Json<Envelope<Value>>, ApiError> {
    app.store
        .agent(caller.account, agent)
        .await
        .or_not_found(AgentId::NAME)?;
    let filter = Filter {
        agent: Some(agent),
        ..execution_filter::read(&params)?
    };
    page(&app, caller, &params, filter).await
}

/// Lists an agent's executions as a bare array, newest first (API version 1).
#[utoipa::path(get, path = "/agent/{agent_id}/executions", tag = "Executions",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"), PagingParams, FilterParams),
    responses((status = 200, description = "All of them, or the page asked for", body = Vec<ExecutionView>), Problems))]
async fn list_of_agent_bare(
    State(app): State<App>,
    caller: Caller,
    Id(agent): Id<AgentId>,
    params: Params,
) -> Result<Response, ApiError> {
    app.store
        .agent(caller.account, agent)
        .await
        .or_not_found(AgentId::NAME)?;
    let filter = Filter {
        agent: Some(agent),
        ..execution_filter::read(&params)?
    };
    bare(&app, caller, &params, filter).await
}

/// A list without an envelope: all of it, or the page asked for.
pub async fn bare(
    app: &App,
    caller: Caller,
    params: &Params,
    filter: Filter,
) -> Result<Response, ApiError> {
    let paging = Paging::read(params)?;
    let (number, size) = if paging.asked {
        (paging.number, paging.size)
    } else {
        (1, CHUNK)
    };
    let first = app
        .store
        .list_executions(caller.account, &filter, number, size)
        .await?;
    let is_all = paging.asked || (first.len() as i64) < size;
    let store = app.store.clone();
    // Behind the last row, so that calls that are made meanwhile move nothing.
    let more = move |last: &Record| {
        let (store, filter) = (store.clone(), filter.clone());
        let filter = Filter {
            behind: Some((last.created_at, last.id)),
            ..filter
        };
        async move {
            store
                .list_executions(caller.account, &filter, 1, CHUNK)
                .await
        }
    };
    let app = app.clone();
    Ok(json_stream::array(first, is_all, more, move |record| {
        shown(&app, record)
    }))
}

/// Shows an execution of an agent.
#[utoipa::path(get, path = "/v2/agent/{agent_id}/execution/{execution_id}", tag = "Executions",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"),
        ("execution_id" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "The execution", body = ExecutionView), Problems))]
async fn show_of_agent(
    State(app): State<App>,
    caller: Caller,
    Ids(agent, id): Ids<AgentId, ExecutionId>,
) -> Result<Json<Value>, ApiError> {
    let record = app
        .store
        .execution(caller.account, id)
        .await
        .or_not_found(ExecutionId::NAME)?;
    if record.agent != agent {
        return Err(ApiError::NotFound(ExecutionId::NAME));
    }
    Ok(Json(shown(&app, &record)))
}

/// Shows an execution. Also as `GET /call/{execution_id}` and `GET /call/{execution_id}/status`.
#[utoipa::path(get, path = "/executions/{execution_id}", tag = "Executions",
    params(("execution_id" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "The execution", body = ExecutionView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
) -> Result<Json<Value>, ApiError> {
    let record = app
        .store
        .execution(caller.account, id)
        .await
        .or_not_found(ExecutionId::NAME)?;
    Ok(Json(shown(&app, &record)))
}

/// The raw log of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct RawLog {
    /// `success`.
    #[schema(example = "success")]
    status: &'static str,
    /// The call.
    #[schema(format = Uuid)]
    execution_id: String,
    /// Oldest first.
    #[schema(value_type = Vec<LogLineView>)]
    data: Vec<Value>,
}

/// One line of a raw log.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct LogLineView {
    #[schema(format = DateTime)]
    created_at: String,
    /// The same as `created_at`.
    #[schema(format = DateTime)]
    timestamp: String,
    /// `request`, `response`, `event` or `error`.
    r#type: String,
    /// `system`, `transcriber`, `llm`, `synthesizer`, `tool` or `routing`.
    component: String,
    /// Vendor or model.
    provider: String,
    /// Text; JSON payloads as JSON text.
    data: String,
    reasoning_content: Option<String>,
    tool_name: Option<String>,
    /// Joins a request and its response.
    leg_id: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Shows the raw log of a call: what was asked of the vendors and what they answered.
///
/// Of a call in flight: what there is so far.
#[utoipa::path(get, path = "/executions/{execution_id}/log", tag = "Executions",
    params(("execution_id" = uuid::Uuid, Path, description = "The call")),
    responses((status = 200, description = "The log", body = RawLog), Problems))]
async fn log(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
) -> Result<Json<RawLog>, ApiError> {
    app.store
        .execution(caller.account, id)
        .await
        .or_not_found(ExecutionId::NAME)?;
    let lines = app.store.log_lines(caller.account, id).await?;
    let data = lines
        .into_iter()
        .map(|line| {
            let at = iso(line.created_at);
            let mut shown = Map::new();
            shown.insert("created_at".into(), at.clone().into());
            shown.insert("timestamp".into(), at.into());
            match serde_json::to_value(line.entry) {
                Ok(Value::Object(entry)) => shown.extend(entry),
                Ok(other) => drop(shown.insert("data".into(), other)),
                Err(error) => return Err(ApiError::Internal(error.to_string())),
            }
            Ok(Value::Object(shown))
        })
        .collect::<Result<_, _>>()?;
    Ok(Json(RawLog {
        status: "success",
        execution_id: id.to_string(),
        data,
    }))
}
