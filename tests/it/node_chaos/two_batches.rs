//! Two batches among the calls: one is dialled to its end, one is stopped in its midst and rings nobody any more.

use std::{collections::BTreeMap, time::Duration};

use bolo_simulator::carrier::{FakeCarrier, Ledger};
use serde_json::Value;

use crate::support::{
    Server,
    batch::{schedule, upload},
};

/// Calls that are asked for one by one go first.
const PATIENCE: Duration = Duration::from_secs(600);

/// See the module.
pub struct TwoBatches {
    kept: Batch,
    stopped: Batch,
    /// When the stop had been answered, epoch ms.
    stopped_at: i64,
}

struct Batch {
    id: String,
    numbers: Vec<String>,
}

impl Batch {
    async fn start(node: &Server, agent: &str, numbers: &[String]) -> Self {
        let table = node.folder().join("customers.csv");
        std::fs::write(&table, format!("contact_number\n{}\n", numbers.join("\n"))).unwrap();
        let id = upload(node, agent, &table).await;
        schedule(node, &id, "2024-06-04T22:40:00.000Z").await;
        Self {
            id,
            numbers: numbers.to_vec(),
        }
    }

    /// Its dials that the carrier placed: when (epoch ms), and the call.
    fn placed(&self, ledger: &Ledger) -> Vec<(i64, String)> {
        let mut dials = ledger.dials();
        dials.retain(|dial| self.numbers.binary_search(&dial.to).is_ok());
        let placed = dials.into_iter();
        placed
            .filter_map(|dial| Some((dial.at_ms, dial.call?)))
            .collect()
    }

    /// Its executions, each with whom it calls.
    async fn executions(&self, node: &Server) -> BTreeMap<String, String> {
        let path = format!("/batches/{}/executions", self.id);
        let all: Value = serde_json::from_slice(&node.bytes(&path).await).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let known = all.as_array().unwrap().iter();
        let known: BTreeMap<String, String> = known
            .map(|execution| {
                let to = &execution["telephony_data"]["to_number"];
                (text(&execution["id"]), text(to))
            })
            .collect();
        assert_eq!(known.len(), self.numbers.len());
        known
    }

    /// Its counts are those of its executions as they stand.
    async fn judge(&self, node: &Server, statuses: &BTreeMap<String, String>) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for id in self.executions(node).await.keys() {
            *counts.entry(&statuses[id]).or_default() += 1;
        }
        let shown = node.get(&format!("/batches/{}", self.id)).await;
        assert_eq!(shown["execution_status"], serde_json::json!(counts));
        assert_eq!(shown["valid_contacts"], self.numbers.len());
    }
}

impl TwoBatches {
    /// Both begin at once. The numbers are sorted.
    pub async fn start(node: &Server, agent: &str, numbers: &[String]) -> Self {
        let (stopped, kept) = numbers.split_at(numbers.len() / 2);
        Self {
            stopped: Batch::start(node, agent, stopped).await,
            kept: Batch::start(node, agent, kept).await,
            stopped_at: i64::MAX,
        }
    }

    /// Every execution, with whom it calls.
    pub async fn executions(&self, node: &Server) -> BTreeMap<String, String> {
        let mut all = self.kept.executions(node).await;
        all.extend(self.stopped.executions(node).await);
        all
    }

    /// Stops the one when a fifth of it has been dialled, at whichever node answers.
    pub async fn stop_in_its_midst(&mut self, carrier: &FakeCarrier, base: &str, key: &str) {
        let enough = self.stopped.numbers.len() / 5;
        let begun = |ledger: &Ledger| (self.stopped.placed(ledger).len() >= enough).then_some(());
        let until = tokio::time::Instant::now() + PATIENCE;
        while carrier.ledger_shows(begun).await.is_none() {
            assert!(tokio::time::Instant::now() < until, "it does not begin");
        }
        let http = reqwest::Client::new();
        let batch = format!("{base}/batches/{}", self.stopped.id);
        loop {
            // A node that dies takes its answer along: a second stop is refused then, and the state tells.
            let _ = http
                .post(format!("{batch}/stop"))
                .bearer_auth(key)
                .send()
                .await;
            if let Ok(shown) = http.get(&batch).bearer_auth(key).send().await
                && let Ok(shown) = shown.json::<Value>().await
                && shown["state"] == "stopped"
            {
                break;
            }
            assert!(tokio::time::Instant::now() < until, "it does not stop");
            tokio::time::sleep(Duration::from_millis(100)).await; // no-sleep-ok: polling a condition under a deadline
        }
        self.stopped_at = chrono::Utc::now().timestamp_millis();
    }

    /// The counts add up, and nobody was rung after the stop: a dial that was on its way then was hung up at once.
    /// Tells how many were dialled, and how many of these were on their way.
    pub async fn judge(
        &self,
        node: &Server,
        carrier: &FakeCarrier,
        statuses: &BTreeMap<String, String>,
    ) -> (usize, usize) {
        self.kept.judge(node, statuses).await;
        self.stopped.judge(node, statuses).await;
        let ledger = carrier.ledger();
        let placed = self.stopped.placed(ledger);
        let late = placed.iter().filter(|(at, _)| *at > self.stopped_at);
        let mut on_their_way = 0;
        for (_, call) in late {
            on_their_way += 1;
            let picked_up = !ledger.webhooks_of(call, "answer").is_empty();
            assert!(
                !picked_up || !ledger.updates(call).is_empty(),
                "{call} rang"
            );
        }
        let dialled = placed.len();
        assert!(
            dialled < self.stopped.numbers.len(),
            "the stop came too late"
        );
        (dialled, on_their_way)
    }
}
