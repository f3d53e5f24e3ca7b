//! What is told of a call from outside, in its raw log. A carrier's callback is there once, however often it comes
//! (wire-telephony.md §6.5).

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

type Key = (String, String, String, i64);

impl Callback {
    /// As it is kept.
    fn key(&self) -> Key {
        (
            clean(&self.provider),
            clean(&self.call_id),
            clean(&self.event),
            i64::try_from(self.sequence).unwrap_or(i64::MAX),
        )
    }
}

/// A line of somebody else than the call.
pub(crate) struct Told {
    /// It is written the first time only.
    pub(crate) once: Option<Callback>,
    pub(crate) line: String,
    /// Epoch ms.
    pub(crate) at: i64,
}

const REMEMBER: &str = "WITH told (provider, call_id, event, sequence, at) AS (VALUES {})
    INSERT INTO callbacks (provider, call_id, event, sequence, created_at)
    SELECT provider, call_id, event, sequence, at FROM told WHERE provider IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING provider, call_id, event, sequence";

/// Remembers the callbacks among them; what is to be written, by call.
pub(super) async fn remember(
    connection: &mut Engine<&mut sqlite::Within, &mut postgres::Lent>,
    all: &[(ExecutionId, Told)],
) -> Result<BTreeMap<ExecutionId, String>, Error> {
    let mut callbacks: Vec<_> = all
        .iter()
        .filter_map(|(_, told)| Some((told.once.as_ref()?.key(), told.at)))
        .collect();
    // In one order on all nodes: whoever writes the same ones waits for us, and never we for him too.
    callbacks.sort();
    let mut first = HashSet::new();
    for now in callbacks.chunks(ROWS) {
        let sql = REMEMBER.replace("{}", &values(1, now.len(), 5));
        let new: Vec<Key> = on!(&mut *connection, |connection| {
            let mut query = sqlx::query_as(AssertSqlSafe(sql));
            for row in padded(now.iter()) {
                let key = row.map(|(key, _)| key);
                query = query
                    .bind(key.map(|key| key.0.as_str()))
                    .bind(key.map(|key| key.1.as_str()))
                    .bind(key.map(|key| key.2.as_str()))
                    .bind(key.map(|key| key.3))
                    .bind(row.map(|(_, at)| at));
            }
            query.fetch_all(&mut **connection).await
        })?;
        first.extend(new);
    }
    let mut lines = BTreeMap::<ExecutionId, String>::new();
    for (id, told) in all {
        if told
            .once
            .as_ref()
            .is_some_and(|it| !first.remove(&it.key()))
        {
            continue;
        }
        let lines = lines.entry(*id).or_default();
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&told.line);
    }
    Ok(lines)
}
