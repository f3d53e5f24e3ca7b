//! A filter of executions as SQL.

use bolo_execution::AccountId;

use super::Filter;
use crate::{
    db::clean,
    rows::{direction, execution_columns},
};

pub(super) enum Bind {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// A filter as a condition. Only what is asked for is in the text, so that both planners use the index
/// that fits.
pub(crate) struct Found {
    sql: String,
    pub(super) values: Vec<Bind>,
}

impl Found {
    pub(crate) fn new(account: AccountId, filter: &Filter) -> Self {
        let mut found = Self {
            sql: String::new(),
            values: Vec::new(),
        };
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
            let bound = found.values.len();
            found.sql.push_str(&format!(
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
            found.values.push(Bind::Int(created_at));
            found.values.push(Bind::Text(id.to_string()));
            let bound = found.values.len();
            found.sql.push_str(&format!(
                " AND (created_at, id) < (${}, ${bound})",
                bound - 1
            ));
        }
        found.sql.push_str(
            " AND (batch IS NULL OR batch NOT IN (SELECT b.id FROM batches b
            WHERE b.account_id = $1 AND b.ready_at IS NULL))",
        );
        found.sql.push_str(" AND agent_id IN (SELECT a.id FROM agents a WHERE a.account_id = $1 AND a.deleted_at IS NULL");
        if filter.agent.is_some() {
            found.sql.push_str(" AND a.id = $2");
        }
        found.sql.push(')');
        found
    }

    pub(super) fn count_sql(&self) -> String {
        format!("SELECT COUNT(*) FROM executions WHERE {}", self.sql)
    }

    pub(crate) fn list_sql(&self, size: i64, offset: i64) -> String {
        format!(
            "SELECT {} FROM executions WHERE {} ORDER BY created_at DESC, id DESC LIMIT {size} OFFSET {offset}",
            execution_columns!(),
            self.sql
        )
    }

    fn and(&mut self, condition: &str, value: Bind) {
        self.values.push(value);
        let joint = if self.sql.is_empty() { "" } else { " AND " };
        self.sql
            .push_str(&format!("{joint}{condition} ${}", self.values.len()));
    }
}
