//! What a caller tells the menu before an agent answers: kept with the call. Source: api.md §11.

use bolo_execution::{ExecutionId, Record};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Store, StoredAgent, WebhookTarget,
    db::on,
    rows::{ExecutionRow, execution_columns, json, maybe_to_json, to_json},
};

impl Store {
    /// Adds to what is known of the caller, and has another agent answer where one is named. `NotFound` when
    /// the call waits for nobody any more.
    pub async fn told_menu(
        &self,
        id: ExecutionId,
        told: Map<String, Value>,
        answers: Option<(&StoredAgent, Option<WebhookTarget>)>,
        now: i64,
    ) -> Result<Record, Error> {
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(format!(
            "SELECT user_data FROM executions WHERE id = $1 AND status IN ('initiated', 'ringing') {}",
            tx.lock("FOR NO KEY UPDATE")
        ));
        let known: Option<String> = on!(&mut tx, |tx| sqlx::query_scalar(sql)
            .bind(id.to_string())
            .fetch_optional(&mut **tx)
            .await)?;
        let known = known.ok_or(Error::NotFound)?;
        let mut known: Map<String, Value> = json("user_data", &known)?;
        known.extend(told);
        let known = to_json("user_data", &known)?;
        let agent = answers.as_ref().map(|(agent, _)| *agent);
        let hook = answers.as_ref().and_then(|(_, hook)| hook.as_ref());
        let statuses = hook.and_then(|hook| hook.statuses.as_ref());
        let statuses = maybe_to_json("webhook_statuses", statuses)?;
        let row: ExecutionRow = on!(&mut tx, |tx| {
            sqlx::query_as(concat!(
                "UPDATE executions SET user_data = $2, updated_at = $3,
                    agent_id = COALESCE($4, agent_id), agent_version = COALESCE($5, agent_version),
                    webhook_url = CASE WHEN $4 IS NULL THEN webhook_url ELSE $6 END,
                    webhook_statuses = CASE WHEN $4 IS NULL THEN webhook_statuses ELSE $7 END
                 WHERE id = $1 RETURNING ",
                execution_columns!()
            ))
            .bind(id.to_string())
            .bind(known)
            .bind(now)
            .bind(agent.map(|agent| agent.id.to_string()))
            .bind(agent.map(|agent| agent.version))
            .bind(hook.map(|hook| hook.url.as_str()))
            .bind(statuses)
            .fetch_one(&mut **tx)
            .await
        })?;
        tx.commit().await?;
        row.try_into()
    }
}
