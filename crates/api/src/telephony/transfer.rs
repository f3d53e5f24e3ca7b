//! A caller handed over to somebody else: whom the carrier shall call, and what came of it (runtime.md R113,
//! R114; wire-telephony.md §1.6).

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use bolo_execution::{Change, Record, Status, Transfer};
use bolo_store::{Command, Facts};
use bolo_telephony::{CallbackKind, Instruction, StatusEvent};

use super::{answer, document, gate::Callback, note_in_log};
use crate::{App, error::ApiError, time::now};

/// What the carrier shall do for a call whose record names a transfer that is still to come.
pub fn instruction(app: &App, record: &Record) -> Option<Instruction> {
    let transfer = record
        .transfer
        .as_ref()
        .filter(|transfer| transfer.is_pending())?;
    let url = |kind| {
        app.callbacks
            .url(kind, &record.provider, record.id, record.attempt)
    };
    Some(Instruction::Dial {
        to: transfer.to.clone(),
        from: transfer.from.clone(),
        ring: Duration::from_secs(transfer.ring_s),
        outcome_url: url(CallbackKind::Outcome),
        status_url: url(CallbackKind::Leg),
    })
}

/// The other leg is over: a caller who was not taken over comes back to the agent.
pub async fn outcome(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let event = callback.carrier.parse_outcome(callback.received.parts());
    let event =
        event.ok_or_else(|| ApiError::field("", "the carrier's request names no outcome"))?;
    let record = apply(&app, &callback, event).await?;
    let was_answered = record.transfer.as_ref().is_some_and(was_answered);
    if was_answered {
        let fields = callback.received.fields();
        note_in_log(&app, &callback.ours.record, "outcome", &fields).await;
        return Ok(document(&*callback.carrier, &Instruction::HangUp));
    }
    answer::go_on(&app, &callback, "outcome").await
}

/// News of the other leg.
pub async fn leg(State(app): State<App>, callback: Callback) -> Result<StatusCode, ApiError> {
    let event = callback.carrier.parse_leg(callback.received.parts());
    let event = event
        .ok_or_else(|| ApiError::field("", "the carrier's request names no call or status"))?;
    note_in_log(
        &app,
        &callback.ours.record,
        "leg",
        &callback.received.fields(),
    )
    .await;
    apply(&app, &callback, event).await?;
    Ok(StatusCode::OK)
}

fn was_answered(transfer: &Transfer) -> bool {
    matches!(transfer.status, Status::InProgress | Status::Completed)
}

/// Writes down what is new and tells the call. The other leg of an attempt that is past says nothing of this one.
async fn apply(app: &App, callback: &Callback, event: StatusEvent) -> Result<Record, ApiError> {
    let record = callback.ours.record.clone();
    let known = record.transfer.clone();
    let Some(mut transfer) = known.filter(|_| callback.ours.attempt == record.attempt) else {
        return Ok(record);
    };
    let Some(status) = event.change.and_then(status) else {
        return Ok(record);
    };
    let was_open = transfer.is_pending();
    // The end is told twice, by the leg and by the outcome, and either may know what the other does not.
    let ends = was_answered(&transfer) && status == Status::Completed;
    if !(was_open || ends) {
        return Ok(record); // late or doubled
    }
    transfer.status = status;
    transfer.carrier_call_id = transfer
        .carrier_call_id
        .or(Some(event.call_id).filter(|id| !id.is_empty()));
    transfer.duration_s = event.duration_s.or(transfer.duration_s);
    transfer.hangup = event.hangup.or(transfer.hangup);
    let command = match status {
        Status::Ringing => None,
        _ if was_answered(&transfer) => Some(Command::TransferConnected),
        _ => Some(Command::TransferFailed(why(status).to_owned())),
    };
    let facts = Facts {
        transfer: Some(transfer),
        of_attempt: Some(record.attempt),
        ..Facts::default()
    };
    let record = app.store.note(record.id, facts, now()).await?;
    if let Some(command) = command.filter(|_| was_open)
        && !app.store.signals().send(record.id, command).await
    {
        tracing::info!(execution_id = %record.id, "a transfer's outcome comes to a call that nobody runs");
    }
    Ok(record)
}

/// The status of the other leg that a change amounts to.
fn status(change: Change) -> Option<Status> {
    Some(match change {
        Change::Ringing => Status::Ringing,
        Change::Answered => Status::InProgress,
        Change::MediaEnded => Status::Completed,
        Change::Busy => Status::Busy,
        Change::NoAnswer => Status::NoAnswer,
        Change::CarrierFailed => Status::Failed,
        Change::Canceled => Status::Canceled,
        _ => return None,
    })
}

/// For the model.
fn why(status: Status) -> &'static str {
    match status {
        Status::Busy => "the line is busy",
        Status::NoAnswer => "nobody answered",
        _ => "the number could not be reached",
    }
}
