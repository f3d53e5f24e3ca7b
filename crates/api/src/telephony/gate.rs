//! The two gates of a callback: our mac in its path, then the carrier's signature.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    extract::{FromRequest, OriginalUri, RawPathParams, Request},
    http::{HeaderMap, Method, request::Parts},
};
use bolo_execution::{AccountId, ExecutionId, Record};
use bolo_telephony::{CallReference, Carrier, RequestParts};
use bytes::Bytes;

use crate::{
    App,
    error::{ApiError, OrNotFound},
    extract::Body,
};

/// A carrier's request as it came.
pub struct Received {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    /// The head of a request. `base` is our public address: the carrier signed what it dialled, not what a
    /// proxy made of it.
    fn new(parts: &Parts, base: &str, body: Bytes) -> Self {
        let path = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path_and_query(),
            None => parts.uri.path_and_query(),
        };
        let url = format!("{base}{}", path.map_or("/", |path| path.as_str()));
        Self {
            method: parts.method.clone(),
            url,
            headers: parts.headers.clone(),
            body,
        }
    }

    /// For the carrier to read and to verify.
    pub fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: self.method.as_str(),
            url: &self.url,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// The fields of what came, for the raw log.
    pub fn fields(&self) -> Vec<(String, String)> {
        self.parts().fields()
    }

    /// Reads the body too.
    pub async fn read(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let head = Self::new(&parts, app.callbacks.public_url(), Bytes::new());
        let Body(body) = Body::from_request(Request::from_parts(parts, body), app).await?;
        Ok(Self { body, ..head })
    }

    /// The second gate: the account's carrier, once it knows the signature.
    pub async fn verified(
        &self,
        app: &App,
        account: AccountId,
        carrier: &str,
    ) -> Result<Arc<dyn Carrier>, ApiError> {
        let secrets = app.store.secrets(account).await?;
        let carrier = app.carriers.for_account(carrier, &secrets).map_err(|error| {
            tracing::warn!(account_id = %account, %error, "a carrier's request can't be verified");
            ApiError::BadSignature
        })?;
        let carrier = carrier.carrier;
        if app.settings.verify_signatures && !carrier.verify(self.parts()) {
            tracing::warn!(account_id = %account, carrier = carrier.name(), "bad signature of a carrier's request");
            return Err(ApiError::BadSignature);
        }
        Ok(carrier)
    }
}

/// What the path names, once its mac is ours.
pub struct Ours {
    /// The call.
    pub record: Record,
    /// The attempt that the carrier speaks of; an older one than the record's is over.
    pub attempt: i64,
}

/// What a path names whose mac is ours, as it stands there.
struct Named {
    carrier: String,
    execution: ExecutionId,
    attempt: i64,
}

impl Named {
    /// The first gate. Whatever is wrong answers 404.
    async fn read(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| nothing())?;
        let get = |name: &str| {
            let mut params = params.iter();
            params.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let in_path = || {
            Some(CallReference {
                execution: get("execution")?.parse().ok()?,
                attempt: get("attempt")?.parse().ok()?,
                mac: get("mac")?.to_owned(),
            })
        };
        let carrier = get("carrier").ok_or_else(nothing)?.to_owned();
        let CallReference {
            execution,
            attempt,
            mac,
        } = in_path()
            .or_else(|| CallReference::in_query(parts.uri.query().unwrap_or_default()))
            .ok_or_else(nothing)?;
        if !app.callbacks.check(&carrier, execution, attempt, &mac) {
            return Err(nothing());
        }
        tracing::Span::current().record("execution_id", tracing::field::display(execution));
        Ok(Self {
            carrier,
            execution,
            attempt,
        })
    }

    /// The carrier of the call is the one in the path.
    fn is_of(&self, provider: &str) -> Result<(), ApiError> {
        match self.carrier == provider {
            true => Ok(()),
            false => Err(nothing()),
        }
    }
}

fn nothing() -> ApiError {
    ApiError::NotFound("Address")
}

impl Ours {
    async fn read(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let named = Named::read(parts, app).await?;
        let record = app.store.execution_unscoped(named.execution).await;
        let record = record.or_not_found("Address")?;
        named.is_of(&record.provider)?;
        Ok(Self {
            record,
            attempt: named.attempt,
        })
    }
}

/// A callback that passed both gates.
pub struct Callback {
    /// What it speaks of.
    pub ours: Ours,
    /// To read it and to answer in the carrier's language.
    pub carrier: Arc<dyn Carrier>,
    /// As it came.
    pub received: Received,
}

impl FromRequest<App> for Callback {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let ours = Ours::read(&mut parts, app).await?;
        let received = Received::read(Request::from_parts(parts, body), app).await?;
        let carrier = received
            .verified(app, ours.record.account, &ours.record.provider)
            .await?;
        Ok(Self {
            ours,
            carrier,
            received,
        })
    }
}

/// A callback that passed both gates and is only written down: how the call stands is not asked for it.
pub struct News {
    /// What it speaks of.
    pub id: ExecutionId,
    /// The carrier's name.
    pub provider: String,
    /// As it came.
    pub received: Received,
}

impl FromRequest<App> for News {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let named = Named::read(&mut parts, app).await?;
        let (account, provider) = app
            .store
            .whose_call(named.execution)
            .await
            .or_not_found("Address")?;
        named.is_of(&provider)?;
        let received = Received::read(Request::from_parts(parts, body), app).await?;
        received.verified(app, account, &provider).await?;
        Ok(Self {
            id: named.execution,
            provider,
            received,
        })
    }
}

/// A socket's upgrade that passed both gates.
pub struct Upgrade {
    /// What it carries.
    pub ours: Ours,
    /// Makes the codec of the socket.
    pub carrier: Arc<dyn Carrier>,
}

impl FromRequestParts<App> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let ours = Ours::read(parts, app).await?;
        // Signed over the wss address.
        let base = app.callbacks.public_url().replacen("http", "ws", 1);
        let received = Received::new(parts, &base, Bytes::new());
        let carrier = received
            .verified(app, ours.record.account, &ours.record.provider)
            .await?;
        Ok(Self { ours, carrier })
    }
}
