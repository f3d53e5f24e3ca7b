//! `/sub-accounts/{id}/usage`: what sub-accounts used and cost, at most 32 days at once. Source: api.md §14.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bolo_execution::{AccountId, SpeechTotals, Totals};
use chrono::{DateTime, Datelike, Duration, TimeZone, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, Forbidden, OrNotFound, Problems},
    extract::{Id, Owner, Params, PathId},
    time::{iso, now, parse},
    values::Time,
};

const LONGEST_MS: i64 = 32 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(all))
        .routes(routes!(one))
}

/// What a sub-account used.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    #[schema(format = Uuid)]
    sub_account_id: String,
    #[schema(example = "alpha-007")]
    sub_account_name: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Calls.
    #[schema(example = 12)]
    total_records: u64,
    /// Seconds.
    #[schema(example = 151.0)]
    total_duration: f64,
    /// Cents.
    #[schema(example = 31.754)]
    total_cost: f64,
    /// Cents.
    #[schema(example = 22.0)]
    total_platform_cost: f64,
    /// Cents.
    #[schema(example = 2.673)]
    total_telephony_cost: f64,
    /// Calls by status.
    #[schema(example = json!({"completed": 11, "no-answer": 1}))]
    status_map: BTreeMap<String, u64>,
    /// By vendor and model.
    #[schema(value_type = Object, example = json!({"elevenlabs": {"eleven_turbo_v2_5": {"characters": 577, "cost": 5.77}}}))]
    synthesizer_cost_map: Value,
    /// By vendor and model.
    #[schema(value_type = Object, example = json!({"deepgram": {"nova-3": {"duration": 125.5, "cost": 1.233}}}))]
    transcriber_cost_map: Value,
    /// By model.
    #[schema(value_type = Object, example = json!({"cost": 0.078, "tokens": {"gpt-4.1-mini": {"input": 2698, "output": 605}}}))]
    llm_cost_map: Value,
}

impl Usage {
    fn new(id: AccountId, name: Option<String>, span: Span, totals: &Totals) -> Self {
        let tokens: Map<String, Value> = totals
            .llm
            .iter()
            .map(|(model, used)| {
                let used = json!({ "input": used.input, "output": used.output });
                (model.clone(), used)
            })
            .collect();
        Self {
            sub_account_id: id.to_string(),
            sub_account_name: name.unwrap_or_default(),
            from: iso(span.from),
            to: iso(span.to),
            total_records: totals.calls,
            total_duration: totals.seconds,
            total_cost: totals.cost.total(),
            total_platform_cost: totals.cost.platform,
            total_telephony_cost: totals.cost.network,
            status_map: totals
                .statuses
                .iter()
                .map(|(status, count)| (status.to_string(), *count))
                .collect(),
            synthesizer_cost_map: speech(&totals.synthesizers, "characters"),
            transcriber_cost_map: speech(&totals.transcribers, "duration"),
            llm_cost_map: json!({ "cost": totals.cost.llm, "tokens": tokens }),
        }
    }
}

fn speech(totals: &SpeechTotals, amount: &str) -> Value {
    let mut vendors = Map::new();
    for (vendor, models) in totals {
        let models: Map<String, Value> = models
            .iter()
            .map(|(model, total)| {
                let total = json!({ amount: total.amount, "cost": total.cost });
                (model.clone(), total)
            })
            .collect();
        vendors.insert(vendor.clone(), models.into());
    }
    vendors.into()
}

/// Both ends are inside, epoch ms.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: i64,
    to: i64,
}

impl Span {
    /// By default from the beginning of this month to the end of today.
    fn read(params: &Params, now: i64) -> Result<Self, ApiError> {
        let given = |field| match params.get(&[field]) {
            None => Ok(None),
            Some((_, text)) => parse(text)
                .map(Some)
                .ok_or_else(|| ApiError::field(field, "must be a time in ISO 8601")),
        };
        let today = Utc.timestamp_millis_opt(now).single().unwrap_or_default();
        let span = Self {
            from: given("from")?.map_or_else(|| month_of(today), |(at, _)| at),
            to: match given("to")? {
                Some((at, false)) => at,
                Some((midnight, true)) => midnight + DAY_MS - 1,
                None => (now / DAY_MS + 1) * DAY_MS - 1,
            },
        };
        if span.to < span.from {
            return Err(ApiError::field("to", "must not be before from"));
        }
        if span.to - span.from > LONGEST_MS {
            return Err(ApiError::field("from", "must be at most 32 days before to"));
        }
        Ok(span)
    }
}

/// Midnight of the month's first day.
fn month_of(day: DateTime<Utc>) -> i64 {
    let first = day.date_naive() - Duration::days(i64::from(day.day0()));
    first
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_millis()
}

/// Shows what a sub-account used and cost.
#[utoipa::path(get, path = "/sub-accounts/{sub_account_id}/usage", tag = "Sub-accounts",
    params(("sub_account_id" = uuid::Uuid, Path, description = "The sub-account"),
        ("from" = inline(Option<Time>), Query, description = "ISO 8601; default: the beginning of this month, UTC"),
        ("to" = inline(Option<Time>), Query, description = "ISO 8601; default: the end of today, UTC")),
    responses((status = 200, description = "Sums over its calls", body = Usage), Problems, Forbidden))]
async fn one(
    State(app): State<App>,
    owner: Owner,
    Id(id): Id<AccountId>,
    params: Params,
) -> Result<Json<Usage>, ApiError> {
    let span = Span::read(&params, now())?;
    let found = app.store.sub_account(owner.account, id).await;
    let account = found.or_not_found(AccountId::NAME)?.account;
    let totals = app.store.usage(id, span.from, span.to).await?;
    Ok(Json(Usage::new(id, account.title, span, &totals)))
}

/// Shows what each sub-account used and cost.
#[utoipa::path(get, path = "/sub-accounts/all/usage", tag = "Sub-accounts",
    params(("from" = inline(Option<Time>), Query, description = "ISO 8601; default: the beginning of this month, UTC"),
        ("to" = inline(Option<Time>), Query, description = "ISO 8601; default: the end of today, UTC")),
    responses((status = 200, description = "Sums over the calls of each", body = Vec<Usage>), Problems, Forbidden))]
async fn all(
    State(app): State<App>,
    owner: Owner,
    params: Params,
) -> Result<Json<Vec<Usage>>, ApiError> {
    let span = Span::read(&params, now())?;
    let mut shown = Vec::new();
    for found in app.store.sub_accounts(owner.account).await? {
        let id = found.account.id;
        let totals = app.store.usage(id, span.from, span.to).await?;
        shown.push(Usage::new(id, found.account.title, span, &totals));
    }
    Ok(Json(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_718_442_000_000; // 2024-06-15T09:00:00Z

    fn read(query: &str) -> Result<(String, String), String> {
        let params = Params::of(query);
        Span::read(&params, NOW)
            .map(|span| (iso(span.from), iso(span.to)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_span_is_this_month_unless_given_and_at_most_32_days() {
        let text = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(
            read(""),
            text("2024-06-01T00:00:00.000Z", "2024-06-15T23:59:59.999Z")
        );
        assert_eq!(
            read("from=2024-05-20&to=2024-06-01"),
            text("2024-05-20T00:00:00.000Z", "2024-06-01T23:59:59.999Z")
        );
        for (query, field) in [
            ("from=2024-05-01&to=2024-06-02", "from"),
            ("from=2024-06-16", "to"),
            ("from=x", "from"),
            ("to=x", "to"),
        ] {
            let fault = read(query);
            assert!(
                fault.as_ref().is_err_and(|fault| fault.starts_with(field)),
                "{query}: {fault:?}"
            );
        }
    }
}
