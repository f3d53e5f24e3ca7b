//! Removes deleted sub-accounts with everything that is theirs, and what calls that are long over need no more.

use bolo_execution::{AccountId, ExecutionId};
use sqlx::{AssertSqlSafe, Connection};

use crate::{Error, Store, db::on, rows::uuid};

/// Accounts that were deleted before `$1` and have no open call.
pub(crate) const DELETED: &str = "SELECT id FROM accounts a WHERE deleted_at <= $1 AND NOT EXISTS (
    SELECT 1 FROM executions e WHERE e.account_id = a.id
        AND e.status IN ('initiated', 'ringing', 'in-progress', 'call-disconnected'))";

/// Tables whose rows belong to a call, by `execution_id`.
pub(crate) const OF_EXECUTION: [&str; 2] = ["call_logs", "webhooks"];

/// Tables whose rows belong to an agent, by `agent_id`.
pub(crate) const OF_AGENT: [&str; 1] = ["agent_versions"];

/// Tables whose rows belong to a batch, by `batch`.
pub(crate) const OF_BATCH: [&str; 1] = ["batch_rejects"];

/// Tables whose rows belong to an account, by `account_id`, each before those that it refers to.
pub(crate) const OF_ACCOUNT: [&str; 13] = [
    "agent_dispositions",
    "phone_numbers",
    "documents",
    "batches",
    "agents",
    "knowledgebases",
    "provider_keys",
    "api_keys",
    "sub_accounts",
    "idempotency_keys",
    "dial_limits",
    "webhook_endpoints",
    "batch_guards",
];

/// Calls that were under way may still need their rows for this long: to be hung up at the carrier with the
/// account's keys, to write their end.
const REST_MS: i64 = 120_000;

/// Calls that are removed in one transaction.
const CHUNK: i64 = 500;

/// Carriers' callbacks of a call are remembered this long. None cuts a call later than a day after its begin, and none
/// repeats a callback for longer than a few minutes: twice that is on the safe side.
pub(crate) const CALLBACKS_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// Calls whose last callback came before `$1`, `$2` at most. In the order of the table, and outside of any write.
pub(crate) const OLD_CALLBACKS: &str = "SELECT provider, call_id FROM callbacks
    GROUP BY provider, call_id HAVING MAX(created_at) <= $1 LIMIT $2";

impl Store {
    /// Forgets the callbacks of calls that are long over.
    pub async fn purge_callbacks(&self, now: i64) -> Result<(), Error> {
        loop {
            // Reads the whole table: a connection of SQLite that stayed would keep its pages.
            let calls: Vec<(String, String)> = on!(self.db().read(), |pool| {
                let mut alone = pool.alone().await?;
                let calls = sqlx::query_as(OLD_CALLBACKS)
                    .bind(now - CALLBACKS_MS)
                    .bind(CHUNK)
                    .fetch_all(&mut alone)
                    .await?;
                alone.close().await?;
                calls
            });
            if calls.is_empty() {
                return Ok(());
            }
            let mut tx = self.db().begin_unsynced().await?;
            for (provider, call_id) in &calls {
                on!(&mut tx, |tx| {
                    sqlx::query("DELETE FROM callbacks WHERE provider = $1 AND call_id = $2")
                        .bind(provider)
                        .bind(call_id)
                        .execute(&mut **tx)
                        .await
                        .map(drop)
                })?;
            }
            tx.commit().await?;
        }
    }

    /// Removes accounts that were deleted minutes ago and have no open call: recordings, then rows. What
    /// fails is tried again the next time. How many went.
    pub async fn purge_deleted(&self, now: i64) -> Result<usize, Error> {
        let deleted: Vec<String> = on!(self.db().read(), |pool| sqlx::query_scalar(DELETED)
            .bind(now - REST_MS)
            .fetch_all(pool)
            .await)?;
        for id in &deleted {
            self.purge(AccountId(uuid(id)?)).await?;
        }
        Ok(deleted.len())
    }

    async fn purge(&self, account: AccountId) -> Result<(), Error> {
        while self.purge_calls(account).await? {}
        self.recordings().remove_evidence(account).await?;
        let id = account.to_string();
        let mut tx = self.db().begin().await?;
        let of_agents = OF_AGENT.map(|table| {
            format!("DELETE FROM {table} WHERE agent_id IN (SELECT id FROM agents WHERE account_id = $1)")
        });
        let of_batches = OF_BATCH.map(|table| {
            format!(
                "DELETE FROM {table} WHERE batch IN (SELECT id FROM batches WHERE account_id = $1)"
            )
        });
        let of_account =
            OF_ACCOUNT.map(|table| format!("DELETE FROM {table} WHERE account_id = $1"));
        let itself = "DELETE FROM accounts WHERE id = $1".to_owned();
        for sql in of_agents
            .into_iter()
            .chain(of_batches)
            .chain(of_account)
            .chain([itself])
        {
            on!(&mut tx, |tx| {
                sqlx::query(AssertSqlSafe(sql))
                    .bind(&id)
                    .execute(&mut **tx)
                    .await
                    .map(|_| ())
            })?;
        }
        tx.commit().await?;
        self.inner.known_secrets.forget(account);
        Ok(())
    }

    /// Some of its calls; whether there were any.
    async fn purge_calls(&self, account: AccountId) -> Result<bool, Error> {
        let ids: Vec<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT id FROM executions WHERE account_id = $1 LIMIT $2")
                .bind(account.to_string())
                .bind(CHUNK)
                .fetch_all(pool)
                .await
        })?;
        for id in &ids {
            self.recordings().remove(ExecutionId(uuid(id)?)).await?;
        }
        let mut tx = self.db().begin().await?;
        for id in &ids {
            let of_call =
                OF_EXECUTION.map(|table| format!("DELETE FROM {table} WHERE execution_id = $1"));
            let itself = "DELETE FROM executions WHERE id = $1".to_owned();
            for sql in of_call.into_iter().chain([itself]) {
                on!(&mut tx, |tx| {
                    sqlx::query(AssertSqlSafe(sql))
                        .bind(id)
                        .execute(&mut **tx)
                        .await
                        .map(|_| ())
                })?;
            }
        }
        tx.commit().await?;
        Ok(!ids.is_empty())
    }
}
