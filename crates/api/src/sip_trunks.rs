//! `/sip-trunks`: telephone systems of the account's own, and their numbers. The trunk is kept here for the
//! Asterisk that speaks to it; its password is encrypted and never shown. Source: api.md §18.

use axum::{Json, extract::State, http::StatusCode};
use bolo_agent::SipTrunk;
use bolo_store::{Document, Draft, Kind, NewPhoneNumber, PhoneNumber};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, FieldError, OrNotFound, Problems, TooLarge, Unprocessable},
    extract::{Caller, DocumentId, Id, Ids, JsonBody, Params},
    paging::{Paging, PagingParams},
    time::{iso, now},
    trunk_schemas::{NewTrunk, TrunkBody, TrunkView},
};

const NAME: &str = "Trunk";
const NUMBER: &str = "Phone number";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
        .routes(routes!(add_number, list_numbers))
        .routes(routes!(remove_number))
}

/// A number of a trunk.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct NewNumber {
    #[schema(example = "919876543210", pattern = r"^\+?[0-9]{2,15}$")]
    phone_number: String,
    #[schema(example = "Mumbai Support Line")]
    name: Option<String>,
    /// Refuse what is not E.164.
    #[serde(default)]
    #[schema(default = false)]
    e164_check_enabled: bool,
}

impl NewNumber {
    fn checked(&self) -> Result<String, ApiError> {
        let text = self.phone_number.trim();
        let digits = text.strip_prefix('+').unwrap_or(text);
        let fits = (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !fits {
            return Err(ApiError::field(
                "phone_number",
                "must be 2 to 15 digits, with or without +",
            ));
        }
        if self.e164_check_enabled {
            crate::phone_numbers::e164("phone_number", text)?;
        }
        Ok(text.to_owned())
    }
}

/// A number of a trunk.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrunkNumber {
    #[schema(format = Uuid)]
    id: String,
    /// The same.
    #[schema(format = Uuid)]
    phone_number_id: String,
    #[schema(example = "919876543210")]
    phone_number: String,
    name: Option<String>,
    #[schema(format = Uuid)]
    byot_trunk_id: Option<String>,
    #[schema(example = "sip-trunk")]
    telephony_provider: String,
    deleted: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&PhoneNumber> for TrunkNumber {
    fn from(of: &PhoneNumber) -> Self {
        Self {
            id: of.id.to_string(),
            phone_number_id: of.id.to_string(),
            phone_number: of.number.clone(),
            name: of.name.clone(),
            byot_trunk_id: of.trunk.map(|trunk| trunk.to_string()),
            telephony_provider: of.provider.clone(),
            deleted: false,
            created_at: iso(of.created_at),
            updated_at: iso(of.updated_at),
        }
    }
}

fn view(of: &Document, numbers: &[PhoneNumber]) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("id".into(), of.id.to_string().into());
    view.extend(of.body.as_object().cloned().unwrap_or_default());
    let numbers: Vec<Value> = numbers
        .iter()
        .filter(|number| number.trunk == Some(of.id))
        .filter_map(|number| serde_json::to_value(TrunkNumber::from(number)).ok())
        .collect();
    view.insert("phone_numbers".into(), numbers.into());
    view.insert("created_at".into(), iso(of.created_at).into());
    view.insert("updated_at".into(), iso(of.updated_at).into());
    view
}

/// The trunk, checked, and its password where one was sent.
fn checked(body: &Value) -> Result<(SipTrunk, Option<SecretString>), ApiError> {
    let trunk = SipTrunk::parse(body)?;
    if trunk.shows_its_key {
        let fault = FieldError::new("media_encryption", "sdes needs transport-tls");
        return Err(ApiError::Unprocessable(vec![fault]));
    }
    let password = body["auth_password"]
        .as_str()
        .filter(|text| !text.is_empty());
    Ok((trunk, password.map(SecretString::from)))
}

fn draft(trunk: SipTrunk) -> Draft {
    Draft {
        key: Some(trunk.name),
        body: trunk.body.into(),
    }
}

/// A name or a number that is taken is a fault of the request.
fn taken(field: &str) -> impl Fn(bolo_store::Error) -> ApiError {
    move |error| match error {
        bolo_store::Error::Conflict(why) => ApiError::field(field, why),
        bolo_store::Error::NotFound => ApiError::NotFound(NAME),
        other => other.into(),
    }
}

/// Creates a trunk.
#[utoipa::path(post, path = "/sip-trunks/trunks", tag = "SIP trunks", request_body = NewTrunk,
    responses((status = 201, description = "Created", body = TrunkView), Problems, Unprocessable, TooLarge))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Value>,
) -> Result<(StatusCode, Json<Map<String, Value>>), ApiError> {
    let (trunk, password) = checked(&body)?;
    if trunk.needs_password && password.is_none() {
        return Err(ApiError::field("auth_password", "field required"));
    }
    let numbers: Vec<NewNumber> = match body.get("phone_numbers") {
        None | Some(Value::Null) => Vec::new(),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|error| ApiError::field("phone_numbers", error.to_string()))?,
    };
    for number in &numbers {
        number.checked()?;
    }
    let made = app
        .store
        .create_document(caller.account, Kind::SipTrunk, draft(trunk), now())
        .await
        .map_err(taken("name"))?;
    if let Some(password) = password {
        app.store
            .set_document_secret(caller.account, made.id, &password)
            .await?;
    }
    let mut kept = Vec::with_capacity(numbers.len());
    for number in numbers {
        kept.push(keep(&app, caller, made.id, number).await?);
    }
    Ok((StatusCode::CREATED, Json(view(&made, &kept))))
}

async fn keep(
    app: &App,
    caller: Caller,
    trunk: Uuid,
    new: NewNumber,
) -> Result<PhoneNumber, ApiError> {
    let number = NewPhoneNumber {
        number: new.checked()?,
        provider: "sip-trunk".to_owned(),
        trunk: Some(trunk),
        name: new.name,
        ..NewPhoneNumber::default()
    };
    app.store
        .create_phone_number(caller.account, number, now())
        .await
        .map_err(taken("phone_number"))
}

/// Lists the trunks, newest first.
#[utoipa::path(get, path = "/sip-trunks/trunks", tag = "SIP trunks",
    params(("is_active" = Option<bool>, Query, description = "Only those that are, or are not"), PagingParams),
    responses((status = 200, description = "The trunks", body = Vec<TrunkView>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Map<String, Value>>>, ApiError> {
    let paging = Paging::read(&params)?;
    let wanted = match params.get(&["is_active"]) {
        None => None,
        Some((_, text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => return Err(ApiError::field("is_active", "must be true or false")),
        },
    };
    let numbers = app.store.phone_numbers(caller.account).await?;
    let mut all = app.store.documents(caller.account, Kind::SipTrunk).await?;
    all.retain(|trunk| wanted.is_none_or(|wanted| trunk.body["is_active"] == wanted));
    let shown = paging.cut(all);
    Ok(Json(
        shown.iter().map(|trunk| view(trunk, &numbers)).collect(),
    ))
}

async fn found(app: &App, caller: Caller, id: Uuid) -> Result<Document, ApiError> {
    app.store
        .document(caller.account, Kind::SipTrunk, id)
        .await
        .or_not_found(NAME)
}

/// Shows a trunk.
#[utoipa::path(get, path = "/sip-trunks/trunks/{trunk_id}", tag = "SIP trunks",
    params(("trunk_id" = Uuid, Path, description = "The trunk")),
    responses((status = 200, description = "The trunk", body = TrunkView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let trunk = found(&app, caller, id).await?;
    let numbers = app.store.phone_numbers(caller.account).await?;
    Ok(Json(view(&trunk, &numbers)))
}

/// Changes a trunk; absent fields stay, lists are replaced whole.
#[utoipa::path(patch, path = "/sip-trunks/trunks/{trunk_id}", tag = "SIP trunks", request_body = TrunkBody,
    params(("trunk_id" = Uuid, Path, description = "The trunk")),
    responses((status = 200, description = "Changed", body = TrunkView), Problems, Unprocessable, TooLarge))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
    JsonBody(patch): JsonBody<Map<String, Value>>,
) -> Result<Json<Map<String, Value>>, ApiError> {
    let password = patch.get("auth_password").and_then(Value::as_str);
    let password = password
        .filter(|text| !text.is_empty())
        .map(SecretString::from);
    let merged = |mut body: Value| {
        if let Some(fields) = body.as_object_mut() {
            fields.extend(patch);
        }
        Ok::<_, ApiError>(draft(checked(&body)?.0))
    };
    let changed = app
        .store
        .change_document(caller.account, Kind::SipTrunk, id, now(), merged)
        .await
        .map_err(|error| error.naming(NAME))?;
    if let Some(password) = password {
        app.store
            .set_document_secret(caller.account, id, &password)
            .await?;
    }
    let numbers = app.store.phone_numbers(caller.account).await?;
    Ok(Json(view(&changed, &numbers)))
}

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrunkGone)]
pub struct Gone {
    #[schema(example = "Trunk deleted successfully. 3 phone number(s) removed.")]
    message: String,
}

/// Deletes a trunk with its numbers.
#[utoipa::path(delete, path = "/sip-trunks/trunks/{trunk_id}", tag = "SIP trunks",
    params(("trunk_id" = Uuid, Path, description = "The trunk")),
    responses((status = 200, description = "Deleted", body = Gone), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
) -> Result<Json<Gone>, ApiError> {
    let numbers = app
        .store
        .remove_sip_trunk(caller.account, id)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Gone {
        message: format!("Trunk deleted successfully. {numbers} phone number(s) removed."),
    }))
}

/// Adds a number to a trunk.
#[utoipa::path(post, path = "/sip-trunks/trunks/{trunk_id}/numbers", tag = "SIP trunks",
    request_body = NewNumber, params(("trunk_id" = Uuid, Path, description = "The trunk")),
    responses((status = 201, description = "Added", body = TrunkNumber), Problems, TooLarge))]
async fn add_number(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
    JsonBody(new): JsonBody<NewNumber>,
) -> Result<(StatusCode, Json<TrunkNumber>), ApiError> {
    let trunk = found(&app, caller, id).await?;
    let number = keep(&app, caller, trunk.id, new).await?;
    Ok((StatusCode::CREATED, Json(TrunkNumber::from(&number))))
}

/// Lists the numbers of a trunk, newest first.
#[utoipa::path(get, path = "/sip-trunks/trunks/{trunk_id}/numbers", tag = "SIP trunks",
    params(("trunk_id" = Uuid, Path, description = "The trunk"), PagingParams),
    responses((status = 200, description = "Its numbers", body = Vec<TrunkNumber>), Problems))]
async fn list_numbers(
    State(app): State<App>,
    caller: Caller,
    Id(DocumentId(id)): Id<DocumentId>,
    params: Params,
) -> Result<Json<Vec<TrunkNumber>>, ApiError> {
    let paging = Paging::read(&params)?;
    let trunk = found(&app, caller, id).await?;
    let mut numbers = app.store.phone_numbers(caller.account).await?;
    numbers.retain(|number| number.trunk == Some(trunk.id));
    let shown = paging.cut(numbers);
    Ok(Json(shown.iter().map(TrunkNumber::from).collect()))
}

/// Answer to a removed number.
#[derive(Debug, Serialize, ToSchema)]
pub struct NumberGone {
    #[schema(example = "Phone number removed successfully")]
    message: &'static str,
}

/// Removes a number from a trunk; no agent answers it any more.
#[utoipa::path(delete, path = "/sip-trunks/trunks/{trunk_id}/numbers/{phone_number_id}", tag = "SIP trunks",
    params(("trunk_id" = Uuid, Path, description = "The trunk"),
        ("phone_number_id" = Uuid, Path, description = "The number")),
    responses((status = 200, description = "Removed", body = NumberGone), Problems))]
async fn remove_number(
    State(app): State<App>,
    caller: Caller,
    Ids(DocumentId(trunk), DocumentId(number)): Ids<DocumentId, DocumentId>,
) -> Result<Json<NumberGone>, ApiError> {
    let trunk = found(&app, caller, trunk).await?;
    let number = app
        .store
        .phone_number(caller.account, number)
        .await
        .or_not_found(NUMBER)?;
    if number.trunk != Some(trunk.id) {
        return Err(ApiError::NotFound(NUMBER));
    }
    app.store
        .remove_phone_number(caller.account, number.id)
        .await
        .or_not_found(NUMBER)?;
    Ok(Json(NumberGone {
        message: "Phone number removed successfully",
    }))
}
