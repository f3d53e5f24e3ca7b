//! What the calls of an account used and cost in a span of time.

use bolo_execution::{AccountId, Cost, PastAttempt, Totals, Usage};
use futures_util::TryStreamExt;

use crate::{
    Error, Store,
    db::on,
    rows::{maybe_json, status},
};

pub(crate) const USAGE: &str =
    "SELECT status, answered_at, ended_at, usage, cost, history FROM executions
     WHERE account_id = $1 AND created_at >= $2 AND created_at <= $3";

#[derive(sqlx::FromRow)]
struct UsageRow {
    status: String,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    usage: Option<String>,
    cost: Option<String>,
    history: Option<String>,
}

impl Store {
    /// Sums over the calls that were asked for from `from` to `to`, both inclusive, also of agents that are
    /// deleted. Read as a stream: there may be many.
    pub async fn usage(&self, account: AccountId, from: i64, to: i64) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        on!(self.db().read(), |pool| {
            let mut rows = sqlx::query_as::<_, UsageRow>(USAGE)
                .bind(account.to_string())
                .bind(from)
                .bind(to)
                .fetch(pool);
            while let Some(row) = rows.try_next().await? {
                add(&mut totals, row)?;
            }
        });
        Ok(totals)
    }
}

fn add(totals: &mut Totals, row: UsageRow) -> Result<(), Error> {
    let last: Option<Usage> = maybe_json("usage", row.usage)?;
    let cost: Option<Cost> = maybe_json("cost", row.cost)?;
    let history: Vec<PastAttempt> = maybe_json("history", row.history)?.unwrap_or_default();
    let costs = history.iter().filter_map(|attempt| attempt.cost);
    let cost = costs.chain(cost).reduce(|sum, cost| sum + cost);
    let usages = history.into_iter().filter_map(|attempt| attempt.usage);
    let usage = usages.chain(last).reduce(|sum, usage| sum + usage);
    let seconds = row
        .answered_at
        .zip(row.ended_at)
        .map(|(from, to)| (to - from).max(0) as f64 / 1000.0);
    totals.add(status(&row.status)?, seconds, usage.as_ref(), cost.as_ref());
    Ok(())
}
