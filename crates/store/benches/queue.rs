//! What the dial queue costs beside a long past: two workers claim 100,000 calls that are due, at first with
//! nothing else in the table, then beside a million finished calls. Prints claims a second. `cargo bench -p bolo-store --bench queue`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use bolo_store::{MasterKeys, Settings, Store};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection};

#[path = "../../../tests/support/postgres.rs"]
mod postgres;

const NOW: i64 = 1_700_000_000_000;
const DUE: i64 = 100_000;
const FINISHED: [i64; 2] = [0, 1_000_000];
/// As many as a worker claims at once.
const AT_ONCE: i64 = 64;
/// Accounts that the calls are of.
const ACCOUNTS: i64 = 10;

#[tokio::main(worker_threads = 2)]
async fn main() {
    for finished in FINISHED {
        let folder = tempfile::tempdir_in(".").unwrap();
        let url = format!("sqlite://{}", folder.path().join("bolo.db").display());
        measure("SQLite", &url, folder.path(), finished).await;
        if let Some(database) = postgres::database().await {
            measure("PostgreSQL", &database.url, folder.path(), finished).await;
        }
    }
}

async fn measure(name: &str, url: &str, folder: &std::path::Path, finished: i64) {
    let nodes = [open(url, folder).await, open(url, folder).await];
    let store = &nodes[0];
    store.migrate().await.unwrap();
    for n in 0..ACCOUNTS {
        let name = format!("bench-{n}");
        let account = store.create_account(&name, "", NOW).await.unwrap().id;
        store.set_account(&name, Some(DUE), None).await.unwrap();
        store.create_agent(account, &json!({}), NOW).await.unwrap();
    }
    fill(url, "completed", finished, "NULL").await;
    // Half of them single calls, half of a batch.
    fill(url, "queued", DUE / 2, "NULL").await;
    fill(url, "scheduled", DUE / 2, "'b1'").await;
    let watch = Instant::now();
    let workers = nodes.clone().map(|node| {
        tokio::spawn(async move {
            let mut mine = 0;
            loop {
                let claimed = node.claim_due(NOW, 30_000, AT_ONCE).await.unwrap().len();
                if claimed == 0 {
                    return mine;
                }
                mine += claimed;
            }
        })
    });
    let mut all = 0;
    for worker in workers {
        all += worker.await.unwrap();
    }
    assert_eq!(all as i64, DUE);
    let rate = DUE as f64 / watch.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} claims/s by two workers, {DUE} due beside {finished} finished");
    for node in nodes {
        node.close().await;
    }
}

async fn open(url: &str, folder: &std::path::Path) -> Store {
    let settings = Settings {
        database_url: url.into(),
        recordings_url: format!(
            "file://{}",
            folder.canonicalize().unwrap().join("recordings").display()
        ),
        scratch: folder.join("scratch"),
        master_keys: MasterKeys(Vec::new()),
        recordings_public_url: "https://bolo.example/recordings".into(),
        node: "bench".into(),
        redis_url: None,
    };
    Store::open(settings).await.unwrap()
}

/// Calls made by the database itself, spread over the accounts.
async fn fill(url: &str, status: &str, count: i64, batch: &str) {
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
            '+1415' || (1000000 + n.n), '+14155550199', '{{}}', FALSE, {NOW} - n.n, {NOW}, {NOW} - n.n
         FROM n JOIN (SELECT id, account_id, ROW_NUMBER() OVER (ORDER BY id) - 1 AS place FROM agents) a
            ON a.place = n.n % {ACCOUNTS}"
    );
    if url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        for sql in [insert, analyze.to_owned()] {
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        for sql in [insert, analyze.to_owned()] {
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
}
