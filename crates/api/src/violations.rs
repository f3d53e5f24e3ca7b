//! `/violations`: calls that broke a rule, raised by the operator (`bolo violation`), answered by the account
//! with evidence. Source: api.md §19.

use axum::{
    Json,
    extract::{FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::StatusCode,
};
use bolo_execution::AgentId;
use bolo_store::{Document, Draft, Kind};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, Params},
    paging::{Paging, PagingParams},
    time::{iso, now},
};

const NAME: &str = "Violation";
const LONGEST_COMMENT: usize = 10_000;

/// What the operator and other clients call a status.
const STATUSES: [(&str, &str); 7] = [
    ("pending", "pending"),
    ("open", "pending"),
    ("submitted", "submitted"),
    ("under_review", "submitted"),
    ("accepted", "accepted"),
    ("resolved", "accepted"),
    ("rejected", "rejected"),
];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(submit))
}

/// A call that broke a rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct Violation {
    #[schema(format = Uuid)]
    id: String,
    from_phone_number: Value,
    to_phone_number: Value,
    #[schema(format = DateTime)]
    date_of_call: Option<String>,
    /// `pending`, `submitted`, `accepted`, `rejected`.
    #[schema(value_type = String, example = "pending")]
    status: Value,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = Uuid)]
    user_id: String,
    #[schema(value_type = Uuid)]
    agent_id: Value,
    #[schema(value_type = Uuid)]
    execution_id: Value,
    /// Where the evidence is kept, once it was submitted.
    #[schema(value_type = Option<String>)]
    image_url: Value,
    #[schema(value_type = Option<String>)]
    email: Value,
}

impl From<&Document> for Violation {
    fn from(of: &Document) -> Self {
        let field = |name: &str| of.body.get(name).cloned().unwrap_or_default();
        Self {
            id: of.id.to_string(),
            from_phone_number: field("from_phone_number"),
            to_phone_number: field("to_phone_number"),
            date_of_call: of.body["date_of_call"].as_i64().map(iso),
            status: field("status"),
            created_at: iso(of.created_at),
            updated_at: iso(of.updated_at),
            user_id: of.account.to_string(),
            agent_id: field("agent_id"),
            execution_id: field("execution_id"),
            image_url: field("image_url"),
            email: field("email"),
        }
    }
}

/// Where violations stand, in either spelling.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "read by the derive only")]
enum Status {
    Pending,
    Open,
    Submitted,
    UnderReview,
    Accepted,
    Resolved,
    Rejected,
}

/// A page of violations.
#[derive(Debug, Serialize, ToSchema)]
pub struct Violations {
    total: usize,
    limit: i64,
    offset: i64,
    has_more: bool,
    page_number: i64,
    page: i64,
    page_size: i64,
    data: Vec<Violation>,
}

/// Lists violations, newest first.
#[utoipa::path(get, path = "/violations/list", tag = "Violations",
    params(("status" = inline(Option<Status>), Query,
            description = "`open` is `pending`, `under_review` is `submitted`, `resolved` is `accepted`"),
        ("agent_id" = Option<Uuid>, Query, description = "Of this agent's calls"), PagingParams),
    responses((status = 200, description = "A page of them", body = Violations), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Violations>, ApiError> {
    let paging = Paging {
        asked: true,
        ..Paging::read(&params)?
    };
    let status = match params.get(&["status"]) {
        None => None,
        Some((_, text)) => {
            let known = STATUSES.iter().find(|(name, _)| *name == text);
            let fault =
                || ApiError::field("status", "must be pending, submitted, accepted or rejected");
            Some(known.ok_or_else(fault)?.1)
        }
    };
    let fault = || ApiError::field("agent_id", "must be an agent's id");
    let agent: Option<AgentId> = match params.get(&["agent_id"]) {
        None => None,
        Some((_, text)) => Some(text.parse().map_err(|_| fault())?),
    };
    let mut all = app.store.documents(caller.account, Kind::Violation).await?;
    all.retain(|one| {
        status.is_none_or(|status| one.body["status"] == status)
            && agent.is_none_or(|agent| one.body["agent_id"] == agent.to_string())
    });
    let total = all.len();
    let offset = (paging.number - 1).saturating_mul(paging.size);
    let data: Vec<Violation> = paging.cut(all).iter().map(Violation::from).collect();
    let shown = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .saturating_add(data.len());
    Ok(Json(Violations {
        total,
        limit: paging.size,
        offset,
        has_more: shown < total,
        page_number: paging.number,
        page: paging.number,
        page_size: paging.size,
        data,
    }))
}

/// The form, for the OpenAPI document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct Evidence {
    violation_id: Uuid,
    /// Also as `file`.
    #[schema(value_type = String, format = Binary)]
    violation_file: Vec<u8>,
    comment: Option<String>,
}

/// Answer to a submission.
#[derive(Debug, Serialize, ToSchema)]
pub struct Submitted {
    #[schema(example = "success")]
    message: &'static str,
    #[schema(example = "submitted")]
    state: &'static str,
}

/// Submits evidence for a violation.
#[utoipa::path(post, path = "/violations/submit", tag = "Violations",
    request_body(content = Evidence, content_type = "multipart/form-data"),
    responses((status = 200, description = "Submitted", body = Submitted), Problems, TooLarge))]
async fn submit(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Json<Submitted>, ApiError> {
    let limit = app.settings.max_body_bytes;
    let broken = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(limit),
        _ => ApiError::field("", "the form could not be read to its end"),
    };
    let mut parts = Multipart::from_request(request, &app)
        .await
        .map_err(|_| ApiError::field("", "must be a form (multipart/form-data)"))?;
    let (mut id, mut file, mut comment) = (None, None, None);
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default() {
            "violation_id" => id = Some(field.text().await.map_err(broken)?),
            "violation_file" | "file" => {
                let name = field.file_name().unwrap_or("evidence").to_owned();
                file = Some((name, field.bytes().await.map_err(broken)?));
            }
            "comment" => comment = Some(field.text().await.map_err(broken)?),
            _ => {}
        }
    }
    let id = id.ok_or_else(|| ApiError::field("violation_id", "field required"))?;
    let id = Uuid::try_parse(id.trim().trim_matches('"')).map_err(|_| ApiError::NotFound(NAME))?;
    let (name, bytes) = file.ok_or_else(|| ApiError::field("violation_file", "field required"))?;
    if comment
        .as_ref()
        .is_some_and(|text| text.len() > LONGEST_COMMENT)
    {
        let fault = format!("must not be longer than {LONGEST_COMMENT} bytes");
        return Err(ApiError::field("comment", fault));
    }
    let found = app
        .store
        .document(caller.account, Kind::Violation, id)
        .await
        .or_not_found(NAME)?;
    if !["pending", "submitted"]
        .iter()
        .any(|open| found.body["status"] == *open)
    {
        return Err(ApiError::NotPossible(
            "The violation is decided already".to_owned(),
        ));
    }
    let place = app
        .store
        .recordings()
        .keep_evidence(caller.account, id, &name, bytes)
        .await?;
    let submitted = |mut body: Value| {
        if let Some(fields) = body.as_object_mut() {
            fields.extend(Map::from_iter([
                ("status".to_owned(), "submitted".into()),
                ("image_url".to_owned(), place.into()),
                ("comment".to_owned(), comment.into()),
            ]));
        }
        Ok::<_, ApiError>(Draft { key: None, body })
    };
    app.store
        .change_document(caller.account, Kind::Violation, id, now(), submitted)
        .await?;
    Ok(Json(Submitted {
        message: "success",
        state: "submitted",
    }))
}
