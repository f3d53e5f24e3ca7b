//! What the store costs: calls made, claimed and changed, call log lines written. Prints one table for
//! SQLite on this machine's disk and one for PostgreSQL (a private server without fsync, unless
//! `BOLO_TEST_POSTGRES_URL` names one). `cargo bench -p bolo-store`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use bolo_execution::{Change, Direction, ExecutionId, Status};
use bolo_store::{Facts, MasterKeys, NewExecution, Settings, Store, WebhookTarget};
use serde_json::{Map, json};

#[path = "../../../tests/support/postgres.rs"]
mod postgres;

const CALLS: usize = 2_000;
const NOW: i64 = 1_700_000_000_000;
/// As long as the log line of a sentence.
const LINE: usize = 250;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    println!("SQLite");
    measure(
        open(
            &format!("sqlite://{}", folder.path().join("bolo.db").display()),
            folder.path(),
        )
        .await,
    )
    .await;
    if let Some(database) = postgres::database().await {
        println!("PostgreSQL");
        measure(open(&database.url, folder.path()).await).await;
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
    let store = Store::open(settings).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn measure(store: Store) {
    let account = store.create_account("bench", "", NOW).await.unwrap().id;
    store
        .set_account("bench", Some(1_000_000), None)
        .await
        .unwrap();
    let agent = store
        .create_agent(account, &json!({}), NOW)
        .await
        .unwrap()
        .id;
    let call = |n: usize| NewExecution {
        account,
        agent,
        agent_version: 1,
        direction: Direction::Outbound,
        provider: "twilio".into(),
        to: format!("+1415555{n:04}"),
        from: "+14155550199".into(),
        status: Status::Queued,
        due_at: NOW,
        user_data: Map::new(),
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        carrier_call_id: None,
        webhook: Some(WebhookTarget {
            url: "https://customer.example/hook".into(),
            statuses: None,
        }),
        error_message: None,
    };

    let watch = Watch::start();
    for n in 0..CALLS {
        store.create_execution(call(n), NOW).await.unwrap();
    }
    watch.print("calls made, one after the other", CALLS);

    let watch = Watch::start();
    let claimers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_due(NOW, 30_000, 20).await.unwrap();
                if claimed.is_empty() && store.next_due(NOW).await.unwrap().is_none() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|claimed| claimed.record.id));
            }
        })
    });
    let mut ids: Vec<ExecutionId> = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        ids.extend(claimer.await.unwrap());
    }
    assert_eq!(ids.len(), CALLS);
    watch.print("calls claimed, eight claimers, 20 at a time", CALLS);

    let watch = Watch::start();
    for id in &ids {
        store.intend_dial(*id, "+14155550199", NOW).await.unwrap();
    }
    watch.print("dials intended, one after the other", CALLS);

    let watch = Watch::start();
    for id in &ids {
        store
            .change(*id, Change::CarrierAccepted, Facts::default(), NOW)
            .await
            .unwrap();
    }
    watch.print("changes with webhook, one after the other", CALLS);

    let watch = Watch::start();
    let mut delivered = 0;
    while let Some(claimed) =
        Some(store.claim_deliveries(NOW, 1, 50).await.unwrap()).filter(|some| !some.is_empty())
    {
        for delivery in &claimed {
            store
                .settle_delivery(delivery.id, bolo_store::DeliveryOutcome::Delivered, NOW)
                .await
                .unwrap();
        }
        delivered += claimed.len();
    }
    watch.print("webhooks claimed and settled", delivered);

    let mut logs = Vec::new();
    for id in ids.iter().take(200) {
        logs.push(store.call_log(*id));
    }
    let line = format!("{{\"text\":\"{}\"}}", "x".repeat(LINE - 11));
    let watch = Watch::start();
    for _ in 0..100 {
        for log in &logs {
            log.event(line.clone()).unwrap();
        }
    }
    logs[0].flush().await.unwrap();
    watch.print("log lines, 200 calls, as fast as they come", 20_000);

    // As calls write: a few lines at a time, all the time.
    for (rate, at_once) in [(1_000, 5), (4_000, 20)] {
        let watch = Watch::start();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        for n in 0..5 * rate {
            if n % at_once == 0 {
                tick.tick().await;
            }
            logs[n % logs.len()].event(line.clone()).unwrap();
        }
        logs[0].flush().await.unwrap();
        watch.print(&format!("log lines, 200 calls, {rate} a second"), 5 * rate);
    }
    store.close().await;
}

/// Wall time and this process's CPU time.
struct Watch(Instant, Duration);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn print(self, what: &str, count: usize) {
        let (wall, cpu) = (self.0.elapsed(), cpu() - self.1);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "  {what:45} {:>8.0}/s  {:>7.1} µs wall  {:>6.1} µs CPU each",
            count as f64 / wall.as_secs_f64(),
            each(wall),
            each(cpu)
        );
    }
}

/// User and system time of this process, from the kernel's accounting (ticks of 10 ms).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
