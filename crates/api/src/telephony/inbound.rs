//! Somebody calls one of our numbers. Sources: runtime.md R12, wire-telephony.md §6.5.

use axum::{
    extract::FromRequestParts,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use bolo_agent::{Agent, Ivr, Outline, SipTrunk};
use bolo_execution::{AccountId, AgentId, Direction, ExecutionId, Status};
use bolo_orchestrator::Caller;
use bolo_store::{Filter, Kind, NewExecution, StoredAgent};
use bolo_telephony::{Carrier, Instruction, Webhook};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{document, gate::Received, hang_up_later, ivr, note_in_log, status, stream};
use crate::{
    App,
    calls::{carrier_of, webhook_of},
    error::{ApiError, OrNotFound},
    extract::Params,
    time::now,
};

/// Why a call is turned away that may be taken later.
const FULL: &str = "no node may take another call (limits.max_calls)";

/// Whom the address names.
struct Target {
    account: AccountId,
    agent: StoredAgent,
}

/// `?agent_id=…&user_id=…`: an unknown agent, or a user who is not its owner, answers 404.
async fn target(app: &App, params: &Params) -> Result<Target, ApiError> {
    let nothing = || ApiError::NotFound("Agent");
    let id: AgentId = params
        .get(&["agent_id"])
        .and_then(|(_, text)| text.parse().ok())
        .ok_or_else(nothing)?;
    let account = app.store.agent_owner(id).await.or_not_found("Agent")?;
    let user = params
        .get(&["user_id"])
        .map(|(_, text)| text.parse::<AccountId>().ok());
    if user.is_some_and(|user| user != Some(account)) {
        return Err(nothing());
    }
    let agent = app.store.agent(account, id).await.or_not_found("Agent")?;
    Ok(Target { account, agent })
}

async fn open(app: &App, request: Request) -> Result<(Target, Received), ApiError> {
    let (mut parts, body) = request.into_parts();
    let Ok(params) = Params::from_request_parts(&mut parts, app).await;
    let target = target(app, &params).await?;
    Ok((
        target,
        Received::read(Request::from_parts(parts, body), app).await?,
    ))
}

/// Why no node may take the call: its media socket would find one that has room.
fn no_room(app: &App) -> Option<&'static str> {
    match app.calls.has_room_elsewhere() {
        true => None,
        false if app.draining.is_on() => Some("this node is stopping"),
        false => (!app.calls.has_room()).then_some(FULL),
    }
}

/// The carrier asks what to do with a call that comes in.
pub async fn answer(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (
        Target {
            account,
            agent: stored,
        },
        received,
    ) = open(&app, request).await?;
    let provider = carrier_of(&app, account, &Outline::read(&stored.body)).await?;
    let carrier = received.verified(&app, account, &provider).await?;
    let webhook = carrier.parse_webhook(received.parts());
    let webhook =
        webhook.ok_or_else(|| ApiError::field("", "the carrier's request names no call"))?;
    if webhook.over {
        heard(&app, account, &*carrier, &received).await?;
        return Ok(document(&*carrier, &Instruction::HangUp));
    }
    let Answerer {
        agent: stored,
        is_linked,
        ivr,
        closed_trunk,
    } = answerer(&app, account, stored, &webhook.to).await?;
    let ivr = ivr.filter(|_| carrier.gathers());
    let (agent, outline) = (Agent::parse(&stored.body), Outline::read(&stored.body));
    let id = ExecutionId::new();
    let verdict = match (&agent, no_room(&app)) {
        // A call that this node has taken keeps its row, and with it its answer, below.
        (Ok(_), Some(why)) => Err(why.to_owned()),
        (Ok(_), None) if !is_linked => Err("no agent answers this number".to_owned()),
        (Ok(_), None) if closed_trunk.is_some() => Err(closed_trunk.unwrap_or_default()),
        (Ok(agent), None) => gate(&app, id, agent, &stored, &webhook).await?,
        (Err(faults), _) => Err(format!("the agent does not run: {faults}")),
    };
    let (user_data, turned_away) = match verdict {
        Ok(known) => (known, None),
        Err(rule) => (Map::new(), Some(rule)),
    };
    let call_id = webhook.call_id;
    let now = now();
    let new = NewExecution {
        account,
        agent: stored.id,
        agent_version: stored.version,
        direction: Direction::Inbound,
        provider,
        to: webhook.to,
        from: webhook.from,
        status: if turned_away.is_some() {
            Status::Canceled
        } else {
            Status::Initiated
        },
        due_at: now,
        user_data,
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        carrier_call_id: Some(call_id.clone()),
        webhook: webhook_of(&outline),
        error_message: turned_away,
    };
    // Keyed by the carrier's id: a doubled webhook finds the same row and gets the same answer.
    let (record, new) = app.store.create_execution_as(id, new, now).await?;
    tracing::Span::current().record("execution_id", tracing::field::display(record.id));
    if new {
        tracing::info!(status = %record.status, reason = record.error_message, "inbound call");
        note_in_log(&app, &record, "inbound", &received.fields());
    }
    let instruction = match record.status {
        Status::Canceled if record.error_message.as_deref() == Some(FULL) => Instruction::Busy,
        Status::Canceled => Instruction::Reject,
        Status::Initiated | Status::Ringing | Status::InProgress => {
            let asked = ivr.as_ref().filter(|_| record.status != Status::InProgress);
            asked
                .and_then(|ivr| ivr::first(&app, &record, ivr))
                .unwrap_or_else(|| {
                    app.calls.prepare(&record);
                    stream(&app, &record)
                })
        }
        _ => {
            hang_up_later(&app, &record, Some(call_id));
            Instruction::HangUp
        }
    };
    Ok(document(&*carrier, &instruction))
}

/// The number's status callback: an inbound call's end comes here even when its media never opened.
pub async fn status(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    let (Target { account, agent }, received) = open(&app, request).await?;
    let provider = carrier_of(&app, account, &Outline::read(&agent.body)).await?;
    let carrier = received.verified(&app, account, &provider).await?;
    heard(&app, account, &*carrier, &received).await?;
    Ok(StatusCode::OK)
}

/// Applies news of a call that somebody made to us.
async fn heard(
    app: &App,
    account: AccountId,
    carrier: &dyn Carrier,
    received: &Received,
) -> Result<(), ApiError> {
    let event = carrier.parse_status(received.parts());
    let event = event
        .ok_or_else(|| ApiError::field("", "the carrier's request names no call or status"))?;
    let record = app
        .store
        .execution_by_call(carrier.name(), &event.call_id)
        .await
        .or_not_found("Call")?;
    if record.account != account {
        return Err(ApiError::NotFound("Call"));
    }
    tracing::Span::current().record("execution_id", tracing::field::display(record.id));
    let attempt = record.attempt;
    status::apply(app, record, attempt, event).await
}

/// Who answers calls to a number.
struct Answerer {
    agent: StoredAgent,
    /// Somebody does.
    is_linked: bool,
    /// What is asked first.
    ivr: Option<Ivr>,
    /// Why the number's trunk takes no calls, if it does not.
    closed_trunk: Option<String>,
}

/// The agent that the number is linked to, whatever the address says. A number that was never linked here is
/// answered by the agent of the address.
async fn answerer(
    app: &App,
    account: AccountId,
    named: StoredAgent,
    number: &str,
) -> Result<Answerer, ApiError> {
    let number = match app.store.phone_number_named(account, number).await {
        Ok(known) => Some(known),
        Err(bolo_store::Error::NotFound) => None,
        Err(other) => return Err(other.into()),
    };
    let is_linked = number.as_ref().is_none_or(|number| !number.unlinked);
    let trunk = number.as_ref().and_then(|number| number.trunk);
    let closed_trunk = match trunk {
        Some(trunk) => closed(app, account, trunk).await?,
        None => None,
    };
    let ivr = number.as_ref().filter(|_| is_linked).and_then(ivr::of);
    if let Some(menu) = &ivr
        && let Some(agent) = ivr::default_agent(app, account, menu).await?
    {
        return Ok(Answerer {
            agent,
            is_linked,
            ivr,
            closed_trunk,
        });
    }
    let linked = number.and_then(|number| number.agent);
    let agent = match linked.filter(|id| is_linked && *id != named.id) {
        Some(id) => app.store.agent(account, id).await.or_not_found("Agent")?,
        None => named,
    };
    Ok(Answerer {
        agent,
        is_linked,
        ivr,
        closed_trunk,
    })
}

/// Why a trunk takes no calls, if it does not.
async fn closed(app: &App, account: AccountId, trunk: Uuid) -> Result<Option<String>, ApiError> {
    let kept = match app.store.document(account, Kind::SipTrunk, trunk).await {
        Ok(kept) => kept,
        Err(bolo_store::Error::NotFound) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let trunk = SipTrunk::parse(&kept.body)?;
    Ok((!trunk.takes_calls()).then(|| {
        format!(
            "the SIP trunk {:?} takes no calls (is_active, inbound_enabled)",
            trunk.name
        )
    }))
}

/// Whether the call is taken: what is known of its caller, or the rule that turns it away.
async fn gate(
    app: &App,
    id: ExecutionId,
    agent: &Agent,
    stored: &StoredAgent,
    webhook: &Webhook,
) -> Result<Result<Map<String, Value>, String>, ApiError> {
    let rules = Rules::read(&stored.body);
    if rules.whitelist.contains(&webhook.from) {
        return Ok(Ok(Map::new()));
    }
    if let Some(limit) = rules.limit {
        let earlier = earlier_calls(app, stored, webhook).await?;
        if earlier >= limit {
            return Ok(Err(format!(
                "inbound_limit: this number has called {earlier} times, {limit} are allowed"
            )));
        }
    }
    let known = match &agent.ingest {
        Some(source) => {
            let caller = Caller {
                account: stored.account,
                agent: stored.id,
                execution: id,
                number: &webhook.from,
            };
            app.calls.look_up(source, caller).await
        }
        None => None,
    };
    match known {
        None if rules.disallow_unknown => Ok(Err(
            "disallow_unknown_numbers: this number is in no ingest source".to_owned(),
        )),
        known => Ok(Ok(known.unwrap_or_default())),
    }
}

/// Calls that this number made to the agent before and that were taken.
async fn earlier_calls(app: &App, agent: &StoredAgent, webhook: &Webhook) -> Result<i64, ApiError> {
    let count = async |status| {
        let filter = Filter {
            agent: Some(agent.id),
            direction: Some(Direction::Inbound),
            from_number: Some(webhook.from.clone()),
            status,
            ..Filter::default()
        };
        Ok::<_, ApiError>(
            app.store
                .executions(agent.account, &filter, 1, 1)
                .await?
                .total,
        )
    };
    Ok(count(None).await? - count(Some(Status::Canceled)).await?)
}

/// `task_config` of the first conversation, as far as it concerns who may call.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    whitelist: Vec<String>,
    /// `None` = no limit.
    limit: Option<i64>,
    disallow_unknown: bool,
}

impl Rules {
    fn read(body: &Value) -> Self {
        let tasks = body
            .pointer("/agent_config/tasks")
            .and_then(Value::as_array);
        let talks = |task: &&Value| {
            task.get("task_type")
                .and_then(Value::as_str)
                .unwrap_or("conversation")
                == "conversation"
        };
        let task = tasks.into_iter().flatten().find(talks);
        let Some(config) = task.and_then(|task| task.get("task_config")) else {
            return Self::default();
        };
        let numbers = config
            .get("whitelist_phone_numbers")
            .and_then(Value::as_array);
        Self {
            whitelist: numbers
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            limit: config
                .get("inbound_limit")
                .and_then(Value::as_f64)
                .filter(|limit| *limit >= 0.0)
                .map(|limit| limit as i64),
            disallow_unknown: config
                .get("disallow_unknown_numbers")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
        }
    }
}
