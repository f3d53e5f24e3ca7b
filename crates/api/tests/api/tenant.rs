//! An account that has one of everything.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use bolo_execution::{AccountId, Change, Component, Cost, Entry, EntryKind, ExecutionId, Usage};
use bolo_store::{Chunk, Command, DeliveryOutcome, Draft, Facts, Kind};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    bolo::{Bolo, Reply, now},
    operations::Operation,
};

/// A receiver is switched off when it has failed this long.
const FIVE_DAYS_MS: i64 = 5 * 24 * 3_600_000;

pub struct Tenant {
    pub key: String,
    pub account: AccountId,
    /// In every text of it, and of nobody else.
    pub mark: &'static str,
    /// What it has, by the name of the parameter that names it.
    pub things: BTreeMap<&'static str, String>,
    /// Its live call.
    _live: Option<mpsc::Receiver<Command>>,
}

impl Tenant {
    /// `owns` = it is nobody's sub-account.
    pub async fn fill(
        bolo: &Bolo,
        (account, key): (AccountId, String),
        mark: &'static str,
        owns: bool,
    ) -> Self {
        let mut tenant = Self {
            key,
            account,
            mark,
            things: BTreeMap::new(),
            _live: None,
        };
        tenant.documents(bolo, owns).await;
        let completed = tenant.calls(bolo).await;
        tenant.webhooks(bolo, completed).await;
        tenant
    }

    /// What a parameter names when it is the tenant's own.
    pub fn own(&self, name: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let new = || COUNT.fetch_add(1, Ordering::Relaxed);
        match name {
            "mark" => self.mark.to_owned(),
            "new_name" => format!("{}-{}", self.mark, new()),
            "new_number" => format!("+1415{:07}", new()),
            "version" | "against" => "1".to_owned(),
            "provider" => "local".to_owned(),
            "country" => "US".to_owned(),
            "q" => "When do you open?".to_owned(),
            "agent_ids" | "default_agent_id" | "option_agent_id" => self.own("agent_id"),
            "from_phone_number" | "from_phone_numbers" => self.own("number"),
            thing => {
                let own = self.things.get(thing);
                own.unwrap_or_else(|| panic!("{} has no {thing}", self.mark))
                    .clone()
            }
        }
    }

    /// A sub-account of it, with its key.
    pub async fn new_sub_account(&self, bolo: &Bolo) -> (AccountId, String) {
        let name = json!({ "name": "a client" });
        let made = bolo.request(&self.key, "POST", "/sub-accounts", Some(&name));
        let made = made.await.ok();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id").parse().unwrap(), text("api_key"))
    }

    /// Sends the request that an operation takes, about the tenant's own.
    pub async fn ask(&self, bolo: &Bolo, operation: &Operation) -> Reply {
        let request = operation.request(&self.key, &|name| self.own(name));
        bolo.send(request).await
    }

    /// As [`Self::ask`], and it must be done.
    async fn made(&self, bolo: &Bolo, what: &str) -> Value {
        let reply = self.ask(bolo, &Operation::named(what)).await;
        assert!(reply.status.is_success(), "{what}: {}", reply.text());
        reply.json()
    }

    fn keep(&mut self, name: &'static str, value: &Value) {
        self.things.insert(name, value.as_str().unwrap().to_owned());
    }

    async fn documents(&mut self, bolo: &Bolo, owns: bool) {
        let knowledge = self.made(bolo, "post /knowledgebase").await;
        self.keep("rag_id", &knowledge["rag_id"]);
        self.keep("vector_id", &knowledge["vector_id"]);
        let store = &bolo.app.store;
        let claimed = store.claim_knowledge(now(), 60_000).await.unwrap().unwrap();
        let chunk = Chunk {
            text: format!("{} opens at nine.", self.mark),
            vector: vec![0.1; 384],
        };
        let chunks = store.add_chunks(&claimed, 0, vec![chunk], now() + 60_000);
        chunks.await.unwrap();
        store
            .settle_knowledge(&claimed, Ok(()), now())
            .await
            .unwrap();

        let agent = self.made(bolo, "post /v2/agent").await;
        self.keep("agent_id", &agent["agent_id"]);
        self.made(bolo, "patch /v2/agent/{agent_id}").await;
        self.made(bolo, "post /providers").await;
        let providers = self.made(bolo, "get /providers").await;
        self.keep("provider_id", &providers[0]["provider_id"]);
        let number = self.made(bolo, "post /phone-numbers").await;
        self.keep("phone_number_id", &number["id"]);
        self.keep("number", &number["phone_number"]);
        self.made(bolo, "post /inbound/setup").await;
        let trunk = self.made(bolo, "post /sip-trunks/trunks").await;
        self.keep("trunk_id", &trunk["id"]);
        self.keep("trunk_number_id", &trunk["phone_numbers"][0]["id"]);
        if owns {
            self.keep("account_id", &json!(self.account.to_string()));
            let template = self.made(bolo, "post /extractions").await;
            self.keep("template_id", &template["data"]["id"]);
            let sub_account = self.made(bolo, "post /sub-accounts").await;
            self.keep("sub_account_id", &sub_account["id"]);
        }
        let disposition = self.made(bolo, "post /dispositions").await;
        self.keep("disposition_id", &disposition["id"]);
        self.keep("list_name", &json!(format!("{}.csv", self.mark)));
        self.made(bolo, "put /ingest-lists/{name}").await;
        self.made(bolo, "post /user/custom-model").await;
        self.made(bolo, "post /webhooks/secret").await;
        self.made(bolo, "post /webhooks/secret").await;
        let broken = json!({ "status": "pending", "agent_id": self.own("agent_id"),
            "execution_id": uuid::Uuid::nil(), "from_phone_number": "+1", "to_phone_number": "+2",
            "date_of_call": 1_700_000_000_000_i64, "email": self.mark });
        let draft = Draft {
            key: None,
            body: broken,
        };
        let violation = store.create_document(self.account, Kind::Violation, draft, now());
        let id = violation.await.unwrap().id;
        self.keep("violation_id", &json!(id));
    }

    /// Batches and calls; the one that is completed.
    async fn calls(&mut self, bolo: &Bolo) -> ExecutionId {
        let scheduled = self.made(bolo, "post /batches").await;
        self.keep("batch_id", &scheduled["batch_id"]);
        self.made(bolo, "post /batches/{batch_id}/schedule").await;
        self.keep("scheduled_id", &scheduled["batch_id"]);
        let batch = self.made(bolo, "post /batches").await;
        self.keep("batch_id", &batch["batch_id"]);
        self.made(bolo, "put /batches/{batch_id}/guard").await;

        let mut calls = Vec::new();
        for name in ["execution_id", "run_id", "waiting_id"] {
            let placed = self.made(bolo, "post /call").await;
            self.keep(name, &placed["execution_id"]);
            calls.push(self.own(name).parse::<ExecutionId>().unwrap());
        }
        for call in &calls[..2] {
            for change in [Change::CarrierAccepted, Change::Answered] {
                bolo.change(*call, change, Facts::default()).await;
            }
        }
        let store = &bolo.app.store;
        self._live = Some(store.signals().register(calls[1]));
        let entry = Entry::new(Component::Llm, EntryKind::Response, "openai", self.mark);
        let logged = store.append_log(self.account, calls[0], entry, now());
        logged.await.unwrap();
        let recordings = store.recordings();
        let sound = recordings.scratch_path(calls[0]);
        std::fs::create_dir_all(sound.parent().unwrap()).unwrap();
        std::fs::write(sound, self.mark).unwrap();
        recordings.finish(calls[0]).await.unwrap();
        bolo.change(calls[0], Change::MediaEnded, Facts::default())
            .await;
        let told = Facts {
            has_recording: Some(true),
            transcript: Some(format!("user: {}", self.mark)),
            usage: Some(Usage::default()),
            cost: Some(Cost::default()),
            latency: Some(json!({ "region": "local" })),
            ..Facts::default()
        };
        bolo.change(calls[0], Change::Recorded, told).await;
        calls[0]
    }

    /// A receiver that was switched off, and what it was not told.
    async fn webhooks(&mut self, bolo: &Bolo, completed: ExecutionId) {
        let store = &bolo.app.store;
        for at in [now(), now() + FIVE_DAYS_MS + 1000] {
            let due = store.claim_deliveries(at, 1000, 100).await.unwrap();
            for delivery in due {
                let outcome = DeliveryOutcome::Exhausted {
                    error: "the receiver answered 503".into(),
                };
                store
                    .settle_delivery(delivery.id, outcome, at)
                    .await
                    .unwrap();
            }
        }
        let path = format!("/webhooks/deliveries?execution_id={completed}");
        let told = bolo.request(&self.key, "GET", &path, None).await.ok();
        self.keep("event_id", &told["data"][0]["id"]);
        let endpoints = self.made(bolo, "get /webhooks/endpoints").await;
        assert!(endpoints[0]["disabled_at"].is_string(), "{endpoints}");
        self.keep("endpoint_url", &endpoints[0]["url"]);
    }
}
