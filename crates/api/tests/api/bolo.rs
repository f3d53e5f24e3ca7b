//! The server under test, in this process: an empty database (see `engines`), one account with a key, Twilio
//! and a model faked.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use bolo_api::{App, Draining, PerMinute, Rates, Settings};
use bolo_execution::{AccountId, AgentId, Change, ExecutionId, Record};
use bolo_orchestrator::Calls;
use bolo_providers::{VendorSettings, Vendors};
use bolo_store::{Facts, MasterKeys, Store};
use bolo_telephony::{CallbackKind, Callbacks, CarrierSettings, Carriers, Credentials};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::Connection;
use tower::ServiceExt;

use crate::{
    engines, model,
    twilio::{self, FakeTwilio},
};

pub const PUBLIC: &str = "https://bolo.example.com";

/// An answer.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON of an answer that must be 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The message of an answer that must be this error, in the shape of every error.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["error"], status);
        assert_eq!(body["message"], body["detail"]);
        body["message"].as_str().unwrap().to_owned()
    }
}

pub struct Bolo {
    pub app: App,
    pub router: Router,
    pub account: AccountId,
    pub key: String,
    pub twilio: FakeTwilio,
    pub database_url: String,
    _folder: tempfile::TempDir,
    _database: Option<engines::Database>,
}

impl Bolo {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With few requests a minute.
    pub async fn start_limited(rates: PerMinute) -> Self {
        let mut bolo = Self::start().await;
        bolo.app.rates = Arc::new(Rates::new(rates));
        bolo.router = bolo_api::router(bolo.app.clone());
        bolo
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = engines::folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let database = engines::database().await;
        let sqlite = || format!("sqlite://{}", path("bolo.db"));
        let database_url = database.as_ref().map_or_else(sqlite, |one| one.url.clone());
        let store = Store::open(bolo_store::Settings {
            database_url: database_url.clone(),
            recordings_url: format!("file://{}", path("recordings")),
            scratch: folder.path().join("scratch"),
            master_keys: MasterKeys(vec![SecretString::from("0".repeat(64))]),
            recordings_public_url: format!("{PUBLIC}/recordings"),
            node: "node".into(),
            redis_url: database.as_ref().map(|_| engines::redis().into()),
            tls: None,
        })
        .await
        .unwrap();
        store.migrate().await.unwrap();
        let twilio = FakeTwilio::start().await;
        let http = reqwest::Client::new();
        let carrier = CarrierSettings {
            base_url: Some(twilio.base_url.clone()),
            credentials: Some(Credentials::new(
                twilio::ACCOUNT,
                SecretString::from(twilio::TOKEN),
            )),
            phone_number: Some("+19876543007".parse().unwrap()),
        };
        let mut settings = Settings {
            verify_signatures: true,
            stop_inflight: true,
            mask_sub_account_keys: false,
            max_body_bytes: 64 * 1024,
            max_upload_bytes: 8 << 20,
            upload_wait: std::time::Duration::from_secs(30),
            uploads: folder.path().join("uploads"),
            strict_compat: false,
        };
        change(&mut settings);
        let app = App {
            calls: calls(&store, http.clone(), model::start().await),
            carriers: Carriers::new(HashMap::from([("twilio".into(), carrier)]), http),
            callbacks: Callbacks::new(PUBLIC.into(), SecretString::from("callbacks")),
            metrics: None,
            draining: Draining::default(),
            rates: Arc::new(Rates::new(PerMinute { busy: 0, other: 0 })),
            settings: Arc::new(settings),
            store,
        };
        let (account, key) = new_account(&app.store, "first").await;
        Self {
            router: bolo_api::router(app.clone()),
            app,
            account,
            key,
            twilio,
            database_url,
            _folder: folder,
            _database: database,
        }
    }

    /// Changes rows behind the server's back.
    pub async fn run_sql(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql);
        let url = &self.database_url;
        if url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Another tenant's key.
    pub async fn stranger(&self) -> String {
        self.new_stranger().await.1
    }

    /// Another tenant, with its key.
    pub async fn new_stranger(&self) -> (AccountId, String) {
        let name = format!("stranger-{}", uuid::Uuid::new_v4());
        new_account(&self.app.store, &name).await
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            bytes: to_bytes(body, 64 << 20).await.unwrap(),
        }
    }

    pub async fn request(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Reply {
        // As official clients do: a content type on every request, a body or not.
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(&self.key, "GET", path, None).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.request(&self.key, "DELETE", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.request(&self.key, "POST", path, Some(&body)).await
    }

    pub async fn post_empty(&self, path: &str) -> Reply {
        self.request(&self.key, "POST", path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.request(&self.key, "PUT", path, Some(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.request(&self.key, "PATCH", path, Some(&body)).await
    }

    pub async fn new_agent(&self) -> AgentId {
        self.new_agent_with(json!({})).await
    }

    /// An agent whose `task_config` is this.
    pub async fn new_agent_with(&self, task_config: Value) -> AgentId {
        let mut body = agent();
        body["agent_config"]["tasks"][0]["task_config"] = task_config;
        let created = self.post("/v2/agent", body).await.ok();
        created["agent_id"].as_str().unwrap().parse().unwrap()
    }

    /// A queued call of this agent.
    pub async fn new_call(&self, agent: AgentId) -> ExecutionId {
        let body =
            json!({ "agent_id": agent.to_string(), "recipient_phone_number": "+10123456789" });
        let placed = self.post("/call", body).await.ok();
        placed["execution_id"].as_str().unwrap().parse().unwrap()
    }

    /// A call whose dial request has left and not been answered: attempt 1.
    pub async fn dialling(&self, agent: AgentId) -> ExecutionId {
        let id = self.new_call(agent).await;
        let store = &self.app.store;
        let claimed = store.claim_due(now(), 60_000, 10).await.unwrap();
        assert!(claimed.iter().any(|claimed| claimed.record.id == id));
        let attempt = store.intend_dial(id, "+19876543007", now()).await.unwrap();
        assert_eq!(attempt, 1);
        id
    }

    /// A call that the carrier took under this id.
    pub async fn dialled(&self, agent: AgentId, call_id: &str) -> ExecutionId {
        let id = self.dialling(agent).await;
        let facts = Facts {
            carrier_call_id: Some(call_id.into()),
            ..Facts::default()
        };
        self.change(id, Change::CarrierAccepted, facts).await;
        id
    }

    pub async fn change(&self, id: ExecutionId, change: Change, facts: Facts) -> Record {
        self.app
            .store
            .change(id, change, facts, now())
            .await
            .unwrap()
    }

    pub async fn record(&self, id: ExecutionId) -> Record {
        self.app.store.execution_unscoped(id).await.unwrap()
    }

    pub async fn status(&self, id: ExecutionId) -> String {
        self.record(id).await.status.to_string()
    }

    /// Path of a callback of attempt 1.
    pub fn callback(&self, kind: CallbackKind, id: ExecutionId) -> String {
        let url = self.app.callbacks.url(kind, "twilio", id, 1);
        let host = url.find("bolo.example.com").unwrap() + "bolo.example.com".len();
        url[host..].to_owned()
    }

    /// What Twilio sends, signed as Twilio signs it.
    pub async fn twilio_posts(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let signature = twilio::signature(&format!("{PUBLIC}{path}"), form);
        self.send(twilio::post(path, form, Some(&signature))).await
    }
}

fn calls(store: &Store, http: reqwest::Client, model: String) -> Calls {
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = Arc::new(tls);
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/files");
    let unpacked = std::env::temp_dir().join("bolo-test-models");
    let models = bolo_models::Store::new(Some(models.into()), unpacked);
    let demo = VendorSettings {
        base_url: Some(model),
        api_key: None,
    };
    let demo = HashMap::from([("demo".to_owned(), demo)]);
    let reach = bolo_providers::Reach::all(true);
    let of_agents = bolo_providers::PublicClient::for_models(&tls, reach.clone()).unwrap();
    let vendors = Vendors::new(demo, models, 1, http.clone(), of_agents, tls.clone());
    let settings = bolo_orchestrator::Settings {
        rules: bolo_conversation::Rules::default(),
        prices: bolo_orchestrator::Prices::default(),
        clip_cache_bytes: 1 << 20,
        max_calls: 10,
        public: bolo_providers::PublicClient::new(&tls, reach).unwrap(),
    };
    let carriers = bolo_telephony::Carriers::new(HashMap::new(), http);
    Calls::new(store.clone(), vendors, carriers, settings)
}

async fn new_account(store: &Store, name: &str) -> (AccountId, String) {
    let account = store
        .create_account(name, "owner@example.com", now())
        .await
        .unwrap();
    let (_, key) = store.create_key(account.id, "test", now()).await.unwrap();
    (account.id, key.expose_secret().to_owned())
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The least that talks without a key.
pub fn agent() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Alfred",
            "tasks": [{
                "task_type": "conversation",
                "tools_config": {
                    "llm_agent": { "agent_type": "simple_llm_agent", "llm_config": { "provider": "demo" } },
                    "synthesizer": { "provider": "local" },
                    "transcriber": { "provider": "local" },
                },
                "task_config": {},
            }],
        },
        "agent_prompts": { "task_1": { "system_prompt": "You book appointments." } },
    })
}
