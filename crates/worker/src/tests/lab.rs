//! What a test of the worker needs: a database, a carrier, a receiver of webhooks, a running worker.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bolo_execution::{AccountId, AgentId, Direction, Record, Status};
use bolo_providers::{PublicClient, Reach, VendorSettings, Vendors};
use bolo_store::{MasterKeys, NewExecution, Store, WebhookTarget};
use bolo_telephony::{Callbacks, CarrierSettings, Carriers, Credentials};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{AbortHandle, JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use super::{carrier::Carrier, tls};
use crate::{Settings, Timings, Worker, clock::now_ms};

/// Any step of a test is over by then, or it never is.
const DEADLINE: Duration = Duration::from_secs(20);

pub async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, event)
        .await
        .expect("the event never came")
}

/// Serves until the test ends; the address without a trailing slash.
pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// A webhook as it came.
pub struct Told {
    pub headers: HeaderMap,
    pub raw: String,
    pub body: Value,
}

impl Told {
    pub fn event(&self) -> &str {
        self.body["event"].as_str().unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A receiver of webhooks. Takes each one in, then answers the next of `answers`, else 200.
pub struct Receiver {
    pub url: String,
    told: mpsc::Receiver<Told>,
    answers: mpsc::Sender<StatusCode>,
}

type Answers = Arc<(
    mpsc::Sender<Told>,
    tokio::sync::Mutex<mpsc::Receiver<StatusCode>>,
)>;

impl Receiver {
    pub async fn start() -> Self {
        let (sender, told) = mpsc::channel(1000);
        let (answers, next) = mpsc::channel(100);
        let state: Answers = Arc::new((sender, tokio::sync::Mutex::new(next)));
        let router = Router::new().route("/hook", post(take)).with_state(state);
        Self {
            url: format!("{}/hook", serve(router).await),
            told,
            answers,
        }
    }

    pub fn answers(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        for status in statuses {
            self.answers.try_send(status).unwrap();
        }
    }

    pub async fn next(&mut self) -> Told {
        in_time(self.told.recv()).await.unwrap()
    }

    /// Waits for a status of a call; the webhook's body.
    pub async fn told(&mut self, call: &Record, status: &str) -> Value {
        let id = call.id.to_string();
        loop {
            let told = self.next().await;
            if told.body["id"] == id.as_str() && told.event() == status {
                return told.body;
            }
        }
    }
}

async fn take(
    State(state): State<Answers>,
    headers: HeaderMap,
    raw: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let body = serde_json::from_str(&raw).unwrap();
    state.0.send(Told { headers, raw, body }).await.unwrap();
    let status = state.1.lock().await.try_recv().unwrap_or(StatusCode::OK);
    (status, [("location", "/hook")])
}

/// All of it. Nothing runs until [`Lab::work`].
pub struct Lab {
    pub store: Store,
    pub account: AccountId,
    pub agent: AgentId,
    pub carrier: Carrier,
    pub receiver: Receiver,
    pub settings: Settings,
    pub allow_private: bool,
    pub vendors: HashMap<String, VendorSettings>,
    pub drain: CancellationToken,
    folder: tempfile::TempDir,
    working: Option<(CancellationToken, JoinHandle<Result<(), JoinError>>)>,
    aborts: Vec<AbortHandle>,
}

impl Lab {
    /// An account with a carrier's account, a number, and an agent whose vendors have their keys.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        store.migrate().await.unwrap();
        let account = store
            .create_account("default", "ops@example.com", now_ms())
            .await
            .unwrap()
            .id;
        let carrier = Carrier::start().await;
        let keys = [
            ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
            ("TWILIO_AUTH_TOKEN", "token"),
            ("TWILIO_PHONE_NUMBER", "+14155550199"),
        ];
        for (name, value) in keys {
            store
                .set_provider_key(account, name, &value.into(), now_ms())
                .await
                .unwrap();
        }
        let agent = store
            .create_agent(account, &agent_body(), now_ms())
            .await
            .unwrap()
            .id;
        let key = |vendor: &str| {
            (
                vendor.to_owned(),
                VendorSettings {
                    base_url: None,
                    api_key: Some("key".into()),
                },
            )
        };
        let mut timings = Timings::default();
        let often = Duration::from_millis(20);
        (timings.lookup_every, timings.sweep_every, timings.postponed) =
            (often, often, Duration::from_millis(1));
        timings.webhook_retries = vec![Duration::from_millis(1); 7];
        Self {
            store,
            account,
            agent,
            carrier,
            receiver: Receiver::start().await,
            settings: Settings {
                dials_per_second: 1000,
                timings,
                ..Settings::default()
            },
            allow_private: true,
            vendors: ["openai", "deepgram", "elevenlabs"].map(key).into(),
            drain: CancellationToken::new(),
            folder,
            working: None,
            aborts: Vec::new(),
        }
    }

    /// Another process with the same database.
    pub async fn other_node(&self) -> Store {
        open(&self.folder).await
    }

    /// A call that is due, and whose statuses are told.
    pub fn call(&self) -> NewExecution {
        NewExecution {
            account: self.account,
            agent: self.agent,
            agent_version: 1,
            direction: Direction::Outbound,
            provider: "twilio".into(),
            to: "+14155550100".into(),
            from: String::new(),
            status: Status::Queued,
            due_at: 0,
            user_data: serde_json::Map::new(),
            voice_id: None,
            retry_config: None,
            bypass_guardrails: false,
            carrier_call_id: None,
            webhook: Some(WebhookTarget {
                url: self.receiver.url.clone(),
                statuses: None,
            }),
            error_message: None,
        }
    }

    pub async fn create(&self, new: NewExecution) -> Record {
        let (record, _) = self.store.create_execution(new, now_ms()).await.unwrap();
        record
    }

    /// Adds a version of the agent with a change at a JSON pointer.
    pub async fn change_agent(&mut self, pointer: &str, value: Value) {
        let mut body = agent_body();
        *body.pointer_mut(pointer).unwrap() = value;
        self.agent = self
            .store
            .create_agent(self.account, &body, now_ms())
            .await
            .unwrap()
            .id;
    }

    pub async fn read(&self, call: &Record) -> Record {
        self.store.execution_unscoped(call.id).await.unwrap()
    }

    /// Starts the worker.
    pub fn work(&mut self) {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls()))
            .no_proxy();
        let http = http.build().unwrap();
        let server = CarrierSettings {
            base_url: Some(self.carrier.url.clone()),
            credentials: None::<Credentials>,
            phone_number: None,
        };
        let models = bolo_models::Store::new(None, self.folder.path().join("models"));
        let reach = Reach::all(self.allow_private);
        let of_agents = PublicClient::for_models(&tls(), reach.clone()).unwrap();
        let worker = Worker {
            store: self.store.clone(),
            carriers: Carriers::new([("twilio".to_owned(), server)].into(), http.clone()),
            callbacks: Callbacks::new("https://bolo.example".into(), "a key for callbacks".into()),
            vendors: Vendors::new(self.vendors.clone(), models, 1, http, of_agents, tls()),
            webhooks: PublicClient::new(&tls(), reach).unwrap(),
            llm_cents: Arc::new(|_, _, tokens| tokens.input as f64),
            rings: Arc::new(|_| {}),
            settings: self.settings.clone(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.run_until(self.drain.clone(), stop.clone()));
        self.aborts.push(task.abort_handle());
        self.working = Some((stop, task));
    }

    /// Stops the worker, as a server that shuts down does.
    pub async fn rest(&mut self) {
        let (stop, task) = self.working.take().unwrap();
        stop.cancel();
        in_time(task).await.unwrap().unwrap();
    }

    /// The worker stops by itself; why.
    pub async fn failed(&mut self) -> JoinError {
        let (_, task) = self.working.take().unwrap();
        in_time(task).await.unwrap().unwrap_err()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.aborts.iter().for_each(AbortHandle::abort);
    }
}

async fn open(folder: &tempfile::TempDir) -> Store {
    let path = folder.path();
    let settings = bolo_store::Settings {
        database_url: format!("sqlite://{}", path.join("bolo.db").display()),
        recordings_url: format!("file://{}", path.join("recordings").display()),
        scratch: path.join("scratch"),
        master_keys: MasterKeys(vec!["a master key for tests".into()]),
        recordings_public_url: "https://bolo.example/recordings".into(),
        node: "node".into(),
        redis_url: None,
        tls: None,
    };
    Store::open(settings).await.unwrap()
}

pub fn agent_body() -> Value {
    json!({
        "agent_config": {
            "agent_name": "Asha",
            "calling_guardrails": null,
            "tasks": [{
                "tools_config": {
                    "llm_agent": { "llm_config": { "provider": "openai" } },
                    "synthesizer": {
                        "provider": "elevenlabs",
                        "provider_config": { "voice": "Nila", "voice_id": "V1", "model": "eleven_flash_v2_5" },
                    },
                    "transcriber": { "provider": "deepgram" },
                },
                "task_config": { "call_terminate": 90 },
            }],
        },
        "agent_prompts": { "task_1": { "system_prompt": "You book appointments." } },
    })
}
