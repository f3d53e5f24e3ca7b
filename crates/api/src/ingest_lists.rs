//! `/ingest-lists`: lists of callers, which agents with `ingest_source_config` of type `csv` name. Ours: the
//! hosted platform takes them by its web page only.

use axum::{
    Json,
    extract::{Path, State},
};
use bolo_store::{Document, Kind};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Body, Caller},
    time::{iso, now},
};

const NAME: &str = "List";
const NUMBER: &str = "contact_number";
const LONGEST_NAME: usize = 200;
/// Searched while a caller waits.
const LARGEST: usize = 5 << 20;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, remove))
}

/// A list of callers.
#[derive(Debug, Serialize, ToSchema)]
pub struct List {
    /// `source_name` of agents.
    #[schema(example = "leads_june.csv")]
    name: String,
    /// Lines below the header.
    rows: usize,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&Document> for List {
    fn from(of: &Document) -> Self {
        let text = |field: &str| of.body[field].as_str().unwrap_or_default();
        Self {
            name: text("name").to_owned(),
            rows: text("csv").lines().count().saturating_sub(1),
            updated_at: iso(of.updated_at),
        }
    }
}

/// Lists the lists, newest first.
#[utoipa::path(get, path = "/ingest-lists", tag = "Inbound",
    responses((status = 200, description = "All lists", body = Vec<List>), Problems))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<List>>, ApiError> {
    let all = app
        .store
        .documents(caller.account, Kind::ContactList)
        .await?;
    Ok(Json(all.iter().map(List::from).collect()))
}

/// A table whose first line names the column of numbers.
#[derive(ToSchema)]
#[schema(
    pattern = r#"^([^\n]*,)?[ \t]*"?contact_number"?[ \t]*(,[^\n]*)?\r?(\n|$)"#,
    example = "contact_number,name\n+14155550100,Bruce\n"
)]
#[allow(dead_code, reason = "read by the derive only")]
struct Table(String);

/// Keeps a list under a name: CSV in UTF-8 with a header and a column `contact_number`.
///
/// The other columns are variables of the calls. The same name again replaces the list.
#[utoipa::path(put, path = "/ingest-lists/{name}", tag = "Inbound",
    request_body(content = inline(Table), content_type = "text/csv"),
    params(("name" = String, Path, pattern = r"\S", max_length = 200, description = "`source_name` of agents")),
    responses((status = 200, description = "Kept", body = List), Problems, TooLarge))]
async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(bytes): Body,
) -> Result<Json<List>, ApiError> {
    if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
        return Err(ApiError::field(
            "name",
            format!("must have 1 to {LONGEST_NAME} characters"),
        ));
    }
    if bytes.len() > LARGEST {
        return Err(ApiError::TooLarge(LARGEST));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| ApiError::field("", "the list must be UTF-8"))?;
    let header = text
        .trim_start_matches('\u{feff}')
        .lines()
        .next()
        .unwrap_or_default();
    if !header
        .split(',')
        .any(|column| column.trim().trim_matches('"') == NUMBER)
    {
        return Err(ApiError::field(
            "",
            format!("the first line must name a column {NUMBER}"),
        ));
    }
    let body = json!({ "name": name, "csv": text });
    app.store
        .put_document(caller.account, Kind::ContactList, &name, &body, now())
        .await?;
    let kept = app
        .store
        .document_named(caller.account, Kind::ContactList, &name)
        .await?;
    Ok(Json(List::from(&kept)))
}

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListGone)]
pub struct Gone {
    #[schema(example = "success")]
    message: &'static str,
    #[schema(example = "deleted")]
    state: &'static str,
}

/// Removes a list: who is in no other source is unknown from now on.
#[utoipa::path(delete, path = "/ingest-lists/{name}", tag = "Inbound",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "Removed", body = Gone), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Gone>, ApiError> {
    let found = app
        .store
        .document_named(caller.account, Kind::ContactList, &name)
        .await
        .or_not_found(NAME)?;
    app.store
        .remove_document(caller.account, Kind::ContactList, found.id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Gone {
        message: "success",
        state: "deleted",
    }))
}
