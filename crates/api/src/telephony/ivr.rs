//! The menu that a number asks before an agent answers. Source: api.md §11.
//!
//! Where the caller stands is in the address that the carrier asks next; what was told is in the record.

use std::time::Duration;

use axum::{extract::State, response::Response};
use bolo_agent::{Agent, Ivr, IvrKind, IvrStep, Keyed, Outline};
use bolo_execution::{AccountId, AgentId, Change, EndReason, Hangup, HangupBy, Record, Status};
use bolo_store::{Facts, PhoneNumber, StoredAgent};
use bolo_telephony::{CallbackKind, Instruction, Line, Voice};
use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{advance, document, gate::Callback, note_in_log, stream};
use crate::{App, calls::webhook_of, error::ApiError, time::now};

/// When the menu came to its end; known to the agent.
const COMPLETED_AT: &str = "ivr_completed_at";

/// The menu that callers of a number are asked, if any.
pub fn of(number: &PhoneNumber) -> Option<Ivr> {
    let ivr = Ivr::parse(number.ivr.as_ref()?);
    let ivr = ivr.inspect_err(|error| tracing::error!(%error, "a stored menu can't be asked"));
    ivr.ok().filter(|ivr| ivr.enabled)
}

/// The first question.
pub fn first(app: &App, record: &Record, ivr: &Ivr) -> Option<Instruction> {
    let step = ivr.steps.first()?;
    Some(ask(app, record, ivr, step, 0, ivr.welcome.as_deref()))
}

fn ask(
    app: &App,
    record: &Record,
    ivr: &Ivr,
    step: &IvrStep,
    tries: u64,
    before: Option<&str>,
) -> Instruction {
    let (most, finish) = match step.kind {
        IvrKind::Menu(_) => (1, '#'),
        IvrKind::Collect { most, finish, .. } => (most, finish),
    };
    let url = app.callbacks.url(
        CallbackKind::Keys,
        &record.provider,
        record.id,
        record.attempt,
    );
    let place = form_urlencoded::Serializer::new(String::new())
        .append_pair("step", &step.id)
        .append_pair("tries", &tries.to_string())
        .finish();
    Instruction::Gather {
        say: before
            .into_iter()
            .chain([step.prompt.as_str()])
            .map(str::to_owned)
            .collect(),
        voice: ivr.voice.clone(),
        wait: Duration::from_secs(ivr.timeout_s),
        most,
        finish,
        keys_url: format!("{url}?{place}"),
    }
}

/// The caller pressed keys, or none in time.
pub async fn keys(State(app): State<App>, callback: Callback) -> Result<Response, ApiError> {
    let record = &callback.ours.record;
    let fields = callback.received.fields();
    note_in_log(&app, record, "keys", &fields);
    let waits = matches!(record.status, Status::Initiated | Status::Ringing);
    let instruction = match record.status {
        _ if callback.ours.attempt != record.attempt => Instruction::HangUp,
        // Asked twice: the menu is over already.
        Status::InProgress => stream(&app, record),
        _ if waits => next(&app, &callback).await?,
        _ => Instruction::HangUp,
    };
    Ok(document(&*callback.carrier, &instruction))
}

async fn next(app: &App, callback: &Callback) -> Result<Instruction, ApiError> {
    let record = &callback.ours.record;
    let parts = callback.received.parts();
    let (id, tries) = place(parts.url);
    let number = app
        .store
        .phone_number_named(record.account, &record.to)
        .await;
    let ivr = match number {
        Ok(number) => of(&number),
        Err(bolo_store::Error::NotFound) => None,
        Err(other) => return Err(other.into()),
    };
    // A menu that was changed meanwhile asks nothing more.
    let Some((ivr, step)) = ivr.as_ref().and_then(|ivr| Some((ivr, ivr.step(&id)?))) else {
        return answered(app, record).await;
    };
    let again = tries < ivr.max_retries;
    match ivr.keyed(step, &callback.carrier.parse_keys(parts)) {
        Keyed::Nothing if again => Ok(ask(app, record, ivr, step, tries + 1, None)),
        Keyed::Nothing => {
            give_up(app, record).await?;
            Ok(Instruction::Goodbye(Line {
                text: ivr.no_input.clone(),
                voice: Some(Voice::Named(ivr.voice.clone())),
            }))
        }
        Keyed::Wrong if again => {
            let sorry = Some(ivr.invalid.as_str());
            Ok(ask(app, record, ivr, step, tries + 1, sorry))
        }
        // Somebody who presses something wants to be heard.
        Keyed::Wrong => answered(app, record).await,
        Keyed::Right { told, agent, next } => {
            let told = told
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)));
            match (tell(app, record, told.collect(), agent).await?, next) {
                (None, _) => Ok(Instruction::HangUp),
                (Some(record), Some(step)) => Ok(ask(app, &record, ivr, step, 0, None)),
                (Some(record), None) => answered(app, &record).await,
            }
        }
    }
}

/// The call is ended by us: not every carrier tells us of an end before the media.
async fn give_up(app: &App, record: &Record) -> Result<(), ApiError> {
    let silent = Hangup {
        by: HangupBy::ApiRequest,
        reason: EndReason::InactivityTimeout.as_str().to_owned(),
        code: 4000,
    };
    let facts = Facts {
        hangup: Some(silent),
        ..Facts::default()
    };
    advance(app, record, Change::MediaEnded, facts).await?;
    Ok(())
}

/// Where the caller stands: the step, and how often it was asked again.
fn place(url: &str) -> (String, u64) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let get = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let tries = get("tries").and_then(|text| text.parse().ok());
    (get("step").unwrap_or_default(), tries.unwrap_or(u64::MAX))
}

/// The menu is over: its agent answers.
async fn answered(app: &App, record: &Record) -> Result<Instruction, ApiError> {
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let told = Map::from_iter([(COMPLETED_AT.to_owned(), Value::String(at))]);
    let Some(record) = tell(app, record, told, None).await? else {
        return Ok(Instruction::HangUp);
    };
    app.calls.prepare(&record);
    Ok(stream(app, &record))
}

/// Writes down what was told, and who answers; `None` when the caller is gone.
async fn tell(
    app: &App,
    record: &Record,
    told: Map<String, Value>,
    agent: Option<&str>,
) -> Result<Option<Record>, ApiError> {
    let agent = match agent {
        Some(id) => runnable(app, record.account, id).await?,
        None => None,
    };
    let answers = agent.as_ref().map(|agent| {
        let hook = webhook_of(&Outline::read(&agent.body));
        (agent, hook)
    });
    match app.store.told_menu(record.id, told, answers, now()).await {
        Ok(record) => Ok(Some(record)),
        Err(bolo_store::Error::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// The agent that an option names; `None` when it is gone or does not run: then the number's own answers.
async fn runnable(
    app: &App,
    account: AccountId,
    id: &str,
) -> Result<Option<StoredAgent>, ApiError> {
    let Ok(id) = id.parse::<AgentId>() else {
        return Ok(None);
    };
    let agent = match app.store.agent(account, id).await {
        Ok(agent) => agent,
        Err(bolo_store::Error::NotFound) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let runs = Agent::parse(&agent.body);
    if let Err(error) = &runs {
        tracing::warn!(agent_id = %id, %error, "a menu leads to an agent that does not run");
    }
    Ok(runs.is_ok().then_some(agent))
}

/// Who answers where no option names another.
pub async fn default_agent(
    app: &App,
    account: AccountId,
    ivr: &Ivr,
) -> Result<Option<StoredAgent>, ApiError> {
    match &ivr.default_agent {
        Some(id) => runnable(app, account, id).await,
        None => Ok(None),
    }
}
