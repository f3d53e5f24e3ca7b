//! The carrier has listened who answered. Source: runtime.md R161.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use bolo_store::Command;

use super::{gate::Callback, note_in_log};
use crate::{App, error::ApiError};

/// The news may come before the media socket: the call is looked for this often, this far apart.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

/// Tells whoever runs the call.
pub async fn tell(State(app): State<App>, callback: Callback) -> Result<StatusCode, ApiError> {
    let found = callback
        .carrier
        .parse_answered_by(callback.received.parts());
    let found = found
        .ok_or_else(|| ApiError::field("", "the carrier's request names no call or answer"))?;
    let record = callback.ours.record;
    note_in_log(&app, &record, "answered by", &callback.received.fields());
    if callback.ours.attempt != record.attempt || record.status.is_terminal() {
        return Ok(StatusCode::OK);
    }
    let (signals, id) = (app.store.signals().clone(), record.id);
    let work = async move {
        for _ in 0..TRIES {
            let command = Command::AnsweredBy {
                is_machine: found.is_machine,
            };
            if signals.send(id, command).await {
                return;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        tracing::info!(execution_id = %id, "nobody was there to be told who answered");
    };
    if !app.draining.later(work) {
        tracing::warn!(execution_id = %id, "too busy to tell who answered");
    }
    Ok(StatusCode::OK)
}
