//! Which executions a list shows: the query's filters under all their names. Source: api.md §8 Queries.

use bolo_execution::{Direction, Status};
use bolo_store::Filter;
use utoipa::{IntoParams, openapi::schema::Schema};

use crate::{
    error::ApiError,
    extract::Params,
    time,
    values::{self, Time},
};

const DAY_MS: i64 = 86_400_000;

/// The parameters of [`read`], for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct FilterParams {
    /// Calls that stand here: `queued`, `in-progress`, `completed`, …
    status: Option<crate::schemas::ExecutionStatus>,
    /// Who called.
    #[param(schema_with = call_types)]
    call_type: Option<String>,
    /// `twilio`, `plivo`, `websocket`, `web-call`, …
    provider: Option<String>,
    /// Calls that a machine answered, or didn't. `answered_by_voice_mail` is an alias.
    voicemail: Option<bool>,
    /// Calls of this batch: its id, with dashes or without.
    #[param(pattern = "^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$")]
    batch_id: Option<String>,
    /// Calls made at or after this time (ISO 8601). `from` is an alias.
    #[param(inline)]
    created_at_gte: Option<Time>,
    /// Calls made at or before this time (ISO 8601). `to` is an alias.
    #[param(inline)]
    created_at_lte: Option<Time>,
}

fn call_types() -> Schema {
    values::one_of(["inbound", "outbound"])
}

/// Reads the filters. The first of the names given here wins where both are there; what can't be read
/// answers 400 and names the parameter.
pub fn read(params: &Params) -> Result<Filter, ApiError> {
    let (from, to) = span(params)?;
    Ok(Filter {
        agent: one(params, &["agent_id"], "must be an agent's id", |text| {
            text.parse().ok()
        })?,
        status: one(
            params,
            &["status"],
            &format!("must be one of {}", statuses()),
            |text| text.parse().ok(),
        )?,
        direction: one(
            params,
            &["call_type"],
            "must be inbound or outbound",
            direction,
        )?,
        provider: params.get(&["provider"]).map(|(_, value)| value.to_owned()),
        voicemail: one(
            params,
            &["voicemail", "answered_by_voice_mail"],
            "must be true or false",
            truth,
        )?,
        batch: one(params, &["batch_id"], "must be a batch's id", |text| {
            text.parse().ok()
        })?,
        behind: None,
        from_number: None,
        from,
        to,
    })
}

/// The span of time that a list is bound to: from, to, epoch ms.
pub fn span(params: &Params) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let from = one(params, &["created_at_gte", "from"], NO_TIME, |text| {
        Some(time::parse(text)?.0)
    })?;
    let to = one(params, &["created_at_lte", "to"], NO_TIME, |text| {
        let (at, whole_day) = time::parse(text)?;
        Some(if whole_day { at + DAY_MS - 1 } else { at })
    })?;
    Ok((from, to))
}

/// What a time should have been.
pub const NO_TIME: &str = "must be an ISO 8601 time, such as 2024-01-23T01:14:37Z";

/// The parameter under the first of these names that is there; what can't be read is `fault`.
pub fn one<T>(
    params: &Params,
    names: &[&'static str],
    fault: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some((name, text)) = params.get(names) else {
        return Ok(None);
    };
    read(text)
        .map(Some)
        .ok_or_else(|| ApiError::field(name, fault))
}

fn statuses() -> String {
    Status::ALL.map(Status::as_str).join(", ")
}

fn direction(text: &str) -> Option<Direction> {
    match text {
        "inbound" => Some(Direction::Inbound),
        "outbound" => Some(Direction::Outbound),
        _ => None,
    }
}

/// `True` is what Python's clients send.
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
