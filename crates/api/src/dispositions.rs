//! `/dispositions`: questions about each call, and the agents that ask them. Source: api.md §17.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use bolo_agent::{Agent, Disposition};
use bolo_execution::{AccountId, AgentId};
use bolo_store::{DispositionChange, Document, Draft, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    disposition_schemas::{DispositionBody, DispositionChangeBody, DispositionView},
    error::{ApiError, FieldError, Forbidden, OrNotFound, Problems, TooLarge, Unprocessable},
    extract::{Caller, DocumentId, Id, JsonBody, Params, PathId},
    paging::{Paging, PagingParams},
    time::{iso, now},
};

const NAME: &str = "Disposition";
const NOT_YOURS: ApiError = ApiError::Forbidden("Access denied: this is not your account's");

/// What a disposition may say, and what it says where it is silent.
const FIELDS: [(&str, &str); 10] = [
    ("name", "null"),
    ("question", "null"),
    ("system_prompt", "null"),
    ("category", "\"General\""),
    ("model", "\"gpt-4.1-mini\""),
    ("is_subjective", "false"),
    ("is_objective", "false"),
    ("subjective_type", "null"),
    ("subjective_type_config", "null"),
    ("objective_options", "null"),
];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(create_many))
        .routes(routes!(show, change, remove))
        .routes(routes!(test))
}

/// What stands in the answer to a write.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DispositionWritten)]
pub struct Written {
    #[schema(example = "Disposition updated successfully")]
    message: &'static str,
    #[schema(format = Uuid)]
    id: String,
}

fn view(document: &Document, agents: &[AgentId]) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("id".into(), document.id.to_string().into());
    for (key, default) in FIELDS {
        let value = document.body.get(key).filter(|value| !value.is_null());
        let silent = || serde_json::from_str(default).unwrap_or_default();
        view.insert(key.into(), value.cloned().unwrap_or_else(silent));
    }
    let agents: Vec<Value> = agents
        .iter()
        .map(|agent| agent.to_string().into())
        .collect();
    view.insert("agent_ids".into(), agents.into());
    view.insert("created_by".into(), document.account.to_string().into());
    view.insert("created_at".into(), iso(document.created_at).into());
    view.insert("updated_at".into(), iso(document.updated_at).into());
    view
}

/// The disposition as it is kept: what we know of it, checked. `at` is where it stands in the body.
fn draft(body: &Value, at: &str) -> Result<Draft, ApiError> {
    Disposition::parse(body).map_err(|faults| {
        let faults = faults.0.into_iter().map(|fault| {
            let path = match (at, fault.path.as_str()) {
                ("", path) => path.to_owned(),
                (at, "") => at.to_owned(),
                (at, path) => format!("{at}.{path}"),
            };
            FieldError::new(&path, fault.message)
        });
        ApiError::Unprocessable(faults.collect())
    })?;
    let known = FIELDS.iter().filter_map(|(key, _)| {
        let value = body.get(key)?;
        Some(((*key).to_owned(), value.clone()))
    });
    Ok(Draft {
        key: None,
        body: Value::Object(known.collect()),
    })
}

/// The agent, if it is this account's: 403 when it is another's.
async fn owned_agent(app: &App, account: AccountId, id: AgentId) -> Result<AgentId, ApiError> {
    match app
        .store
        .agent_owner(id)
        .await
        .or_not_found(AgentId::NAME)?
    {
        owner if owner == account => Ok(id),
        _ => Err(NOT_YOURS),
    }
}

/// 403 when the disposition is another account's, 404 when there is none.
async fn owned(app: &App, account: AccountId, id: Uuid) -> Result<(), ApiError> {
    match app.store.disposition_owner(id).await.or_not_found(NAME)? {
        owner if owner == account => Ok(()),
        _ => Err(NOT_YOURS),
    }
}

fn agent_id(field: &str, value: &Value) -> Result<AgentId, ApiError> {
    let id = value.as_str().and_then(|text| text.parse().ok());
    id.ok_or_else(|| ApiError::Unprocessable(vec![FieldError::new(field, "must be an agent's id")]))
}

/// `agent_id` and `agent_ids` together.
fn agents_of(body: &Map<String, Value>) -> Result<Vec<AgentId>, ApiError> {
    let mut agents = Vec::new();
    if let Some(one) = body.get("agent_id").filter(|one| !one.is_null()) {
        agents.push(agent_id("agent_id", one)?);
    }
    match body.get("agent_ids") {
        None | Some(Value::Null) => {}
        Some(Value::Array(many)) => {
            for (index, one) in many.iter().enumerate() {
                agents.push(agent_id(&format!("agent_ids[{index}]"), one)?);
            }
        }
        Some(_) => {
            let fault = FieldError::new("agent_ids", "must be a list of agents' ids");
            return Err(ApiError::Unprocessable(vec![fault]));
        }
    }
    agents.sort();
    agents.dedup();
    Ok(agents)
}

/// Lists the dispositions, newest first; those of one agent where one is named.
#[utoipa::path(get, path = "/dispositions", tag = "Dispositions",
    params(("agent_id" = Option<Uuid>, Query, description = "Only those that this agent asks"), PagingParams),
    responses((status = 200, description = "The dispositions", body = Vec<DispositionView>), Problems, Forbidden))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Map<String, Value>>>, ApiError> {
    let paging = Paging::read(&params)?;
    let found = match params.get(&["agent_id"]) {
        None => {
            app.store
                .documents(caller.account, Kind::Disposition)
                .await?
        }
        Some((_, text)) => {
            let id = text
                .parse()
                .map_err(|_| ApiError::NotFound(AgentId::NAME))?;
            let agent = owned_agent(&app, caller.account, id).await?;
            app.store.dispositions_of(caller.account, agent).await?
        }
    };
    let agents = app.store.disposition_agents(caller.account).await?;
    let shown = paging.cut(found);
    Ok(Json(
        shown
            .iter()
            .map(|one| view(one, linked(&agents, one)))
            .collect(),
    ))
}

fn linked<'a>(agents: &'a HashMap<Uuid, Vec<AgentId>>, of: &Document) -> &'a [AgentId] {
    agents.get(&of.id).map(Vec::as_slice).unwrap_or_default()
}

/// Creates a disposition, asked by the agents that are named.
#[utoipa::path(post, path = "/dispositions", tag = "Dispositions", request_body = DispositionBody,
    responses((status = 201, description = "Created", body = DispositionView), Problems, Forbidden,
        Unprocessable, TooLarge))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<Map<String, Value>>), ApiError> {
    let agents = agents_of(&body)?;
    let draft = draft(&Value::Object(body), "")?;
    for agent in &agents {
        owned_agent(&app, caller.account, *agent).await?;
    }
    let made = app
        .store
        .create_dispositions(caller.account, vec![draft], &agents, now())
        .await?;
    let mut shown = Map::new();
    shown.insert("message".into(), "Disposition created successfully".into());
    shown.extend(
        made.first()
            .map(|one| view(one, &agents))
            .unwrap_or_default(),
    );
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Several dispositions of one agent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct Many {
    #[schema(format = Uuid)]
    agent_id: String,
    /// At least one.
    #[schema(min_items = 1)]
    dispositions: Vec<DispositionBody>,
}

/// Answer to several.
#[derive(Debug, Serialize, ToSchema)]
pub struct ManyMade {
    #[schema(example = "Dispositions created successfully")]
    message: &'static str,
    /// In the order in which they came.
    #[schema(value_type = Vec<Uuid>)]
    ids: Vec<String>,
}

/// Creates several dispositions of one agent: all or none.
#[utoipa::path(post, path = "/dispositions/bulk", tag = "Dispositions", request_body = Many,
    responses((status = 201, description = "Created", body = ManyMade), Problems, Forbidden, Unprocessable,
        TooLarge))]
async fn create_many(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<ManyMade>), ApiError> {
    let fault = |field, text| ApiError::Unprocessable(vec![FieldError::new(field, text)]);
    let agent = body
        .get("agent_id")
        .ok_or_else(|| fault("agent_id", "field required"))?;
    let agent = agent_id("agent_id", agent)?;
    let items = body.get("dispositions").and_then(Value::as_array);
    let items = items.filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| fault("dispositions", "must be a list of at least one"))?;
    let drafts = items
        .iter()
        .enumerate()
        .map(|(index, item)| draft(item, &format!("dispositions[{index}]")))
        .collect::<Result<_, _>>()?;
    let agent = owned_agent(&app, caller.account, agent).await?;
    let made = app
        .store
        .create_dispositions(caller.account, drafts, &[agent], now())
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(ManyMade {
            message: "Dispositions created successfully",
            ids: made.iter().map(|one| one.id.to_string()).collect(),
        }),
    ))
}

/// Shows a disposition.
#[utoipa::path(get, path = "/dispositions/{disposition_id}", tag = "Dispositions",
    params(("disposition_id" = Uuid, Path, description = "The disposition"),
        ("agent_id" = Option<Uuid>, Query, description = "Only if this agent asks it")),
    responses((status = 200, description = "The disposition", body = DispositionView), Problems, Forbidden))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
    params: Params,
) -> Result<Json<Map<String, Value>>, ApiError> {
    owned(&app, caller.account, id).await?;
    let found = app
        .store
        .document(caller.account, Kind::Disposition, id)
        .await
        .or_not_found(NAME)?;
    let agents = app.store.disposition_agents(caller.account).await?;
    let agents = linked(&agents, &found);
    if let Some((_, text)) = params.get(&["agent_id"]) {
        let agent = text
            .parse()
            .map_err(|_| ApiError::NotFound(AgentId::NAME))?;
        let agent = owned_agent(&app, caller.account, agent).await?;
        if !agents.contains(&agent) {
            return Err(ApiError::NotFound(NAME));
        }
    }
    Ok(Json(view(&found, agents)))
}

/// Changes a disposition; absent fields stay as they are.
///
/// With `agent_id` it changes for this agent only: where other agents ask it too, the agent gets a copy of
/// its own (201).
#[utoipa::path(put, path = "/dispositions/{disposition_id}", tag = "Dispositions",
    request_body = DispositionChangeBody,
    params(("disposition_id" = Uuid, Path, description = "The disposition")),
    responses((status = 200, description = "Changed", body = Written),
        (status = 201, description = "Copied for the agent", body = Written), Problems, Forbidden, Unprocessable,
        TooLarge))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<Written>), ApiError> {
    owned(&app, caller.account, id).await?;
    let agent = match body.get("agent_id").filter(|agent| !agent.is_null()) {
        None => None,
        Some(agent) => Some(owned_agent(&app, caller.account, agent_id("agent_id", agent)?).await?),
    };
    let known = |key: &String| FIELDS.iter().any(|(field, _)| field == key);
    let fields: Map<String, Value> = body.into_iter().filter(|(key, _)| known(key)).collect();
    if fields.is_empty() {
        return Err(ApiError::field("", "no field that can be changed"));
    }
    let merged = |mut body: Value| {
        if let Some(kept) = body.as_object_mut() {
            kept.extend(fields);
        }
        draft(&body, "")
    };
    let outcome = app
        .store
        .change_disposition(caller.account, id, agent, now(), merged)
        .await
        .map_err(|error: ApiError| error.naming(NAME))?;
    let (status, message, document) = match outcome {
        DispositionChange::Changed(document) => {
            (StatusCode::OK, "Disposition updated successfully", document)
        }
        DispositionChange::Copied(copy) => (
            StatusCode::CREATED,
            "Disposition copy created and linked to agent",
            copy,
        ),
    };
    let id = document.id.to_string();
    Ok((status, Json(Written { message, id })))
}

/// Deletes a disposition; no agent asks it any more, results of former calls stay.
#[utoipa::path(delete, path = "/dispositions/{disposition_id}", tag = "Dispositions",
    params(("disposition_id" = Uuid, Path, description = "The disposition")),
    responses((status = 200, description = "Deleted", body = Written), Problems, Forbidden))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<Written>, ApiError> {
    owned(&app, caller.account, id).await?;
    app.store
        .remove_disposition(caller.account, id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Written {
        message: "Disposition deleted successfully",
        id: id.to_string(),
    }))
}

/// A transcript to try an agent's dispositions on.
#[derive(Deserialize, ToSchema)]
pub struct Trial {
    /// At most 50,000 characters.
    #[schema(min_length = 1, max_length = 50_000)]
    transcript: String,
    /// When the call was, ISO 8601.
    call_date: Option<String>,
}

/// Answers by category and disposition.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialResult {
    #[schema(value_type = Object, example = json!({"Lead Quality": {"Call Outcome": {
        "subjective": "Asked for prices", "objective": "interested", "confidence": 0.9, "confidence_label": "High",
        "reasoning_subjective": null, "reasoning_objective": null, "validation": null}}}))]
    extracted_data: Value,
}

/// Asks an agent's dispositions of a transcript.
#[utoipa::path(post, path = "/v2/agent/{agent_id}/dispositions/test", tag = "Dispositions", request_body = Trial,
    params(("agent_id" = Uuid, Path, description = "The agent")),
    responses((status = 200, description = "What the models answer", body = TrialResult), Problems, Forbidden,
        Unprocessable, TooLarge))]
async fn test(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<AgentId>,
    JsonBody(trial): JsonBody<Trial>,
) -> Result<Json<TrialResult>, ApiError> {
    const LONGEST: usize = 50_000;
    let length = trial.transcript.chars().count();
    if length == 0 || length > LONGEST {
        let fault = format!("must have 1 to {LONGEST} characters");
        return Err(ApiError::Unprocessable(vec![FieldError::new(
            "transcript",
            fault,
        )]));
    }
    let id = owned_agent(&app, caller.account, id).await?;
    let stored = app
        .store
        .agent(caller.account, id)
        .await
        .or_not_found(AgentId::NAME)?;
    let agent = Agent::parse(&stored.body)?;
    let documents = app.store.dispositions_of(caller.account, id).await?;
    let dispositions: Vec<Disposition> = documents
        .iter()
        .map(|document| Disposition::parse(&document.body))
        .collect::<Result<_, _>>()?;
    let extracted_data = app
        .calls
        .ask_dispositions(
            caller.account,
            &agent,
            &dispositions,
            &trial.transcript,
            trial.call_date.as_deref(),
        )
        .await?;
    Ok(Json(TrialResult { extracted_data }))
}
