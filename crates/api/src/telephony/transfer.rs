//! A caller handed over to somebody else: whom the carrier shall call, and what came of it (runtime.md R113,
//! R114, R115; wire-telephony.md §1.6, §2.5).

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use bolo_execution::{Change, Hangup, Offer, Record, Status, Transfer};
use bolo_store::{Command, Facts};
use bolo_telephony::{CallbackKind, Instruction, Line, OfferUrl, StatusEvent, Voice};

use super::{advance, answer, document, gate::Callback, note_in_log};
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
        offer: transfer.offer.as_ref().map(|offer| OfferUrl {
            url: url(CallbackKind::Offer),
            limit: Duration::from_secs(offer.limit_s()),
        }),
    })
}

/// Somebody picked up who is asked first: what they hear.
pub async fn offer(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let record = &callback.ours.record;
    let url = app.callbacks.url(
        CallbackKind::Take,
        &record.provider,
        record.id,
        record.attempt,
    );
    let language = app.calls.language(record).await;
    let open = open_offer(&callback).map(|offer| Instruction::Offer {
        line: Line {
            text: offer.text.clone(),
            voice: language.map(Voice::Speaks),
        },
        wait: Duration::from_secs(offer.wait_s),
        take_url: url,
    });
    let instruction = open.unwrap_or(Instruction::HangUp);
    Ok(document(&*callback.carrier, &instruction))
}

/// Whoever was asked has pressed a key, or none in time.
pub async fn take(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let parts = callback.received.parts();
    let leg = callback.carrier.parse_webhook(parts);
    let leg = leg.ok_or_else(|| ApiError::field("", "the carrier's request names no call"))?;
    let fields = callback.received.fields();
    note_in_log(&app, &callback.ours.record, "take", &fields);
    let is_taken = callback.carrier.parse_taken(parts) == Some(true);
    if open_offer(&callback).is_none() {
        // The carrier may ask twice, and gets the same answer.
        let known = callback.ours.record.transfer.as_ref();
        let is_ours = known.is_some_and(|transfer| {
            transfer.is_answered() && transfer.carrier_call_id.as_ref() == Some(&leg.call_id)
        });
        return Ok(document(
            &*callback.carrier,
            &connect_if(is_taken && is_ours),
        ));
    }
    let news = News {
        leg: leg.call_id,
        is_answered: true,
        status: match is_taken {
            true => Status::InProgress,
            false => Status::NoAnswer,
        },
        duration_s: None,
        hangup: None,
    };
    let record = write(&app, &callback, news).await?;
    let is_ours = record.transfer.as_ref().is_some_and(Transfer::is_answered);
    Ok(document(&*callback.carrier, &connect_if(is_ours)))
}

fn connect_if(is_taken: bool) -> Instruction {
    match is_taken {
        true => Instruction::Connect,
        false => Instruction::HangUp,
    }
}

/// What is offered, while the call lives and nobody has taken it.
fn open_offer(callback: &Callback) -> Option<&Offer> {
    let record = &callback.ours.record;
    let is_live = record.status == Status::InProgress && callback.ours.attempt == record.attempt;
    let transfer = record
        .transfer
        .as_ref()
        .filter(|transfer| is_live && transfer.is_offered());
    transfer?.offer.as_ref()
}

/// The other leg is over: a caller who was not taken over comes back to the agent.
pub async fn outcome(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let event = callback.carrier.parse_outcome(callback.received.parts());
    let event =
        event.ok_or_else(|| ApiError::field("", "the carrier's request names no outcome"))?;
    let record = apply(&app, &callback, event).await?;
    let was_answered = record.transfer.as_ref().is_some_and(Transfer::is_answered);
    if was_answered {
        let fields = callback.received.fields();
        note_in_log(&app, &callback.ours.record, "outcome", &fields);
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
    );
    apply(&app, &callback, event).await?;
    Ok(StatusCode::OK)
}

/// What is told of the other leg.
struct News {
    /// The carrier's id of it.
    leg: String,
    /// Somebody had answered there.
    is_answered: bool,
    status: Status,
    duration_s: Option<u64>,
    hangup: Option<Hangup>,
}

async fn apply(app: &App, callback: &Callback, event: StatusEvent) -> Result<Record, ApiError> {
    let record = &callback.ours.record;
    let (Some(transfer), Some(told)) = (&record.transfer, event.change.and_then(status)) else {
        return Ok(record.clone());
    };
    let is_taken = callback.carrier.parse_taken(callback.received.parts()) == Some(true);
    let news = News {
        leg: event.call_id,
        is_answered: transfer.status == Status::Ringing,
        status: match is_taken {
            true => told,
            false => transfer.standing(told),
        },
        duration_s: event.duration_s,
        hangup: event.hangup,
    };
    write(app, callback, news).await
}

/// Writes down what is new and tells the call. The other leg of an attempt that is past says nothing of this one.
async fn write(app: &App, callback: &Callback, news: News) -> Result<Record, ApiError> {
    let record = callback.ours.record.clone();
    let known = record.transfer.clone();
    let Some(before) = known.filter(|_| callback.ours.attempt == record.attempt) else {
        return Ok(record);
    };
    let was_open = before.is_pending();
    // The end is told twice, by the leg and by the outcome, and either may know what the other does not.
    let ends = before.is_answered() && news.status == Status::Completed;
    if !(was_open || ends) {
        return Ok(record); // late or doubled
    }
    let transfer = Transfer {
        status: news.status,
        carrier_call_id: Some(news.leg)
            .filter(|id| before.carrier_call_id.is_none() && !id.is_empty())
            .or(before.carrier_call_id.clone()),
        duration_s: news.duration_s.or(before.duration_s),
        hangup: news.hangup.or(before.hangup.clone()),
        ..before.clone()
    };
    let command = match news.status {
        Status::Ringing => None,
        _ if transfer.is_answered() => Some(Command::TransferConnected),
        _ => Some(Command::TransferFailed(
            why(news.status, news.is_answered).to_owned(),
        )),
    };
    let facts = Facts {
        transfer: Some(transfer),
        of_attempt: Some(record.attempt),
        ..Facts::default()
    };
    let record = app.store.note(record.id, facts, now()).await?;
    let Some(command) = command.filter(|_| was_open) else {
        return Ok(record);
    };
    if app.store.signals().send(record.id, command).await {
        return Ok(record);
    }
    tracing::info!(execution_id = %record.id, "a transfer's outcome comes to a call that nobody runs");
    if !record.transfer.as_ref().is_some_and(Transfer::is_answered) {
        return Ok(record); // the carrier asks what now
    }
    // Nobody else ends our part of it, and whoever found it open would fetch the caller back.
    let facts = Facts {
        hangup: Some(Hangup::transferred()),
        ..Facts::default()
    };
    advance(app, &record, Change::MediaEnded, facts).await
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
fn why(status: Status, is_answered: bool) -> &'static str {
    match status {
        _ if is_answered => "whoever answered did not take the call",
        Status::Busy => "the line is busy",
        Status::NoAnswer => "nobody answered",
        _ => "the number could not be reached",
    }
}
