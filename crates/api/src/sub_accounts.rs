//! `/sub-accounts`: tenants below an account, for its key only. Source: api.md §14.

use axum::{
    Json,
    extract::State,
    routing::{get, post},
};
use bolo_execution::AccountId;
use bolo_store::{NewSubAccount, SubAccount, SubAccountPatch};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, Forbidden, OrNotFound, Problems, TooLarge},
    extract::{Id, JsonBody, Owner, Params, PathId, present},
    paging::{Paging, PagingParams},
    sub_account_usage,
    time::{iso, now},
    values::{Whole, only_false, only_null},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(change, remove))
        .route("/sub-accounts/create", post(create))
        .route("/sub-accounts/all", get(list))
        .merge(sub_account_usage::routes())
}

/// A sub-account to be.
#[derive(Deserialize, ToSchema)]
pub struct NewSubAccountBody {
    /// What it is called.
    #[schema(example = "alpha-007", pattern = r"\S", max_length = 200)]
    name: String,
    /// Its outbound calls at once; absent = as many as the account has.
    #[schema(value_type = Option<i64>, example = 10, minimum = 0)]
    allow_concurrent_calls: Option<Whole>,
    /// Lines of the account that are kept free for it.
    #[schema(value_type = Option<i64>, minimum = 0, default = 0)]
    min_concurrency: Option<Whole>,
    /// `null` = elastic, up to `allow_concurrent_calls`; 0 = paused.
    #[schema(value_type = Option<i64>, minimum = 0)]
    max_concurrency: Option<Whole>,
    /// Kept and shown.
    description: Option<String>,
    /// Kept and shown.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// Only `false`: all sub-accounts share the server's database.
    #[schema(schema_with = only_false)]
    multi_tenant: Option<bool>,
    #[schema(schema_with = only_null)]
    db_host: Option<Value>,
    #[schema(schema_with = only_null)]
    db_name: Option<Value>,
    #[schema(schema_with = only_null)]
    db_port: Option<Value>,
    #[schema(schema_with = only_null)]
    db_user: Option<Value>,
    #[schema(schema_with = only_null)]
    db_password: Option<Value>,
}

impl NewSubAccountBody {
    fn checked(self) -> Result<NewSubAccount, ApiError> {
        const ONE_DATABASE: &str = "sub-accounts share the server's database";
        if self.multi_tenant == Some(true) {
            return Err(ApiError::field("multi_tenant", ONE_DATABASE));
        }
        let databases = [
            ("db_host", &self.db_host),
            ("db_name", &self.db_name),
            ("db_port", &self.db_port),
            ("db_user", &self.db_user),
            ("db_password", &self.db_password),
        ];
        if let Some((field, _)) = databases.iter().find(|(_, value)| value.is_some()) {
            return Err(ApiError::field(field, ONE_DATABASE));
        }
        Ok(NewSubAccount {
            title: named(&self.name)?,
            concurrency: calls("allow_concurrent_calls", self.allow_concurrent_calls)?,
            min_concurrency: calls("min_concurrency", self.min_concurrency)?.unwrap_or_default(),
            max_concurrency: calls("max_concurrency", self.max_concurrency)?,
            details: details(self.description, self.metadata),
        })
    }
}

/// How many calls a field says.
fn calls(field: &str, number: Option<Whole>) -> Result<Option<i64>, ApiError> {
    match number {
        Some(Whole(..0)) => Err(ApiError::field(field, "must not be negative")),
        number => Ok(number.map(|Whole(calls)| calls)),
    }
}

fn named(name: &str) -> Result<String, ApiError> {
    const LIMIT: usize = 200;
    match name.trim() {
        "" => Err(ApiError::field("name", "must not be empty")),
        name if name.chars().count() > LIMIT => Err(ApiError::field(
            "name",
            format!("must not be longer than {LIMIT} characters"),
        )),
        name => Ok(name.to_owned()),
    }
}

fn details(
    description: Option<String>,
    metadata: Option<Map<String, Value>>,
) -> Map<String, Value> {
    let description = description.map(|text| ("description".to_owned(), text.into()));
    let metadata = metadata.map(|map| ("metadata".to_owned(), map.into()));
    description.into_iter().chain(metadata).collect()
}

/// A sub-account.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubAccountView {
    #[schema(format = Uuid)]
    id: String,
    #[schema(example = "alpha-007")]
    name: String,
    /// The account it belongs to.
    #[schema(format = Uuid)]
    user_id: String,
    /// The same.
    #[schema(format = Uuid)]
    organization_id: String,
    /// Opens what is the sub-account's, and nothing else.
    #[schema(example = "sa-b33f4fbf011d4661a273a46b11d185f8")]
    api_key: String,
    #[schema(example = false)]
    multi_tenant: bool,
    db_host: Option<String>,
    db_name: Option<String>,
    db_port: Option<String>,
    db_user: Option<String>,
    db_password: Option<String>,
    /// Its outbound calls at once.
    #[schema(example = 10)]
    allow_concurrent_calls: i64,
    /// Lines of the account that are kept free for it.
    min_concurrency: i64,
    /// `null` = elastic, 0 = paused.
    max_concurrency: Option<i64>,
    description: Option<String>,
    #[schema(value_type = Object)]
    metadata: Value,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl SubAccountView {
    /// `masked`: only the key's last two characters.
    fn new(of: &SubAccount, owner: Owner, masked: bool) -> Self {
        let key = of.key.expose_secret();
        let shown = &key[key.len().saturating_sub(2)..];
        let detail = |name: &str| of.details.get(name).cloned();
        Self {
            id: of.account.id.to_string(),
            name: of.account.title.clone().unwrap_or_default(),
            user_id: owner.account.to_string(),
            organization_id: owner.account.to_string(),
            api_key: if masked {
                format!("xxxxxxx{shown}")
            } else {
                key.to_owned()
            },
            multi_tenant: false,
            db_host: None,
            db_name: None,
            db_port: None,
            db_user: None,
            db_password: None,
            allow_concurrent_calls: of.account.concurrency,
            min_concurrency: of.account.min_concurrency,
            max_concurrency: of.account.max_concurrency,
            description: detail("description").and_then(|text| Some(text.as_str()?.to_owned())),
            metadata: detail("metadata").unwrap_or_else(|| Map::new().into()),
            created_at: iso(of.account.created_at),
            updated_at: iso(of.updated_at),
        }
    }
}

/// Creates a sub-account.
///
/// Its key opens its own agents, calls and vendor keys and nothing else. Also as
/// `POST /sub-accounts/create`.
#[utoipa::path(post, path = "/sub-accounts", tag = "Sub-accounts", request_body = NewSubAccountBody,
    responses((status = 200, description = "Created", body = SubAccountView), Problems, Forbidden, TooLarge))]
async fn create(
    State(app): State<App>,
    owner: Owner,
    JsonBody(new): JsonBody<NewSubAccountBody>,
) -> Result<Json<SubAccountView>, ApiError> {
    let created = app
        .store
        .create_sub_account(owner.account, new.checked()?, now())
        .await
        .map_err(too_many)?;
    Ok(Json(SubAccountView::new(&created, owner, false)))
}

/// Lists the sub-accounts, newest first.
///
/// Also as `GET /sub-accounts/all`. Their keys are masked where the server is set so.
#[utoipa::path(get, path = "/sub-accounts", tag = "Sub-accounts", params(PagingParams),
    responses((status = 200, description = "All, or the page asked for", body = Vec<SubAccountView>),
        Problems, Forbidden))]
async fn list(
    State(app): State<App>,
    owner: Owner,
    params: Params,
) -> Result<Json<Vec<SubAccountView>>, ApiError> {
    let paging = Paging::read(&params)?;
    let masked = app.settings.mask_sub_account_keys;
    let all = app.store.sub_accounts(owner.account).await?;
    let shown = paging.cut(all);
    Ok(Json(
        shown
            .iter()
            .map(|of| SubAccountView::new(of, owner, masked))
            .collect(),
    ))
}

/// What to change; absent leaves as is.
#[derive(Deserialize, ToSchema)]
pub struct SubAccountChange {
    #[schema(pattern = r"\S", max_length = 200)]
    name: Option<String>,
    #[schema(value_type = Option<i64>, minimum = 0)]
    allow_concurrent_calls: Option<Whole>,
    #[schema(value_type = Option<i64>, minimum = 0)]
    min_concurrency: Option<Whole>,
    /// `null` = elastic, 0 = paused.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 0)]
    max_concurrency: Option<Option<Whole>>,
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Answer to a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubAccountDone)]
pub struct Done {
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// `updated` or `deleted`.
    #[schema(example = "updated")]
    state: &'static str,
}

/// Changes a sub-account.
#[utoipa::path(patch, path = "/sub-accounts/{sub_account_id}", tag = "Sub-accounts",
    request_body = SubAccountChange,
    params(("sub_account_id" = uuid::Uuid, Path, description = "The sub-account")),
    responses((status = 200, description = "Changed", body = Done), Problems, Forbidden, TooLarge))]
async fn change(
    State(app): State<App>,
    owner: Owner,
    Id(id): Id<AccountId>,
    JsonBody(change): JsonBody<SubAccountChange>,
) -> Result<Json<Done>, ApiError> {
    let max_concurrency = change.max_concurrency;
    let max_concurrency = max_concurrency.map(|most| calls("max_concurrency", most));
    let patch = SubAccountPatch {
        title: change.name.as_deref().map(named).transpose()?,
        concurrency: calls("allow_concurrent_calls", change.allow_concurrent_calls)?,
        min_concurrency: calls("min_concurrency", change.min_concurrency)?,
        max_concurrency: max_concurrency.transpose()?,
        details: details(change.description, change.metadata),
    };
    let empty = patch.title.is_none()
        && patch.concurrency.is_none()
        && patch.min_concurrency.is_none()
        && patch.max_concurrency.is_none()
        && patch.details.is_empty();
    if empty {
        return Err(ApiError::field("", "no field that can be changed"));
    }
    app.store
        .change_sub_account(owner.account, id, patch, now())
        .await
        .map_err(too_many)
        .map(|()| {
            Json(Done {
                message: "success",
                state: "updated",
            })
        })
}

/// Deletes a sub-account with all that is its own.
///
/// Its key opens nothing any more, its calls are stopped and hung up. Its agents, executions and recordings
/// are removed within minutes: calls that are hung up still need their rows.
#[utoipa::path(delete, path = "/sub-accounts/{sub_account_id}", tag = "Sub-accounts",
    params(("sub_account_id" = uuid::Uuid, Path, description = "The sub-account")),
    responses((status = 200, description = "Deleted", body = Done), Problems, Forbidden))]
async fn remove(
    State(app): State<App>,
    owner: Owner,
    Id(id): Id<AccountId>,
) -> Result<Json<Done>, ApiError> {
    let live = app
        .store
        .delete_sub_account(owner.account, id, now())
        .await
        .or_not_found(AccountId::NAME)?;
    for record in live {
        crate::calls::stop_live(&app, &record).await?;
    }
    Ok(Json(Done {
        message: "success",
        state: "deleted",
    }))
}

/// What the parent's lines don't allow is a fault of the request.
fn too_many(error: bolo_store::Error) -> ApiError {
    match error {
        bolo_store::Error::Conflict(why) => {
            ApiError::NotPossible(format!("Concurrency limit exceeded: {why}"))
        }
        bolo_store::Error::NotFound => ApiError::NotFound(AccountId::NAME),
        other => other.into(),
    }
}
