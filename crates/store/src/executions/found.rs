//! A filter of executions as SQL.

use bolo_execution::AccountId;

use super::Filter;
use crate::{
    db::clean,
    rows::{direction, execution_columns},
    total::{Bind, Listed},
};

/// From which end rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Newest,
    Oldest,
}

/// Some rows of those that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: End,
    pub(crate) size: i64,
    pub(crate) offset: i64,
}

impl Part {
    /// So many of the newest.
    pub(crate) fn newest(size: i64, offset: i64) -> Self {
        Self {
            from: End::Newest,
            size,
            offset,
        }
    }

    /// The same rows of `total`, counted from the nearer end: rows that are skipped are read too.
    pub(crate) fn nearest(size: i64, offset: i64, total: i64) -> Self {
        let behind = total - offset;
        if offset <= behind || behind <= 0 {
            return Self::newest(size, offset);
        }
        Self {
            from: End::Oldest,
            size: size.min(behind),
            offset: (behind - size).max(0),
        }
    }
}

/// A filter as a condition. Only what is asked for is in the text, so that both planners use the index
/// that fits.
pub(crate) struct Found(pub(crate) Listed);

impl Found {
    /// `uploading`: a batch of the account is being uploaded, whose calls nobody sees yet. Where none is, the
    /// index alone tells what is found.
    pub(crate) fn new(account: AccountId, filter: &Filter, uploading: bool) -> Self {
        let mut found = Self(Listed {
            table: "executions",
            time: "created_at",
            condition: String::new(),
            values: Vec::new(),
        });
        found.and("account_id =", Bind::Text(account.to_string()));
        if let Some(agent) = filter.agent {
            found.and("agent_id =", Bind::Text(agent.to_string()));
        }
        if let Some(status) = filter.status {
            found.and("status =", Bind::Text(status.as_str().to_owned()));
        }
        if let Some(way) = filter.direction {
            found.and("direction =", Bind::Text(direction(way).to_owned()));
        }
        if let Some(provider) = &filter.provider {
            found.and("provider =", Bind::Text(clean(provider)));
        }
        if let Some(voicemail) = filter.voicemail {
            found.and("answered_by_voice_mail =", Bind::Bool(voicemail));
        }
        if let Some(batch) = &filter.batch {
            found.and("batch =", Bind::Text(batch.to_string()));
            // All its calls have its time: the index that orders the list finds them.
            let bound = found.0.values.len();
            found.0.condition.push_str(&format!(
                " AND created_at = (SELECT b.created_at FROM batches b WHERE b.id = ${bound})"
            ));
        }
        if let Some(number) = &filter.from_number {
            found.and("from_number =", Bind::Text(clean(number)));
        }
        if let Some(from) = filter.from {
            found.and("created_at >=", Bind::Int(from));
        }
        if let Some(to) = filter.to {
            found.and("created_at <=", Bind::Int(to));
        }
        if let Some((created_at, id)) = filter.behind {
            found.0.values.push(Bind::Int(created_at));
            found.0.values.push(Bind::Text(id.to_string()));
            let bound = found.0.values.len();
            found.0.condition.push_str(&format!(
                " AND (created_at, id) < (${}, ${bound})",
                bound - 1
            ));
        }
        if uploading {
            found.0.condition.push_str(
                " AND (batch IS NULL OR batch NOT IN (SELECT b.id FROM batches b
                WHERE b.account_id = $1 AND b.ready_at IS NULL))",
            );
        }
        // Asked for once where one agent is meant, not for each of its calls.
        found.0.condition.push_str(if filter.agent.is_some() {
            " AND EXISTS (SELECT 1 FROM agents a WHERE a.id = $2 AND a.account_id = $1 AND a.deleted_at IS NULL)"
        } else {
            " AND agent_id IN (SELECT a.id FROM agents a WHERE a.account_id = $1 AND a.deleted_at IS NULL)"
        });
        found
    }

    pub(crate) fn list_sql(&self, part: &Part) -> String {
        let Part { from, size, offset } = part;
        let order = match from {
            End::Newest => "created_at DESC, id DESC",
            End::Oldest => "created_at, id",
        };
        format!(
            "SELECT {} FROM executions WHERE {} ORDER BY {order} LIMIT {size} OFFSET {offset}",
            execution_columns!(),
            self.0.condition
        )
    }

    fn and(&mut self, condition: &str, value: Bind) {
        let Listed {
            condition: all,
            values,
            ..
        } = &mut self.0;
        values.push(value);
        let joint = if all.is_empty() { "" } else { " AND " };
        all.push_str(&format!("{joint}{condition} ${}", values.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_end_gives_the_same_rows() {
        for total in 0..12_i64 {
            let newest: Vec<i64> = (0..total).collect();
            for size in 1..5 {
                for offset in (0..15).step_by(size) {
                    let wanted: Vec<i64> = newest.iter().skip(offset).take(size).copied().collect();
                    let part = Part::nearest(size as i64, offset as i64, total);
                    let (skip, take) = (part.offset as usize, part.size as usize);
                    let given: Vec<i64> = match part.from {
                        End::Newest => newest.iter().skip(skip).take(take).copied().collect(),
                        End::Oldest => {
                            let oldest = newest.iter().rev().skip(skip).take(take);
                            oldest
                                .copied()
                                .collect::<Vec<_>>()
                                .into_iter()
                                .rev()
                                .collect()
                        }
                    };
                    assert_eq!(given, wanted, "{size} of {total} behind {offset}");
                }
            }
        }
    }
}
