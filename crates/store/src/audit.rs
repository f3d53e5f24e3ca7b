//! The audit log: every write and every access to a recording; who, when, what, from where. Rows are
//! added and never changed.

use bolo_execution::AccountId;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Store,
    db::{clean, on},
    rows::uuid,
    total::{Bind, Listed, bound},
};

/// One request that was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Of the line, in the order of time.
    pub id: Uuid,
    /// Whose rows it touched.
    pub account: AccountId,
    /// The API key that came with it; for an access by a signed link none.
    pub key: Option<Uuid>,
    /// Epoch ms.
    pub at: i64,
    /// `POST`, …
    pub method: String,
    /// The pattern that it met, `/v2/agent/{agent_id}`.
    pub route: String,
    /// Its path, without the query.
    pub path: String,
    /// The answer's status code.
    pub status: u16,
    /// `X-Request-Id`.
    pub request_id: String,
    /// The peer's address.
    pub remote: Option<String>,
    /// What a proxy said of the client: not to be trusted without one.
    pub forwarded_for: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    key_id: Option<String>,
    at: i64,
    method: String,
    route: String,
    path: String,
    status: i64,
    request_id: String,
    remote: Option<String>,
    forwarded_for: Option<String>,
}

/// A page of account `$1` between `$2` and `$3`.
pub(crate) const NEWEST: &str =
    "SELECT id, account_id, key_id, at, method, route, path, status, request_id,
    remote, forwarded_for FROM audit_log
    WHERE account_id = $1 AND at >= $2 AND at <= $3 ORDER BY at DESC, id DESC";

/// The same as a list.
pub(crate) fn listed(account: AccountId, from: i64, to: i64) -> Listed {
    Listed {
        table: "audit_log",
        time: "at",
        condition: "account_id = $1 AND at >= $2 AND at <= $3".to_owned(),
        values: vec![
            Bind::Text(account.to_string()),
            Bind::Int(from),
            Bind::Int(to),
        ],
    }
}

impl Store {
    /// Adds a line.
    pub async fn audit(&self, line: &Audited) -> Result<(), Error> {
        // A power cut may take its last second.
        Ok(on!(self.db().write_unsynced(), |pool| {
            sqlx::query(
                "INSERT INTO audit_log (id, account_id, key_id, at, method, route, path, status, request_id,
                    remote, forwarded_for)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(line.id.to_string())
            .bind(line.account.to_string())
            .bind(line.key.map(|key| key.to_string()))
            .bind(line.at)
            .bind(clean(&line.method))
            .bind(clean(&line.route))
            .bind(clean(&line.path))
            .bind(i64::from(line.status))
            .bind(clean(&line.request_id))
            .bind(line.remote.as_deref().map(clean))
            .bind(line.forwarded_for.as_deref().map(clean))
            .execute(pool)
            .await
            .map(|_| ())
        })?)
    }

    /// Lines of an account between two times (inclusive), newest first; `page` counts from 1. Also how
    /// many there are.
    pub async fn audited(
        &self,
        account: AccountId,
        (from, to): (i64, i64),
        page: i64,
        size: i64,
    ) -> Result<(Vec<Audited>, i64), Error> {
        let offset = (page.max(1) - 1).saturating_mul(size);
        let list = AssertSqlSafe(format!("{NEWEST} LIMIT {size} OFFSET {offset}"));
        let lines = listed(account, from, to);
        let rows: Vec<Row> = on!(self.db().read(), |pool| {
            bound!(sqlx::query_as(list), &lines.values)
                .fetch_all(pool)
                .await
        })?;
        let total = self.total(&lines).await?;
        let lines: Result<Vec<_>, _> = rows.into_iter().map(Audited::try_from).collect();
        Ok((lines?, total))
    }
}

impl TryFrom<Row> for Audited {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: uuid(&row.id)?,
            account: AccountId(uuid(&row.account_id)?),
            key: row.key_id.map(|id| uuid(&id)).transpose()?,
            at: row.at,
            method: row.method,
            route: row.route,
            path: row.path,
            status: u16::try_from(row.status)
                .map_err(|_| Error::Corrupt(format!("audit_log: status {}", row.status)))?,
            request_id: row.request_id,
            remote: row.remote,
            forwarded_for: row.forwarded_for,
        })
    }
}
