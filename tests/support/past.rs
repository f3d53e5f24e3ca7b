//! A long past: calls that the database makes by itself, for measurements beside many of them.
//!
//! Included with `#[path]`; needs `sqlx`.

#![allow(dead_code, clippy::unwrap_used)]

use sqlx::{AssertSqlSafe, Connection};

/// `count` calls of `status`, spread over all agents, made before `now` (ms) and due since. `batch` is an SQL
/// expression.
pub async fn fill(url: &str, status: &str, count: i64, batch: &str, now: i64) {
    if count == 0 {
        return;
    }
    let (series, id, analyze) = if url.starts_with("sqlite") {
        let series = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})"
        );
        let id = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-'
            || hex(randomblob(2)) || '-' || hex(randomblob(6)))";
        (series, id, "ANALYZE")
    } else {
        let series = format!("WITH n AS (SELECT n FROM generate_series(1, {count}) AS n)");
        (
            series,
            "gen_random_uuid()::text",
            "VACUUM ANALYZE executions",
        )
    };
    let insert = format!(
        "{series} INSERT INTO executions (id, account_id, agent_id, agent_version, batch, status, direction,
            provider, to_number, from_number, user_data, bypass_guardrails, created_at, updated_at, due_at)
         SELECT {id}, a.account_id, a.id, 1, {batch}, '{status}', 'outbound', 'twilio',
            '+1415' || (1000000 + n.n), '+14155550199', '{{}}', FALSE, {now} - n.n, {now}, {now} - n.n
         FROM n JOIN (SELECT id, account_id, ROW_NUMBER() OVER (ORDER BY id) - 1 AS place,
                COUNT(*) OVER () AS agents FROM agents) a
            ON a.place = n.n % a.agents"
    );
    run(url, insert).await;
    run(url, analyze.to_owned()).await;
}

/// Calls that have been claimed were dialled and are over.
pub async fn end_claimed(url: &str) {
    let end = "UPDATE executions SET status = 'completed', claimed_by = NULL, lease_until = NULL
        WHERE status = 'queued' AND claimed_by IS NOT NULL";
    run(url, end.to_owned()).await;
}

async fn run(url: &str, sql: String) {
    let sql = AssertSqlSafe(sql);
    if url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
}
