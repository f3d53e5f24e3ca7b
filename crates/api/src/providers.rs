//! `/providers`: keys of vendors and carriers, encrypted in the store, never shown again. Source: api.md §13.

use axum::{
    Json,
    extract::{Path, State},
    routing::{delete, post},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, JsonBody, Params},
    paging::{Paging, PagingParams},
    time::{humanized, iso, now},
};

const NAME_LIMIT: usize = 200;
const VALUE_LIMIT: usize = 16 * 1024;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(remove))
        .route("/provider", post(add).get(list))
        .route("/provider/{provider_id}", delete(remove))
}

/// A key to keep.
#[derive(Deserialize, ToSchema)]
pub struct NewProvider {
    /// `OPENAI_API_KEY`, `DEEPGRAM_API_KEY`, `TWILIO_AUTH_TOKEN`, …; `_API_KEY` may be left out.
    #[schema(example = "OPENAI_API_KEY", pattern = r"\S", max_length = 200)]
    provider_name: String,
    /// The key itself.
    #[schema(value_type = String, pattern = r"\S", max_length = 16_384)]
    provider_value: SecretString,
}

/// Answer to a change of the keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderDone)]
pub struct Done {
    /// `successful`.
    #[schema(example = "successful")]
    message: &'static str,
    /// `added` or `removed`.
    #[schema(example = "added")]
    status: &'static str,
}

/// Stores a key of a vendor or carrier; the same name again overwrites.
#[utoipa::path(post, path = "/providers", tag = "Providers", request_body = NewProvider,
    responses((status = 200, description = "Stored", body = Done), Problems, TooLarge))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    JsonBody(new): JsonBody<NewProvider>,
) -> Result<Json<Done>, ApiError> {
    let (name, value) = (
        new.provider_name.trim(),
        new.provider_value.expose_secret().trim(),
    );
    for (field, text, limit) in [
        ("provider_name", name, NAME_LIMIT),
        ("provider_value", value, VALUE_LIMIT),
    ] {
        if text.is_empty() {
            return Err(ApiError::field(field, "must not be empty"));
        }
        if text.chars().count() > limit {
            return Err(ApiError::field(
                field,
                format!("must not be longer than {limit} characters"),
            ));
        }
    }
    app.store
        .set_provider_key(caller.account, name, &SecretString::from(value), now())
        .await?;
    Ok(Json(Done {
        message: "successful",
        status: "added",
    }))
}

/// A stored key, its value masked.
#[derive(Debug, Serialize, ToSchema)]
pub struct Provider {
    /// Its id.
    #[schema(format = Uuid)]
    provider_id: String,
    /// As it was given.
    #[schema(example = "OPENAI_API_KEY")]
    provider_name: String,
    /// The last two characters.
    #[schema(example = "xxxxxxxaz")]
    provider_value: String,
    /// How long ago it was stored, in words.
    #[schema(example = "7 hours ago")]
    humanized_created_at: String,
    /// When it was stored.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Lists the stored keys, their values masked.
#[utoipa::path(get, path = "/providers", tag = "Providers", params(PagingParams),
    responses((status = 200, description = "All keys, or the page asked for", body = Vec<Provider>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Provider>>, ApiError> {
    let paging = Paging::read(&params)?;
    let now = now();
    let keys = app.store.provider_keys(caller.account).await?;
    let shown = paging.cut(keys).into_iter().map(|key| Provider {
        provider_id: key.id.to_string(),
        provider_name: key.name,
        provider_value: format!("xxxxxxx{}", key.tail),
        humanized_created_at: humanized(key.created_at, now),
        created_at: iso(key.created_at),
    });
    Ok(Json(shown.collect()))
}

/// Removes a stored key, by its id or its name.
#[utoipa::path(delete, path = "/providers/{provider_id}", tag = "Providers",
    params(("provider_id" = String, Path, description = "Id or name, in either spelling")),
    responses((status = 200, description = "Removed", body = Done), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id_or_name): Path<String>,
) -> Result<Json<Done>, ApiError> {
    app.store
        .remove_provider_key(caller.account, &id_or_name)
        .await
        .or_not_found("Provider")?;
    Ok(Json(Done {
        message: "successful",
        status: "removed",
    }))
}
