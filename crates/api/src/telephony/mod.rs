//! What carriers call: answer, status, resume and stream callbacks, the inbound webhook, media sockets.
//! Source: wire-telephony.md §1.5, §1.8, §6.1, §6.2, §6.5.
//!
//! A callback passes two gates: the mac in its path (404) and the carrier's signature with the account's
//! token (403). It is written down, answered at once, and decided from the store alone, so that any node
//! answers the same.

mod answer;
mod answered_by;
mod gate;
mod inbound;
mod ivr;
mod media;
mod status;
mod transfer;

use std::time::Duration;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bolo_execution::{Change, Component, Entry, EntryKind, ExecutionId, Record, Status};
use bolo_store::{Callback, Facts};
use bolo_telephony::{CallbackKind, Carrier, Instruction};

use crate::{App, error::ApiError, time::now};

/// Waits between the tries of a hang-up.
const HANG_UP_WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// Routes that are answered at once.
pub fn callbacks() -> Router<App> {
    let path =
        |kind: &str| format!("/telephony/{{carrier}}/{kind}/{{execution}}/{{attempt}}/{{mac}}");
    Router::new()
        .route(&path("answer"), post(answer::answer).get(answer::answer))
        .route(&path("resume"), post(answer::resume).get(answer::resume))
        .route(
            &path("outcome"),
            post(transfer::outcome).get(transfer::outcome),
        )
        .route(&path("leg"), post(transfer::leg).get(transfer::leg))
        .route(&path("offer"), post(transfer::offer).get(transfer::offer))
        .route(&path("take"), post(transfer::take).get(transfer::take))
        .route(&path("keys"), post(ivr::keys).get(ivr::keys))
        .route(&path("status"), post(status::status).get(status::status))
        .route(&path("stream"), post(status::stream).get(status::stream))
        .route(
            "/telephony/{carrier}/flow",
            get(answer::flow).post(answer::flow),
        )
        .route(&path("amd"), post(answered_by::tell).get(answered_by::tell))
        .route("/inbound_call", post(inbound::answer).get(inbound::answer))
        .route(
            "/inbound_status",
            post(inbound::status).get(inbound::status),
        )
}

/// Routes that stay open for the length of a call.
pub fn sockets() -> Router<App> {
    Router::new()
        .route(
            "/media/{carrier}/{execution}/{attempt}/{mac}",
            get(media::open),
        )
        // Of a carrier that knows one address for all calls: its query names the call.
        .route("/media/{carrier}", get(media::open))
}

/// The answer document.
fn document(carrier: &dyn Carrier, instruction: &Instruction) -> Response {
    let (body, content_type) = carrier.render(instruction);
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Opens a media socket for this call; when it ends, for whatever reason, the carrier asks `resume`.
fn stream(app: &App, record: &Record) -> Instruction {
    let url = |kind| {
        app.callbacks
            .url(kind, &record.provider, record.id, record.attempt)
    };
    Instruction::Stream {
        socket_url: url(CallbackKind::Media),
        resume_url: url(CallbackKind::Resume),
        status_url: url(CallbackKind::Stream),
        parameters: vec![("execution_id".to_owned(), record.id.to_string())],
    }
}

/// Applies a change to a call that is still at the attempt of `record`; one that comes too late changes
/// nothing. How the call stands then; where `record` was past the change already, as it was given.
async fn advance(
    app: &App,
    record: &Record,
    change: Change,
    facts: Facts,
) -> Result<Record, ApiError> {
    if record.status.is_past(change) {
        return Ok(record.clone());
    }
    let facts = Facts {
        of_attempt: Some(record.attempt),
        standing: Some(record.status),
        ..facts
    };
    match app.store.change(record.id, change, facts, now()).await {
        Ok(record) => Ok(record),
        Err(late @ (bolo_store::Error::Illegal(_) | bolo_store::Error::Superseded)) => {
            tracing::debug!(execution_id = %record.id, %late, "callback came late");
            Ok(app.store.execution_unscoped(record.id).await?)
        }
        Err(other) => Err(other.into()),
    }
}

/// Binds the carrier's call to the execution: the first callback of any kind settles a dial whose outcome
/// nobody knew. `None` when another call is bound already, and for a row that waits to be dialled, or that
/// meanwhile went on to another attempt; the dial's own id may stand for the call's.
async fn bind(
    app: &App,
    record: Record,
    call_id: &str,
    dial_id: Option<&str>,
) -> Result<Option<Record>, ApiError> {
    let ours = |known: &str| known == call_id || Some(known) == dial_id;
    let attempt = record.attempt;
    if record.status.is_waiting() && record.status != Status::Queued {
        return Ok(None);
    }
    let record = match record.carrier_call_id.as_deref() {
        Some(known) => return Ok(ours(known).then_some(record)),
        None => {
            let facts = Facts {
                carrier_call_id: Some(call_id.to_owned()),
                of_attempt: Some(attempt),
                ..Facts::default()
            };
            if record.status == Status::Queued {
                advance(app, &record, Change::CarrierAccepted, facts).await?
            } else {
                match app.store.note(record.id, facts, now()).await {
                    Err(bolo_store::Error::Superseded) => return Ok(None),
                    noted => noted?,
                }
            }
        }
    };
    // Another callback may have bound another call meanwhile.
    let ours = record.carrier_call_id.as_deref().is_none_or(ours);
    Ok((ours && record.attempt == attempt).then_some(record))
}

/// Ends a call at the carrier in the background, with retries: the answer must not wait for it.
pub fn hang_up_later(app: &App, record: &Record, call_id: Option<String>) {
    let Some(call_id) = call_id else { return };
    let (app, id, account, provider) = (
        app.clone(),
        record.id,
        record.account,
        record.provider.clone(),
    );
    let work = {
        let app = app.clone();
        async move {
            let secrets = match app.store.secrets(account).await {
                Ok(secrets) => secrets,
                Err(error) => {
                    return tracing::error!(execution_id = %id, %error, "could not hang up");
                }
            };
            let carrier = match app.carriers.for_account(&provider, &secrets) {
                Ok(account) => account.carrier,
                Err(error) => {
                    return tracing::error!(execution_id = %id, %error, "could not hang up");
                }
            };
            let mut waits = HANG_UP_WAITS.into_iter();
            loop {
                match (carrier.hang_up(&call_id).await, waits.next()) {
                    (Ok(()) | Err(bolo_telephony::Error::NotFound), _) => {
                        return tracing::info!(execution_id = %id, "hung up at the carrier");
                    }
                    (Err(error @ bolo_telephony::Error::Unsupported(_)), _) => {
                        return tracing::info!(execution_id = %id, %error, "not hung up by request");
                    }
                    (Err(bolo_telephony::Error::Unavailable(_)), Some(wait)) => {
                        tokio::time::sleep(wait).await
                    }
                    (Err(error), _) => {
                        return tracing::error!(execution_id = %id, %error, "could not hang up");
                    }
                }
            }
        }
    };
    if !app.draining.later(work) {
        tracing::error!(execution_id = %id, "too much to hang up at once: left to the worker");
    }
}

/// A line of the call's raw log: what the carrier said. Its absence harms no call, so a failure is logged.
fn note_in_log(app: &App, record: &Record, event: &str, fields: &[(String, String)]) {
    let entry = entry(&record.provider, event, fields);
    logged(
        record.id,
        app.store.log_from_outside(record.id, entry, now()),
    );
}

/// The same of what the carrier may say twice: only the first time.
fn note_once(
    app: &App,
    record: &Record,
    event: &str,
    (call_id, sequence): (&str, u64),
    fields: &[(String, String)],
) {
    let callback = Callback {
        provider: record.provider.clone(),
        call_id: call_id.to_owned(),
        event: event.to_owned(),
        sequence,
    };
    let entry = entry(&record.provider, event, fields);
    logged(
        record.id,
        app.store.log_callback(record.id, callback, entry, now()),
    );
}

fn entry(provider: &str, event: &str, fields: &[(String, String)]) -> Entry {
    let fields: serde_json::Map<_, _> = fields
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    let data = serde_json::Value::Object(fields).to_string();
    Entry::new(Component::System, EntryKind::Event, provider, data).with("callback", event)
}

fn logged(id: ExecutionId, outcome: Result<(), bolo_store::Error>) {
    if let Err(error) = outcome {
        tracing::warn!(execution_id = %id, %error, "a callback is missing in the raw log");
    }
}
