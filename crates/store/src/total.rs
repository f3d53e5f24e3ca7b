//! How many rows a list has. To count is to read each of them, so in a long list only the newest are counted
//! each time: how many stand behind these is kept for a moment.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use sqlx::AssertSqlSafe;

use crate::{Error, Store, db::on};

/// So many rows of a list are counted each time; a list that is no longer is never kept.
pub(crate) const NEWEST: i64 = 10_000;
/// Rows that come or go behind the newest are seen after this; no test is too slow for it.
const KEPT: Duration = Duration::from_secs(if cfg!(test) { 600 } else { 5 });
const LISTS: u64 = 1_000;

/// A value of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Bind {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// Binds a condition's values, in their order.
macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                $crate::total::Bind::Text(text) => query.bind(text.clone()),
                $crate::total::Bind::Int(int) => query.bind(*int),
                $crate::total::Bind::Bool(flag) => query.bind(*flag),
            };
        }
        query
    }};
}
pub(crate) use bound;

/// The rows that a list shows, its newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Listed {
    pub(crate) table: &'static str,
    /// The column with a row's time: with `id` it orders the list.
    pub(crate) time: &'static str,
    pub(crate) condition: String,
    pub(crate) values: Vec<Bind>,
}

/// What stands behind a row of a long list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    time: i64,
    id: String,
    rows: i64,
}

/// How many rows stand behind the newest of long lists.
pub(crate) struct Totals(Cache<Listed, Behind>);

impl Totals {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(LISTS)
                .time_to_live(KEPT)
                .build(),
        )
    }
}

impl Listed {
    pub(crate) fn few_sql(&self) -> String {
        let Self {
            table, condition, ..
        } = self;
        let limit = NEWEST + 1;
        format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {limit}) AS few"
        )
    }

    /// The last row of the newest.
    pub(crate) fn edge_sql(&self) -> String {
        let Self {
            table,
            time,
            condition,
            ..
        } = self;
        let offset = NEWEST - 1;
        format!(
            "SELECT {time}, id FROM {table} WHERE {condition}
             ORDER BY {time} DESC, id DESC LIMIT 1 OFFSET {offset}"
        )
    }

    /// Those that stand on this side of a row, which is bound behind the values of the condition.
    pub(crate) fn beside_sql(&self, side: &str) -> String {
        let Self {
            table,
            time,
            condition,
            values,
        } = self;
        let bound = values.len();
        format!(
            "SELECT COUNT(*) FROM {table} WHERE {condition} AND ({time}, id) {side} (${}, ${})",
            bound + 1,
            bound + 2
        )
    }
}

impl Store {
    /// How many rows the list has. Exact up to [`NEWEST`] rows, and of what comes and goes among these; in a
    /// longer list, of the rows behind, as it was up to [`KEPT`] ago.
    pub(crate) async fn total(&self, list: &Listed) -> Result<i64, Error> {
        let kept = &self.inner.totals.0;
        if !kept.contains_key(list) {
            let few: i64 = on!(self.db().read(), |pool| {
                bound!(
                    sqlx::query_scalar(AssertSqlSafe(list.few_sql())),
                    &list.values
                )
                .fetch_one(pool)
                .await
            })?;
            if few <= NEWEST {
                return Ok(few);
            }
        }
        // Whoever asks meanwhile waits for the same count.
        let behind = kept
            .try_get_with_by_ref(list, self.behind(list))
            .await
            .map_err(|error: Arc<sqlx::Error>| Error::Unavailable(format!("database: {error}")))?;
        let newest = self
            .beside(list, ">=", behind.time, behind.id.clone())
            .await?;
        Ok(newest + behind.rows)
    }

    /// A page did not hold what the total promised: forgets what was kept of the list, if something was.
    pub(crate) async fn forget_total(&self, list: &Listed) -> bool {
        self.inner.totals.0.remove(list).await.is_some()
    }

    async fn behind(&self, list: &Listed) -> Result<Behind, sqlx::Error> {
        let edge: Option<(i64, String)> = on!(self.db().read(), |pool| {
            bound!(sqlx::query_as(AssertSqlSafe(list.edge_sql())), &list.values)
                .fetch_optional(pool)
                .await
        })?;
        // Rows may have gone meanwhile: then all that are left are the newest.
        let (time, id) = edge.unwrap_or_default();
        let rows = self.beside(list, "<", time, id.clone()).await?;
        Ok(Behind { time, id, rows })
    }

    async fn beside(
        &self,
        list: &Listed,
        side: &str,
        time: i64,
        id: String,
    ) -> Result<i64, sqlx::Error> {
        let sql = AssertSqlSafe(list.beside_sql(side));
        on!(self.db().read(), |pool| {
            bound!(sqlx::query_scalar(sql), &list.values)
                .bind(time)
                .bind(id)
                .fetch_one(pool)
                .await
        })
    }
}
