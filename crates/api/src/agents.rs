//! `/v2/agent` and `/agent`: documents of agents. Source: api.md §6.

mod versions;

use axum::{
    Json,
    extract::State,
    routing::{get, post},
};
use bolo_agent::{Agent, Fault};
use bolo_execution::{AgentId, ExecutionId};
use bolo_store::StoredAgent;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, FieldError, OrNotFound, Problems, TooLarge},
    extract::{Caller, Id, JsonBody, Params, PathId},
    paging::{Paging, PagingParams},
    schemas::{AgentBody, AgentPatch, AgentView},
    time::{iso, now},
};

/// Attempts of a PATCH that meets other writers.
const PATCH_TRIES: usize = 5;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(list))
        .routes(routes!(show, replace, change, remove))
        .routes(routes!(stop))
        .merge(versions::routes())
        .route("/agent", post(create))
        .route("/agent/all", get(list))
        .route(
            "/agent/{agent_id}",
            get(show).put(replace).patch(change).delete(remove),
        )
        .route("/agent/{agent_id}/stop", post(stop))
}

/// Answer to a write. Clients read `status` here and `state` there.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// The agent.
    #[schema(format = Uuid)]
    agent_id: String,
    /// `created` or `updated`.
    #[schema(example = "created")]
    status: &'static str,
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// The same as `status`.
    #[schema(example = "created")]
    state: &'static str,
    /// The version that was written.
    #[schema(example = 1)]
    version: i64,
    /// What this server stores but can't run yet. While there is any, a call ends at once and says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
}

impl Written {
    fn new(agent: &StoredAgent, status: &'static str, lacks: Vec<Fault>) -> Json<Self> {
        if lacks.is_empty() {
            warn(agent);
        }
        let warning = |fault: Fault| FieldError::new(&fault.path, fault.message);
        Json(Self {
            agent_id: agent.id.to_string(),
            status,
            message: "success",
            state: status,
            version: agent.version,
            warnings: lacks.into_iter().map(warning).collect(),
        })
    }
}

/// Tells the log what will work but surely not as meant.
fn warn(stored: &StoredAgent) {
    for fault in Agent::parse(&stored.body).iter().flat_map(Agent::warnings) {
        tracing::warn!(agent_id = %stored.id, path = fault.path, "agent document: {}", fault.message);
    }
}

/// Creates an agent.
///
/// The document is checked as a whole: a fault answers 400 with every fault in `errors`. It is stored as
/// sent; what this server can't run yet is stored too and named in `warnings`. Also as `POST /agent`, with a version 1 document too.
#[utoipa::path(post, path = "/v2/agent", tag = "Agents", request_body = AgentBody,
    responses((status = 200, description = "Created", body = Written), Problems, TooLarge))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Value>,
) -> Result<Json<Written>, ApiError> {
    let lacks = Agent::check(&body)?;
    let stored = app.store.create_agent(caller.account, &body, now()).await?;
    Ok(Written::new(&stored, "created", lacks))
}

/// Lists all agents, newest first.
#[utoipa::path(get, path = "/v2/agent/all", tag = "Agents", params(PagingParams),
    responses((status = 200, description = "All agents, or the page asked for", body = Vec<AgentView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Value>>, ApiError> {
    let paging = Paging::read(&params)?;
    let agents = app.store.agents(caller.account).await?;
    Ok(Json(paging.cut(agents).iter().map(view).collect()))
}

/// Shows an agent.
#[utoipa::path(get, path = "/v2/agent/{agent_id}", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent")),
    responses((status = 200, description = "The agent as it was sent", body = AgentView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(view(
        &app.store
            .agent(caller.account, id)
            .await
            .or_not_found(AgentId::NAME)?,
    )))
}

/// Replaces an agent's document.
///
/// What the new document leaves out is gone.
#[utoipa::path(put, path = "/v2/agent/{agent_id}", tag = "Agents", request_body = AgentBody,
    params(("agent_id" = uuid::Uuid, Path, description = "The agent")),
    responses((status = 200, description = "Updated", body = Written), Problems, TooLarge))]
async fn replace(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    JsonBody(body): JsonBody<Value>,
) -> Result<Json<Written>, ApiError> {
    app.store
        .agent(caller.account, id)
        .await
        .or_not_found(AgentId::NAME)?;
    let lacks = Agent::check(&body)?;
    let stored = app
        .store
        .replace_agent(caller.account, id, &body, None, now())
        .await
        .or_not_found(AgentId::NAME)?;
    Ok(Written::new(&stored, "updated", lacks))
}

/// Changes parts of an agent's document.
///
/// `null` clears, absent leaves as is; `agent_prompts` merges by task. The result is checked as a whole.
#[utoipa::path(patch, path = "/v2/agent/{agent_id}", tag = "Agents", request_body = AgentPatch,
    params(("agent_id" = uuid::Uuid, Path, description = "The agent")),
    responses((status = 200, description = "Updated", body = Written), Problems, TooLarge))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<Written>, ApiError> {
    for _ in 0..PATCH_TRIES {
        let stored = app
            .store
            .agent(caller.account, id)
            .await
            .or_not_found(AgentId::NAME)?;
        let body = bolo_agent::patch(&stored.body, &patch)?;
        let lacks = Agent::check(&body)?;
        match app
            .store
            .replace_agent(caller.account, id, &body, Some(stored.version), now())
            .await
        {
            Err(bolo_store::Error::Conflict(_)) => {} // someone else wrote meanwhile: apply to theirs
            written => {
                let stored = written.or_not_found(AgentId::NAME)?;
                return Ok(Written::new(&stored, "updated", lacks));
            }
        }
    }
    Err(ApiError::Unavailable(
        "the agent is written by others all the time".to_owned(),
    ))
}

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentRemoved)]
pub struct Removed {
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// `deleted`.
    #[schema(example = "deleted")]
    state: &'static str,
}

/// Deletes an agent.
///
/// Its waiting calls are stopped, calls in flight end by themselves, its executions are no longer shown.
#[utoipa::path(delete, path = "/v2/agent/{agent_id}", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent")),
    responses((status = 200, description = "Deleted", body = Removed), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<Json<Removed>, ApiError> {
    app.store
        .delete_agent(caller.account, id, now())
        .await
        .or_not_found(AgentId::NAME)?;
    Ok(Json(Removed {
        message: "success",
        state: "deleted",
    }))
}

/// Answer to stopping an agent's waiting calls.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoppedCalls {
    /// The calls that were waiting.
    #[schema(value_type = Vec<uuid::Uuid>)]
    stopped_executions: Vec<ExecutionId>,
}

/// Stops every waiting call of an agent.
///
/// Calls that are queued, scheduled or rescheduled; those in flight go on.
#[utoipa::path(post, path = "/v2/agent/{agent_id}/stop", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent")),
    responses((status = 200, description = "Stopped", body = StoppedCalls), Problems))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
) -> Result<Json<StoppedCalls>, ApiError> {
    app.store
        .agent(caller.account, id)
        .await
        .or_not_found(AgentId::NAME)?;
    let stopped_executions = app
        .store
        .stop_waiting(caller.account, id, now())
        .await
        .or_not_found(AgentId::NAME)?;
    Ok(Json(StoppedCalls { stopped_executions }))
}

/// The agent as clients read it: the configuration's keys at the top level, as they were sent, and what
/// clients expect to be there as null.
fn view(agent: &StoredAgent) -> Value {
    let mut view = Map::new();
    view.insert("id".into(), agent.id.to_string().into());
    view.insert("agent_id".into(), agent.id.to_string().into());
    view.insert("agent_name".into(), Value::Null);
    view.insert("agent_type".into(), "other".into());
    view.insert("agent_status".into(), "processed".into());
    view.insert("created_at".into(), iso(agent.created_at).into());
    view.insert("updated_at".into(), iso(agent.updated_at).into());
    view.insert("agent_version".into(), agent.version.into());
    for absent in [
        "agent_welcome_message",
        "webhook_url",
        "tasks",
        "ingest_source_config",
        "calling_guardrails",
        "dispositions",
        "gpt_assistants",
    ] {
        view.insert(absent.into(), Value::Null);
    }
    let ours = [
        "id",
        "agent_id",
        "agent_status",
        "created_at",
        "updated_at",
        "agent_version",
    ];
    let config = agent.body.get("agent_config").and_then(Value::as_object);
    for (key, value) in config
        .into_iter()
        .flatten()
        .filter(|(key, _)| !ours.contains(&key.as_str()))
    {
        view.insert(key.clone(), value.clone());
    }
    view.insert(
        "agent_prompts".into(),
        agent.body.get("agent_prompts").cloned().unwrap_or_default(),
    );
    Value::Object(view)
}
