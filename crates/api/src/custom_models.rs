//! `POST /user/custom-model`: models behind addresses of the account's own, chosen by their names.
//! Source: api.md §15.

use axum::{Json, extract::State, routing::post};
use bolo_store::Kind;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, Problems, TooLarge},
    extract::{Caller, JsonBody},
    time::{iso, now},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .route("/user/model/custom", post(add).get(list))
}

/// A model that speaks OpenAI's chat completions.
#[derive(Deserialize, ToSchema)]
pub struct NewModel {
    #[schema(example = "Customer-care Model", pattern = r"\S")]
    custom_model_name: String,
    /// Its address, up to the version.
    #[schema(example = "https://custom.llm.model/v1", pattern = "^https?://")]
    custom_model_url: String,
}

/// Answer to a new model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Added {
    #[schema(example = "model added successfully")]
    message: &'static str,
    #[schema(example = "added")]
    status: &'static str,
}

/// Adds a model; the same name again replaces its address.
#[utoipa::path(post, path = "/user/custom-model", tag = "User", request_body = NewModel,
    responses((status = 200, description = "Added", body = Added), Problems, TooLarge))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    JsonBody(new): JsonBody<NewModel>,
) -> Result<Json<Added>, ApiError> {
    let name = new.custom_model_name.trim();
    if name.is_empty() {
        return Err(ApiError::field("custom_model_name", "must not be empty"));
    }
    let url = url::Url::parse(new.custom_model_url.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            ApiError::field("custom_model_url", "must begin with https:// or http://")
        })?;
    let body = json!({ "custom_model_name": name, "custom_model_url": url.as_str() });
    app.store
        .put_document(caller.account, Kind::Model, name, &body, now())
        .await?;
    Ok(Json(Added {
        message: "model added successfully",
        status: "added",
    }))
}

/// A model that was added.
#[derive(Debug, Serialize, ToSchema)]
pub struct CustomModel {
    #[schema(format = Uuid)]
    id: String,
    custom_model_name: String,
    custom_model_url: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// Lists the models that were added.
#[utoipa::path(get, path = "/user/custom-model", tag = "User",
    responses((status = 200, description = "All of them", body = Vec<CustomModel>), Problems))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<CustomModel>>, ApiError> {
    let all = app.store.documents(caller.account, Kind::Model).await?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let shown = all.iter().map(|model| CustomModel {
        id: model.id.to_string(),
        custom_model_name: text(&model.body["custom_model_name"]),
        custom_model_url: text(&model.body["custom_model_url"]),
        created_at: iso(model.created_at),
    });
    Ok(Json(shown.collect()))
}
