//! "The call was answered" and "the socket ended": what the carrier shall do now.

use axum::{extract::State, response::Response};
use bolo_execution::{Change, Record, Status};
use bolo_store::Facts;
use bolo_telephony::{Instruction, Line, Voice};

use super::{
    advance, bind, document, gate::Callback, hang_up_later, note_once, status, stream, transfer,
};
use crate::{App, error::ApiError, time::now};

/// Sockets of one call that may be opened again.
const MAX_RESUMES: u64 = 5;

/// The carrier connected the call.
pub async fn answer(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let instruction = match answered(&app, &callback, "answer").await? {
        Some((record, _)) => {
            app.calls.prepare(&record);
            stream(&app, &record)
        }
        None => Instruction::HangUp,
    };
    Ok(document(&*callback.carrier, &instruction))
}

/// A flow of the carrier's, whose one address serves every call, asks what now: the call was connected, or its
/// media socket ended.
pub async fn flow(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let record = &callback.ours.record;
    let webhook = callback.carrier.parse_webhook(callback.received.parts());
    let call_id = webhook.map(|webhook| webhook.call_id).unwrap_or_default();
    let first = app
        .store
        .first_callback(&record.provider, &call_id, "flow", 0, now())
        .await?;
    if first {
        Box::pin(answer(State(app), callback)).await
    } else {
        Box::pin(resume(State(app), callback)).await
    }
}

/// The media socket ended, or the answer address failed: on with the call, over to somebody else, or over?
pub async fn resume(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    go_on(&app, &callback, "resume").await
}

/// What a call does next that has no media socket.
pub async fn go_on(app: &App, callback: &Callback, event: &str) -> Result<Response, ApiError> {
    let instruction = match Box::pin(answered(app, callback, event)).await? {
        None => Instruction::HangUp,
        Some((record, call_id)) => match transfer::instruction(app, &record) {
            Some(dial) => dial,
            // A transfer that failed does not count as a socket that did.
            None if event == "outcome" => stream(app, &record),
            None => match resumes(app, &record, &call_id).await? {
                1..=MAX_RESUMES => stream(app, &record),
                _ => {
                    tracing::error!(execution_id = %record.id, "the media socket failed too often");
                    match app.calls.apology(&record).await {
                        Some((text, language)) => Instruction::Goodbye(Line {
                            text,
                            voice: Some(Voice::Speaks(language)),
                        }),
                        None => Instruction::HangUp,
                    }
                }
            },
        },
    };
    Ok(document(&*callback.carrier, &instruction))
}

/// The call as it stands now that it is connected, with the carrier's id; `None` when it is to end.
async fn answered(
    app: &App,
    callback: &Callback,
    event: &str,
) -> Result<Option<(Record, String)>, ApiError> {
    let webhook = callback.carrier.parse_webhook(callback.received.parts());
    let webhook =
        webhook.ok_or_else(|| ApiError::field("", "the carrier's request names no call"))?;
    let call_id = webhook.call_id;
    let record = &callback.ours.record;
    if webhook.over {
        let event = callback.carrier.parse_status(callback.received.parts());
        if let Some(event) = event {
            status::apply(app, record.clone(), callback.ours.attempt, event).await?;
        }
        return Ok(None);
    }
    let fields = callback.received.fields();
    note_once(app, record, event, (&call_id, 0), &fields);
    if callback.ours.attempt != record.attempt || must_end(record.status) {
        tracing::info!(execution_id = %record.id, status = %record.status, "{event} of a call that is over");
        end_at_carrier(app, record, call_id);
        return Ok(None);
    }
    let dial_id = webhook.dial_id.as_deref();
    let Some(record) = bind(app, record.clone(), &call_id, dial_id).await? else {
        tracing::error!(execution_id = %record.id, "a second call of one dial: hung up");
        hang_up_later(app, record, Some(call_id));
        return Ok(None);
    };
    let record = advance(app, &record, Change::Answered, Facts::default()).await?;
    let record = match event {
        "answer" => record,
        // What became of a transfer may be written since the callback came, by itself or by another.
        _ => app.store.execution_unscoped(record.id).await?,
    };
    if record.status == Status::InProgress && record.attempt == callback.ours.attempt {
        return Ok(Some((record, call_id)));
    }
    end_at_carrier(app, &record, call_id);
    Ok(None)
}

/// The call was stopped, is over, or was never to be placed.
fn must_end(status: Status) -> bool {
    let before_dial = status.is_waiting() && status != Status::Queued;
    status.is_terminal() || status == Status::CallDisconnected || before_dial
}

/// The document ends the call; a call that should not exist any more is also ended by REST. One that ended
/// as it should is over at the carrier too.
fn end_at_carrier(app: &App, record: &Record, call_id: String) {
    if !matches!(record.status, Status::CallDisconnected | Status::Completed) {
        hang_up_later(app, record, Some(call_id));
    }
}

/// How often this call's socket was opened again, this time included: counted in the store, the same on
/// every node.
async fn resumes(app: &App, record: &Record, call_id: &str) -> Result<u64, ApiError> {
    for nth in 1..=MAX_RESUMES {
        if app
            .store
            .first_callback(&record.provider, call_id, "socket again", nth, now())
            .await?
        {
            return Ok(nth);
        }
    }
    Ok(MAX_RESUMES + 1)
}
