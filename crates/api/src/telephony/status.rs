//! News of a call. They come in any order, doubled or not at all: a status only ever moves forward, and
//! whatever ends the call wins.

use axum::{extract::State, http::StatusCode};
use bolo_execution::{Change, Direction, FIRST_WAIT, Hangup, Record, Status, Transfer};
use bolo_store::{Command, Facts};
use bolo_telephony::StatusEvent;

use super::{
    advance, bind, entry,
    gate::{Callback, News},
    hang_up_later, logged, note_once,
};
use crate::{App, error::ApiError, time::now};

/// A status callback.
pub async fn status(State(app): State<App>, callback: Callback) -> Result<StatusCode, ApiError> {
    let event = callback.carrier.parse_status(callback.received.parts());
    let event = event
        .ok_or_else(|| ApiError::field("", "the carrier's request names no call or status"))?;
    apply(&app, callback.ours.record, callback.ours.attempt, event).await?;
    Ok(StatusCode::OK)
}

/// News of the media stream: kept for people.
pub async fn stream(State(app): State<App>, news: News) -> StatusCode {
    let entry = entry(&news.provider, "stream", &news.received.fields());
    logged(news.id, app.store.log_from_outside(news.id, entry, now()));
    StatusCode::OK
}

/// Applies what a status callback says. A repeated one is applied again, because the first may have died
/// halfway, and changes nothing.
pub async fn apply(
    app: &App,
    record: Record,
    attempt: i64,
    event: StatusEvent,
) -> Result<(), ApiError> {
    let which = (event.call_id.as_str(), event.sequence);
    note_once(app, &record, "status", which, &event.raw);
    let ended = event.change.is_some_and(ends);
    let over = attempt != record.attempt || record.status.is_terminal();
    if ended && attempt == record.attempt {
        app.calls.forget(record.id);
    }
    let cause = event.hangup.clone().filter(Hangup::names_a_cause);
    if over {
        if let Some(cause) = cause.filter(|_| ended && attempt == record.attempt) {
            app.store.name_end(&record, &cause, now()).await?;
        }
        // News may come late, and a caller who was handed over still talks.
        let is_away =
            attempt == record.attempt && record.hangup.as_ref().is_some_and(Hangup::is_transfer);
        if !ended && !is_away {
            tracing::info!(execution_id = %record.id, status = %record.status, "a call that is over goes on: hung up");
            hang_up_later(app, &record, Some(event.call_id));
        }
        return Ok(());
    }
    let bound = bind(
        app,
        record.clone(),
        &event.call_id,
        event.dial_id.as_deref(),
    )
    .await?;
    let Some(record) = bound else {
        if !ended {
            tracing::error!(execution_id = %record.id, "a second call of one dial: hung up");
            hang_up_later(app, &record, Some(event.call_id));
        }
        return Ok(());
    };
    match event.change {
        None => {}
        // Whatever word the carrier has for the end of a call that was answered.
        Some(change) if change == Change::MediaEnded || (ended && was_answered(&record)) => {
            connected_call_ended(app, &record, event.hangup, cause, event.duration_s).await?;
        }
        Some(Change::Postponed) => {
            let (change, facts) = Facts::postponed(&record, event.hangup, FIRST_WAIT, now());
            advance(app, &record, change, facts).await?;
        }
        Some(change) => {
            let record = advance(app, &record, change, facts(change, event.hangup)).await?;
            if matches!(record.status, Status::Ringing | Status::InProgress) {
                app.calls.prepare(&record);
            }
        }
    }
    Ok(())
}

/// The leg is over.
fn ends(change: Change) -> bool {
    use Change::{Busy, Canceled, CarrierFailed, Faulted, MediaEnded, NoAnswer, Postponed};
    matches!(
        change,
        Busy | NoAnswer | CarrierFailed | Postponed | Canceled | MediaEnded | Faulted
    )
}

fn was_answered(record: &Record) -> bool {
    matches!(record.status, Status::InProgress | Status::CallDisconnected)
}

fn facts(change: Change, hangup: Option<Hangup>) -> Facts {
    let failed = change == Change::CarrierFailed;
    let error_message = hangup
        .as_ref()
        .filter(|_| failed)
        .map(|hangup| hangup.reason.clone());
    Facts {
        hangup,
        error_message,
        ..Facts::default()
    }
}

/// A call that had been connected is over; `cause`: why, where the carrier knows more than that.
async fn connected_call_ended(
    app: &App,
    record: &Record,
    hangup: Option<Hangup>,
    cause: Option<Hangup>,
    duration_s: Option<u64>,
) -> Result<(), ApiError> {
    if record.status == Status::CallDisconnected {
        if let Some(cause) = &cause {
            app.store.name_end(record, cause, now()).await?;
        }
        return Ok(());
    }
    // Whoever runs the call knows whether we ended it, and writes it down.
    if app
        .store
        .signals()
        .send(record.id, Command::CarrierEnded(cause))
        .await
    {
        return Ok(());
    }
    // A caller may hang up before their call's media opens; a call of ours that was picked up asked for it.
    if record.status == Status::InProgress || record.direction == Direction::Inbound {
        let transfer = record.transfer.as_ref();
        let hangup = if transfer.is_some_and(Transfer::is_answered) {
            // Our part was over when somebody else took the caller.
            Some(Hangup::transferred())
        } else if record.direction == Direction::Outbound && !app.store.is_taken(record.id).await? {
            Some(Hangup::unreached())
        } else {
            hangup
        };
        let facts = Facts {
            hangup,
            ..Facts::default()
        };
        advance(app, record, Change::MediaEnded, facts).await?;
        return Ok(());
    }
    // Never asked us what to do (wire-telephony.md §5.2, last row).
    let seconds = duration_s.unwrap_or_default();
    let error_message = Some(format!(
        "the call was connected for {seconds} s, but the carrier never opened its media"
    ));
    let facts = Facts {
        hangup: Some(Hangup::unreached()),
        error_message,
        ..Facts::default()
    };
    advance(app, record, Change::Faulted, facts).await?;
    Ok(())
}
