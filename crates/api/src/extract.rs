//! What handlers take from a request. Each extractor answers a fault in our own JSON, not in axum's
//! plain text.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request,
        rejection::BytesRejection,
    },
    http::{header, request::Parts},
    response::IntoResponse,
};
use bolo_execution::{AccountId, AgentId, BatchId, ExecutionId};
use serde::de::DeserializeOwned;

use crate::{
    App,
    audit::Visitor,
    error::{ApiError, FieldError, Step},
};

/// The account whose key came with the request. A handler that takes it can't forget the tenant.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The tenant.
    pub account: AccountId,
    /// Whose sub-account the tenant is.
    pub parent: Option<AccountId>,
}

impl Caller {
    /// The tenant itself, or the one whose sub-account it is.
    pub fn organization(self) -> AccountId {
        self.parent.unwrap_or(self.account)
    }
}

/// A caller who is nobody's sub-account; those are refused with 403.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The tenant.
    pub account: AccountId,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let key = bearer(parts).ok_or(ApiError::Unauthorized)?;
        let holder = app
            .store
            .authenticate(key)
            .await?
            .ok_or(ApiError::Unauthorized)?;
        if let Some(route) = parts.extensions.get::<MatchedPath>() {
            let payer = holder.parent.unwrap_or(holder.account);
            app.rates
                .admit(app.store.signals(), payer, &parts.method, route.as_str())
                .await?;
        }
        if let Some(visitor) = parts.extensions.get::<Visitor>() {
            visitor.is(holder.account, Some(holder.key));
        }
        Ok(Self {
            account: holder.account,
            parent: holder.parent,
        })
    }
}

impl FromRequestParts<App> for Owner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Caller { account, parent } = Caller::from_request_parts(parts, app).await?;
        match parent {
            Some(_) => Err(ApiError::Forbidden("A sub-account's key can't do this")),
            None => Ok(Self { account }),
        }
    }
}

/// The key of `Authorization: Bearer <key>`.
pub fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

/// An id as it may stand in a path: a uuid, dashed or not, in any case.
pub trait PathId: std::str::FromStr {
    /// What a 404 calls it.
    const NAME: &'static str;
}
impl PathId for AgentId {
    const NAME: &'static str = "Agent";
}
impl PathId for BatchId {
    const NAME: &'static str = "Batch";
}
impl PathId for ExecutionId {
    const NAME: &'static str = "Execution";
}

/// The id of whatever else is kept.
#[derive(Debug, Clone, Copy)]
pub struct DocumentId(pub uuid::Uuid);

impl std::str::FromStr for DocumentId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        uuid::Uuid::try_parse(text).map(Self)
    }
}
impl PathId for DocumentId {
    const NAME: &'static str = "Resource";
}
impl PathId for AccountId {
    const NAME: &'static str = "Sub-account";
}

/// The path's first id. A malformed one is as unknown as any other: 404.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

/// The path's first two ids.
#[derive(Debug, Clone, Copy)]
pub struct Ids<A, B>(pub A, pub B);

impl<T: PathId> FromRequestParts<App> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = path_params(parts, app).await?;
        Ok(Self(path_id(&params, 0)?))
    }
}

impl<A: PathId, B: PathId> FromRequestParts<App> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = path_params(parts, app).await?;
        Ok(Self(path_id(&params, 0)?, path_id(&params, 1)?))
    }
}

/// The number of a version in the path. What is no number is as unknown as any other: 404.
#[derive(Debug, Clone, Copy)]
pub struct Version(pub i64);

impl FromRequestParts<App> for Version {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = path_params(parts, app).await?;
        let text = params.iter().find(|(name, _)| *name == "version");
        text.and_then(|(_, text)| text.parse().ok())
            .map(Self)
            .ok_or(ApiError::NotFound("Version"))
    }
}

async fn path_params(parts: &mut Parts, app: &App) -> Result<RawPathParams, ApiError> {
    RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| ApiError::NotFound("Resource"))
}

fn path_id<T: PathId>(params: &RawPathParams, index: usize) -> Result<T, ApiError> {
    let text = params.iter().nth(index).map(|(_, value)| value);
    text.and_then(|text| text.parse().ok())
        .ok_or(ApiError::NotFound(T::NAME))
}

/// The query's parameters, in their order. A parameter without a value counts as absent.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The first value of the first of these names that is there: aliases, in order of preference.
    pub fn get(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| {
            let (_, value) = self
                .0
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())?;
            Some((*name, value.as_str()))
        })
    }
}

#[cfg(test)]
impl Params {
    /// Of a query string.
    pub fn of(query: &str) -> Self {
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        ))
    }
}

/// The raw body, within the configured limit.
#[derive(Debug, Clone)]
pub struct Body(pub Bytes);

impl FromRequest<App> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        match Bytes::from_request(request, app).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(BytesRejection::FailedToBufferBody(rejection))
                if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE =>
            {
                Err(ApiError::TooLarge(app.settings.max_body_bytes))
            }
            Err(rejection) => {
                tracing::debug!(status = %rejection.into_response().status(), "body cut short");
                Err(ApiError::field("", "the body could not be read to its end"))
            }
        }
    }
}

/// A JSON body, whatever its content type says. A fault is 400 and names the field.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let Body(bytes) = Body::from_request(request, app).await?;
        read_json(&bytes).map(Self)
    }
}

/// Reads JSON; the error names the field.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::field("", "a JSON body is required"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| json_fault(&error))?;
    deserializer
        .end()
        .map_err(|error| ApiError::field("", format!("malformed JSON: {error}")))?;
    Ok(value)
}

/// For a field whose `null` means something else than its absence; wants `#[serde(default)]` beside it.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}

fn json_fault(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    use serde_path_to_error::Segment;
    let inner = error.inner();
    if !inner.is_data() {
        return ApiError::field("", format!("malformed JSON: {inner}"));
    }
    let mut loc: Vec<Step> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        })
        .collect();
    let text = inner.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    // A missing field is reported at the object that lacks it; clients look for the field itself.
    let msg = match text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        Some(field) => {
            loc.push(Step::Key(field.to_owned()));
            "field required".to_owned()
        }
        None => text.to_owned(),
    };
    ApiError::Invalid(vec![FieldError { loc, msg }])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        inner: Vec<Inner>,
    }
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        count: u8,
    }

    fn fault(body: &str) -> String {
        read_json::<Outer>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn faults_name_their_field() {
        assert_eq!(
            fault(r#"{"inner":[{"count":1},{}]}"#),
            "inner[1].count: field required"
        );
        assert_eq!(fault("{}"), "inner: field required");
        assert!(fault(r#"{"inner":[{"count":"x"}]}"#).starts_with("inner[0].count: invalid type"));
        assert!(fault("{").starts_with("malformed JSON"));
        assert!(fault("{\"inner\":[]} x").starts_with("malformed JSON"));
        assert_eq!(fault("  "), "a JSON body is required");
    }

    #[test]
    fn a_parameter_without_a_value_is_absent_and_aliases_have_an_order() {
        let params = Params(vec![
            ("status".into(), String::new()),
            ("from".into(), "b".into()),
            ("created_at_gte".into(), "a".into()),
        ]);
        assert_eq!(params.get(&["status"]), None);
        assert_eq!(
            params.get(&["created_at_gte", "from"]),
            Some(("created_at_gte", "a"))
        );
        assert_eq!(params.get(&["from"]), Some(("from", "b")));
    }
}
