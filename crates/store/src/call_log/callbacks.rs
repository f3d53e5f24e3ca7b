//! Carriers' callbacks in the raw log: each once, however often it comes (wire-telephony.md §6.5).

use std::collections::{BTreeMap, HashSet};

use bolo_execution::ExecutionId;
use sqlx::AssertSqlSafe;

use super::writer::{ROWS, padded, values};
use crate::{
    Error,
    db::{Engine, clean, on},
    postgres, sqlite,
};

/// What tells a callback from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Callback {
    /// The carrier.
    pub provider: String,
    /// Its id of the call.
    pub call_id: String,
    /// Of what it tells.
    pub event: String,
    /// Its place among those of this event.
    pub sequence: u64,
}

impl Callback {
    /// As it is kept.
    fn key(&self) -> (String, String, String, i64) {
        (
            clean(&self.provider),
            clean(&self.call_id),
            clean(&self.event),
            i64::try_from(self.sequence).unwrap_or(i64::MAX),
        )
    }
}

/// One that is to be written.
pub(crate) struct Told {
    pub(crate) id: ExecutionId,
    pub(crate) callback: Callback,
    pub(crate) line: String,
    /// Epoch ms.
    pub(crate) at: i64,
}

const REMEMBER: &str = "WITH told (provider, call_id, event, sequence, at) AS (VALUES {})
    INSERT INTO callbacks (provider, call_id, event, sequence, created_at)
    SELECT provider, call_id, event, sequence, at FROM told WHERE provider IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING provider, call_id, event, sequence";

/// Remembers them; the lines of those that did not come before, by call.
pub(super) async fn remember(
    connection: &mut Engine<&mut sqlite::Within, &mut postgres::Lent>,
    all: &[Told],
) -> Result<BTreeMap<ExecutionId, String>, Error> {
    let mut lines = BTreeMap::<ExecutionId, String>::new();
    for now in all.chunks(ROWS) {
        let sql = REMEMBER.replace("{}", &values(1, now.len(), 5));
        let first: Vec<(String, String, String, i64)> = on!(&mut *connection, |connection| {
            let mut query = sqlx::query_as(AssertSqlSafe(sql));
            for told in padded(now.iter()) {
                let key = told.map(|told| told.callback.key());
                query = query
                    .bind(key.as_ref().map(|key| key.0.clone()))
                    .bind(key.as_ref().map(|key| key.1.clone()))
                    .bind(key.as_ref().map(|key| key.2.clone()))
                    .bind(key.as_ref().map(|key| key.3))
                    .bind(told.map(|told| told.at));
            }
            query.fetch_all(&mut **connection).await
        })?;
        let mut first: HashSet<_> = first.into_iter().collect();
        for told in now {
            if first.remove(&told.callback.key()) {
                let lines = lines.entry(told.id).or_default();
                if !lines.is_empty() {
                    lines.push('\n');
                }
                lines.push_str(&told.line);
            }
        }
    }
    Ok(lines)
}
