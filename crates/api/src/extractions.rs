//! `/extractions`: templates of what to extract from transcripts. Written by an account's own keys, read by
//! those of its sub-accounts too. Source: api.md §16.

use axum::{Json, extract::State, http::StatusCode};
use bolo_agent::ExtractionTemplate;
use bolo_store::{Document, Draft, Kind};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, Forbidden, OrNotFound, Problems, TooLarge},
    extract::{Caller, DocumentId, Id, JsonBody, Owner},
    time::{iso, now},
};

const NAME: &str = "Template";

/// What a template may say, and what it says where it is silent.
const FIELDS: [(&str, Field); 8] = [
    ("name", Field::Null),
    ("json_schema", Field::Null),
    ("instructions", Field::Null),
    ("model", Field::Text("gpt-4.1-mini")),
    ("inputs", Field::Null),
    ("keys", Field::Null),
    ("display", Field::Flag(true)),
    ("supports_custom_questions", Field::Flag(false)),
];

enum Field {
    Null,
    Text(&'static str),
    Flag(bool),
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, replace, remove))
}

/// A template to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct NewTemplate {
    #[schema(example = "Lead Qualification", pattern = r"\S")]
    name: String,
    /// JSON Schema of what is extracted.
    #[schema(value_type = Object, example = json!({"type": "object", "properties": {"lead_quality": {"type": "string"}}}))]
    json_schema: Value,
    /// For the model.
    instructions: Option<String>,
    #[schema(default = "gpt-4.1-mini")]
    model: Option<String>,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    keys: Option<Value>,
    #[schema(default = true)]
    display: Option<bool>,
    #[schema(default = false)]
    supports_custom_questions: Option<bool>,
}

/// What to change of a template; absent leaves as is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct TemplateChange {
    #[schema(value_type = String, required = false, pattern = r"\S")]
    name: Option<String>,
    #[schema(value_type = Object, required = false)]
    json_schema: Option<Value>,
    instructions: Option<String>,
    model: Option<String>,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    keys: Option<Value>,
    display: Option<bool>,
    supports_custom_questions: Option<bool>,
}

/// A template.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct Template {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    #[schema(value_type = Object)]
    json_schema: Value,
    instructions: Option<String>,
    model: String,
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
    #[schema(value_type = Option<Object>)]
    keys: Option<Value>,
    display: bool,
    supports_custom_questions: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// One template.
#[derive(Debug, Serialize, ToSchema)]
pub struct One {
    #[schema(value_type = Template)]
    data: Value,
}

/// All templates.
#[derive(Debug, Serialize, ToSchema)]
pub struct All {
    #[schema(value_type = Vec<Template>)]
    data: Vec<Value>,
}

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateGone)]
pub struct Gone {
    #[schema(example = "Template deleted successfully")]
    message: &'static str,
}

fn view(document: &Document) -> Value {
    let mut view = Map::new();
    view.insert("id".into(), document.id.to_string().into());
    for (key, default) in FIELDS {
        let value = document.body.get(key).filter(|value| !value.is_null());
        let value = value.cloned().unwrap_or_else(|| match default {
            Field::Null => Value::Null,
            Field::Text(text) => text.into(),
            Field::Flag(flag) => flag.into(),
        });
        view.insert(key.into(), value);
    }
    view.insert("created_at".into(), iso(document.created_at).into());
    view.insert("updated_at".into(), iso(document.updated_at).into());
    view.into()
}

/// The template as it is kept: what we know of it, checked.
fn draft(body: &Value) -> Result<Draft, ApiError> {
    ExtractionTemplate::parse(body)?;
    let known = FIELDS.iter().filter_map(|(key, _)| {
        let value = body.get(key)?;
        Some(((*key).to_owned(), value.clone()))
    });
    Ok(Draft {
        key: None,
        body: Value::Object(known.collect()),
    })
}

/// Lists the templates, newest first.
#[utoipa::path(get, path = "/extractions", tag = "Extractions",
    responses((status = 200, description = "All templates", body = All), Problems))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<All>, ApiError> {
    let all = app
        .store
        .documents(caller.organization(), Kind::Extraction)
        .await?;
    Ok(Json(All {
        data: all.iter().map(view).collect(),
    }))
}

/// Creates a template.
#[utoipa::path(post, path = "/extractions", tag = "Extractions", request_body = NewTemplate,
    responses((status = 201, description = "Created", body = One), Problems, Forbidden, TooLarge))]
async fn create(
    State(app): State<App>,
    owner: Owner,
    JsonBody(body): JsonBody<Value>,
) -> Result<(StatusCode, Json<One>), ApiError> {
    let made = app
        .store
        .create_document(owner.account, Kind::Extraction, draft(&body)?, now())
        .await?;
    Ok((StatusCode::CREATED, Json(One { data: view(&made) })))
}

/// Shows a template.
#[utoipa::path(get, path = "/extractions/{template_id}", tag = "Extractions",
    params(("template_id" = uuid::Uuid, Path, description = "The template")),
    responses((status = 200, description = "The template", body = One), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<One>, ApiError> {
    let found = app
        .store
        .document(caller.organization(), Kind::Extraction, id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(One { data: view(&found) }))
}

/// Changes a template; absent fields stay as they are.
#[utoipa::path(put, path = "/extractions/{template_id}", tag = "Extractions", request_body = TemplateChange,
    params(("template_id" = uuid::Uuid, Path, description = "The template")),
    responses((status = 200, description = "Changed", body = One), Problems, Forbidden, TooLarge))]
async fn replace(
    State(app): State<App>,
    owner: Owner,
    Id(DocumentId(id)): Id<DocumentId>,
    JsonBody(change): JsonBody<Map<String, Value>>,
) -> Result<Json<One>, ApiError> {
    let merged = |mut body: Value| {
        if let Some(fields) = body.as_object_mut() {
            fields.extend(change);
        }
        draft(&body)
    };
    let changed = app
        .store
        .change_document(owner.account, Kind::Extraction, id, now(), merged)
        .await
        .map_err(|error| error.naming(NAME))?;
    Ok(Json(One {
        data: view(&changed),
    }))
}

/// Deletes a template.
#[utoipa::path(delete, path = "/extractions/{template_id}", tag = "Extractions",
    params(("template_id" = uuid::Uuid, Path, description = "The template")),
    responses((status = 200, description = "Deleted", body = Gone), Problems, Forbidden))]
async fn remove(
    State(app): State<App>,
    owner: Owner,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<Gone>, ApiError> {
    app.store
        .remove_document(owner.account, Kind::Extraction, id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Gone {
        message: "Template deleted successfully",
    }))
}
