//! `/batches/{id}/pause`, `/resume` and `/guard`: batches that are paused, by request or by themselves. Ours,
//! off by default.

use axum::{Json, extract::State};
use bolo_store::{BatchGuard, GuardRules};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, Id, JsonBody, PathId},
    time::{iso, now},
    values::Whole,
};

/// Calls that an answer rate is looked at over, at most: what lies further back says little.
const OVER_CALLS_AT_MOST: i64 = 10_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(show, set))
}

/// 32 hex digits; dashes may stand among them.
#[derive(Debug, Clone)]
struct Batch(String);

impl std::str::FromStr for Batch {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(|id| Self(id.simple().to_string()))
    }
}

impl PathId for Batch {
    const NAME: &'static str = "Batch";
}

/// How a batch stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct GuardView {
    /// None of its calls is dialled.
    paused: bool,
    /// Since when.
    #[schema(format = DateTime)]
    paused_at: Option<String>,
    /// `request`, `answer-rate` or `cost`.
    #[schema(example = "answer-rate")]
    paused_for: Option<String>,
    /// Least part of the dialled calls that must be answered, 0 to 1.
    min_answer_rate: Option<f64>,
    /// Over how many calls that is looked at.
    over_calls: i64,
    /// Most that the batch may cost, cents.
    max_cost: Option<f64>,
    /// Calls dialled since there is a guard, or since it was resumed.
    dialled: i64,
    /// The part of the last of them that was answered.
    answer_rate: Option<f64>,
    /// What its calls have cost, cents; counted since there is a guard.
    cost: f64,
}

fn shown(guard: BatchGuard) -> Json<GuardView> {
    Json(GuardView {
        paused: guard.paused_at.is_some(),
        paused_at: guard.paused_at.map(iso),
        paused_for: guard.paused_for,
        min_answer_rate: guard.rules.min_answer_rate,
        over_calls: guard.rules.over_calls,
        max_cost: guard.rules.max_cost,
        dialled: guard.dialled,
        answer_rate: guard.answer_rate,
        cost: guard.cost,
    })
}

/// Pauses a batch: none of its calls is dialled until it is resumed; live ones go on.
#[utoipa::path(post, path = "/batches/{batch_id}/pause", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "It is paused", body = GuardView), Problems))]
async fn pause(
    State(app): State<App>,
    caller: Caller,
    Id(Batch(id)): Id<Batch>,
) -> Result<Json<GuardView>, ApiError> {
    let paused = app.store.pause_batch(caller.account, &id, now()).await;
    paused.or_not_found(Batch::NAME).map(shown)
}

/// Resumes a batch. Its answers are counted anew; one that has cost what it may stays paused until its
/// `max_cost` is raised.
#[utoipa::path(post, path = "/batches/{batch_id}/resume", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "How it stands", body = GuardView), Problems))]
async fn resume(
    State(app): State<App>,
    caller: Caller,
    Id(Batch(id)): Id<Batch>,
) -> Result<Json<GuardView>, ApiError> {
    let resumed = app.store.resume_batch(caller.account, &id).await;
    resumed.or_not_found(Batch::NAME).map(shown)
}

/// Shows whether a batch is paused, and what pauses it by itself.
#[utoipa::path(get, path = "/batches/{batch_id}/guard", tag = "Batches",
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "How it stands", body = GuardView), Problems))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(Batch(id)): Id<Batch>,
) -> Result<Json<GuardView>, ApiError> {
    let guard = app.store.batch_guard(caller.account, &id).await;
    guard.or_not_found(Batch::NAME).map(shown)
}

/// What pauses a batch by itself.
#[derive(Deserialize, ToSchema)]
pub struct Guard {
    /// Least part of the dialled calls that must be answered, 0 to 1; absent = any.
    #[schema(example = 0.2, minimum = 0, maximum = 1)]
    min_answer_rate: Option<f64>,
    /// Over how many calls that is looked at; default 50.
    #[schema(value_type = Option<i64>, example = 50, minimum = 1, maximum = 10_000)]
    over_calls: Option<Whole>,
    /// Most that the batch may cost, cents; absent = any.
    #[schema(example = 5000, exclusive_minimum = 0)]
    max_cost: Option<f64>,
}

/// Sets what pauses a batch by itself: too few answers, or enough money spent.
#[utoipa::path(put, path = "/batches/{batch_id}/guard", tag = "Batches", request_body = Guard,
    params(("batch_id" = String, Path, description = "The batch")),
    responses((status = 200, description = "How it stands", body = GuardView), Problems, TooLarge))]
async fn set(
    State(app): State<App>,
    caller: Caller,
    Id(Batch(id)): Id<Batch>,
    JsonBody(guard): JsonBody<Guard>,
) -> Result<Json<GuardView>, ApiError> {
    let Whole(over_calls) = guard.over_calls.unwrap_or(Whole(50));
    if guard
        .min_answer_rate
        .is_some_and(|rate| !(0.0..=1.0).contains(&rate))
    {
        return Err(ApiError::field("min_answer_rate", "must be from 0 to 1"));
    }
    if !(1..=OVER_CALLS_AT_MOST).contains(&over_calls) {
        let fault = format!("must be a whole number from 1 to {OVER_CALLS_AT_MOST}");
        return Err(ApiError::field("over_calls", fault));
    }
    if guard
        .max_cost
        .is_some_and(|cents| !(cents.is_finite() && cents > 0.0))
    {
        return Err(ApiError::field("max_cost", "must be more than 0"));
    }
    let rules = GuardRules {
        min_answer_rate: guard.min_answer_rate,
        over_calls,
        max_cost: guard.max_cost,
    };
    let set = app.store.guard_batch(caller.account, &id, rules).await;
    set.or_not_found(Batch::NAME).map(shown)
}
