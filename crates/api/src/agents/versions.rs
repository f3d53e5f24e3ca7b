//! Every write of an agent makes a version: they are listed, shown, compared and restored. Ours; the hosted
//! API has none.

use axum::{Json, extract::State};
use bolo_agent::{Agent, Difference, diff};
use bolo_execution::AgentId;
use bolo_store::StoredAgent;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Written, view};
use crate::{
    App,
    error::{ApiError, OrNotFound, Problems},
    extract::{Caller, Id, Params, PathId, Version},
    paging::{Paging, PagingParams},
    schemas::AgentView,
    time::{iso, now},
};

const NAME: &str = "Version";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(compare))
        .routes(routes!(restore))
}

/// One version of an agent.
#[derive(Debug, Serialize, ToSchema)]
struct VersionView {
    /// Counts from 1, up with each write.
    #[schema(example = 2)]
    version: i64,
    /// What new calls run.
    is_current: bool,
    /// When it was written.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Lists the versions of an agent, newest first.
#[utoipa::path(get, path = "/v2/agent/{agent_id}/versions", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"), PagingParams),
    responses((status = 200, description = "All of them, or the page asked for", body = Vec<VersionView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    params: Params,
) -> Result<Json<Vec<VersionView>>, ApiError> {
    let paging = Paging::read(&params)?;
    let versions = app.store.agent_versions(caller.account, id).await?;
    let newest = versions.first().ok_or(ApiError::NotFound(AgentId::NAME))?.0;
    let shown = |(version, created_at)| VersionView {
        version,
        is_current: version == newest,
        created_at: iso(created_at),
    };
    Ok(Json(paging.cut(versions).into_iter().map(shown).collect()))
}

/// Shows an agent as it was.
#[utoipa::path(get, path = "/v2/agent/{agent_id}/versions/{version}", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"),
        ("version" = i64, Path, description = "The version")),
    responses((status = 200, description = "The agent as it was sent then", body = AgentView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    Version(version): Version,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(view(&read(&app, caller, id, version).await?)))
}

async fn read(
    app: &App,
    caller: Caller,
    id: AgentId,
    version: i64,
) -> Result<StoredAgent, ApiError> {
    // A version of a deleted agent is kept for its calls alone.
    app.store
        .agent(caller.account, id)
        .await
        .or_not_found(AgentId::NAME)?;
    app.store
        .agent_version(caller.account, id, version)
        .await
        .or_not_found(NAME)
}

/// What changed between two versions.
#[derive(Debug, Serialize, ToSchema)]
struct Compared {
    /// The version in the path.
    version: i64,
    /// What it is compared with.
    against: i64,
    /// What leads from `against` to `version`, in the order of the documents.
    #[schema(value_type = Vec<Object>, example = json!([
        {"path": "agent_config.agent_name", "before": "Alfred", "after": "Bruce"}
    ]))]
    differences: Vec<Difference>,
}

/// Compares a version with another.
///
/// Without `against` with the one before it.
#[utoipa::path(get, path = "/v2/agent/{agent_id}/versions/{version}/diff", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"),
        ("version" = i64, Path, description = "The version"),
        ("against" = Option<i64>, Query, description = "The version to compare with")),
    responses((status = 200, description = "What changed", body = Compared), Problems))]
async fn compare(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    Version(version): Version,
    params: Params,
) -> Result<Json<Compared>, ApiError> {
    let against = match params.get(&["against"]) {
        None => version.saturating_sub(1),
        Some((name, text)) => (text.trim().parse())
            .map_err(|_| ApiError::field(name, "must be the number of a version"))?,
    };
    let newer = read(&app, caller, id, version).await?;
    // Before the first version there was nothing.
    let older = match against {
        0 => Value::Object(serde_json::Map::new()),
        _ => read(&app, caller, id, against).await?.body,
    };
    Ok(Json(Compared {
        version,
        against,
        differences: diff(&older, &newer.body),
    }))
}

/// Makes an old version the current one.
///
/// As a new version: nothing of what came between is lost.
#[utoipa::path(post, path = "/v2/agent/{agent_id}/versions/{version}/restore", tag = "Agents",
    params(("agent_id" = uuid::Uuid, Path, description = "The agent"),
        ("version" = i64, Path, description = "The version")),
    responses((status = 200, description = "Restored", body = Written), Problems))]
async fn restore(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    Version(version): Version,
) -> Result<Json<Written>, ApiError> {
    let old = read(&app, caller, id, version).await?;
    let lacks = Agent::check(&old.body)?;
    let stored = app
        .store
        .replace_agent(caller.account, id, &old.body, None, now())
        .await
        .or_not_found(AgentId::NAME)?;
    Ok(Written::new(&stored, "updated", lacks))
}
