//! The media socket's upgrade: both gates, then the socket goes to the call.

use axum::{
    Extension,
    extract::{State, WebSocketUpgrade},
    response::Response,
};
use bolo_orchestrator::LowWater;
use tracing::Instrument;

use super::gate::Upgrade;
use crate::{App, error::ApiError};

/// tungstenite zeroes its whole read buffer before each read; a carrier's frame has less than 400 bytes, and up to five
/// are read at once.
const READ_BUFFER: usize = 2 * 1024;

/// What is sent at once leaves in one write: the socket is flushed behind the last of it.
const WRITE_BUFFER: usize = 16 * 1024;

/// What may wait when the carrier takes nothing; then the socket is dead (wire-telephony.md §6.3).
const MAX_WRITE_BUFFER: usize = 512 * 1024;

const MAX_MESSAGE: usize = 1024 * 1024;

/// Takes a carrier's media socket.
pub async fn open(
    State(app): State<App>,
    upgrade: Upgrade,
    low_water: Option<Extension<LowWater>>,
    socket: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let record = upgrade.ours.record;
    if upgrade.ours.attempt != record.attempt || record.status.is_terminal() {
        return Err(ApiError::NotFound("Call"));
    }
    let wire = upgrade.carrier.media();
    let span = tracing::info_span!(parent: None, "call", execution_id = %record.id);
    let calls = app.calls.clone();
    // A server that is not ours does not heed it.
    let Extension(low_water) = low_water.unwrap_or_default();
    Ok(socket
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_failed_upgrade(|error| tracing::warn!(%error, "a media socket failed to open"))
        .on_upgrade(move |socket| {
            async move { calls.attach(record.id, socket, wire, low_water).await }.instrument(span)
        }))
}
