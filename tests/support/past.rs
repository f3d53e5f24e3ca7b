//! A long past: calls that the database makes by itself, for measurements beside many of them.
//!
//! Included with `#[path]`; needs `sqlx`.

#![allow(dead_code, clippy::unwrap_used)]

use sqlx::{AssertSqlSafe, Connection};

/// `count` calls of `status`, spread over all agents, made before `now` (ms) and due since; their ids are by that time,
/// as the server's are. `batch` is an SQL expression.
pub async fn fill(url: &str, status: &str, count: i64, batch: &str, now: i64) {
    if count == 0 {
        return;
    }
    // A UUID of version 7: the time in 12 digits, and chance.
    let (series, time, chance, analyze) = if url.starts_with("sqlite") {
        let series = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})"
        );
        let time = format!("printf('%012x', {now} - n.n)");
        let chance = "lower(hex(randomblob(8)) || hex(randomblob(2)))";
        (series, time, chance, "ANALYZE")
    } else {
        let series = format!("WITH n AS (SELECT n FROM generate_series(1, {count}) AS n)");
        let time = format!("lpad(to_hex({now} - n.n), 12, '0')");
        let chance = "replace(gen_random_uuid()::text, '-', '')";
        (series, time, chance, "VACUUM ANALYZE executions")
    };
    let insert = format!(
        "{series} INSERT INTO executions (id, account_id, agent_id, agent_version, batch, status, direction,
            provider, to_number, from_number, user_data, bypass_guardrails, created_at, updated_at, due_at)
         SELECT substr(time, 1, 8) || '-' || substr(time, 9, 4) || '-7' || substr(chance, 1, 3)
                || '-8' || substr(chance, 4, 3) || '-' || substr(chance, 7, 12),
            a.account_id, a.id, 1, {batch}, '{status}', 'outbound', 'twilio', '+1415' || (1000000 + n.n),
            '+14155550199', '{{}}', FALSE, {now} - n.n, {now}, {now} - n.n
         FROM (SELECT n, {time} AS time, {chance} AS chance FROM n) n
         JOIN (SELECT id, account_id, ROW_NUMBER() OVER (ORDER BY id) - 1 AS place,
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

/// What was written is on the disk: a measurement behind it does not pay for it.
pub async fn settle(url: &str) {
    let flush = if url.starts_with("sqlite") {
        "PRAGMA wal_checkpoint(TRUNCATE)"
    } else {
        "CHECKPOINT"
    };
    run(url, flush.to_owned()).await;
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
