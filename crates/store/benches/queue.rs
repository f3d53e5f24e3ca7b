//! What the dial queue costs beside a long past: two workers claim 100,000 calls that are due, at first with
//! nothing else in the table, then beside a million finished calls, or as many as `BOLO_BENCH_FINISHED` names.
//! Once the calls end, twenty times a second all that are claimed, and once all of them go on holding their lines,
//! in the end 100,000 at once, which every claim counts. Prints claims a second.
//! `cargo bench -p bolo-store --bench queue`; `BOLO_BENCH_ON=postgres` leaves SQLite out.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use bolo_store::{MasterKeys, Settings, Store};
use serde_json::json;

#[path = "../../../tests/support/past.rs"]
mod past;
#[path = "../../../tests/support/postgres.rs"]
mod postgres;

const NOW: i64 = 1_700_000_000_000;
const DUE: i64 = 100_000;
const DAY: i64 = 86_400_000;
/// As many as a worker claims at once.
const AT_ONCE: i64 = 64;
/// Accounts that the calls are of.
const ACCOUNTS: i64 = 10;
const END_EACH: Duration = Duration::from_millis(50);

/// What becomes of claimed calls.
#[derive(Clone, Copy)]
enum Calls {
    End,
    GoOn,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let given = std::env::var("BOLO_BENCH_FINISHED").ok();
    let many = given.map_or(1_000_000, |text| text.parse().unwrap());
    for finished in [0, many] {
        let folder = tempfile::tempdir_in(".").unwrap();
        if std::env::var("BOLO_BENCH_ON").as_deref() != Ok("postgres") {
            let url = format!("sqlite://{}", folder.path().join("bolo.db").display());
            measure("SQLite", &url, folder.path(), finished).await;
        }
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
    past::fill(url, "completed", finished, "NULL", NOW - DAY).await;
    past::settle(url).await;
    for calls in [Calls::End, Calls::GoOn] {
        // Half of them single calls, half of a batch.
        past::fill(url, "queued", DUE / 2, "NULL", NOW).await;
        let batch = "'00000000-0000-4000-8000-000000000001'";
        past::fill(url, "scheduled", DUE / 2, batch, NOW).await;
        past::settle(url).await;
        let rate = claim_all(url, &nodes, calls).await;
        let kept = match calls {
            Calls::End => "that end",
            Calls::GoOn => "that all go on",
        };
        println!(
            "{name}: {rate:.0} claims/s by two workers, {DUE} due {kept}, beside {finished} finished"
        );
    }
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
        tls: None,
    };
    Store::open(settings).await.unwrap()
}

/// Claims all that is due; how many a second.
async fn claim_all(url: &str, nodes: &[Store; 2], calls: Calls) -> f64 {
    let ending = matches!(calls, Calls::End).then(|| {
        let url = url.to_owned();
        tokio::spawn(async move {
            let mut each = tokio::time::interval(END_EACH);
            loop {
                each.tick().await;
                past::end_claimed(&url).await;
            }
        })
    });
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
    let took = watch.elapsed();
    if let Some(ending) = ending {
        ending.abort();
        ending.await.unwrap_err();
        past::end_claimed(url).await;
    }
    assert_eq!(all as i64, DUE);
    DUE as f64 / took.as_secs_f64()
}
