//! `GET /user/me`. Source: api.md §15.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems},
    extract::Caller,
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me))
}

/// The account of the key.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Its name.
    #[schema(example = "Bruce Wayne")]
    name: String,
    /// Where its owner can be reached.
    #[schema(example = "bruce@example.com")]
    email: String,
    /// Cents.
    #[schema(example = 42.42)]
    wallet: f64,
    /// Outbound calls at once.
    concurrency: Concurrency,
}

/// Outbound calls at once.
#[derive(Debug, Serialize, ToSchema)]
pub struct Concurrency {
    /// Allowed.
    #[schema(example = 10)]
    max: i64,
    /// In flight now.
    #[schema(example = 7)]
    current: i64,
}

/// Shows the account of the key.
#[utoipa::path(get, path = "/user/me", tag = "User",
    responses((status = 200, description = "The account", body = User), Problems))]
async fn me(State(app): State<App>, caller: Caller) -> Result<Json<User>, ApiError> {
    let account = app
        .store
        .account(caller.account)
        .await
        .or_not_found("User")?;
    let current = app.store.live_calls(caller.account).await?;
    Ok(Json(User {
        id: account.id.to_string(),
        name: account.title.unwrap_or(account.name),
        email: account.email,
        wallet: account.wallet,
        concurrency: Concurrency {
            max: account.concurrency,
            current,
        },
    }))
}
