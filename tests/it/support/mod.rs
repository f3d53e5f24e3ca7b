//! What every story needs: the real binary, and the fakes at the internet's edge.

pub mod balancer;
pub mod batch;
pub mod cluster;
#[path = "../../support/link.rs"]
pub mod link;
#[path = "../../support/past.rs"]
pub mod past;
pub mod peer;
#[path = "../../support/port.rs"]
pub mod port;
#[path = "../../support/postgres.rs"]
pub mod postgres;
pub mod receiver;
#[path = "../../support/redis.rs"]
pub mod redis;
pub mod server;
pub mod tls;

use bolo_simulator::{
    caller::{CallHandle, CallerScript},
    carrier::{self, Delays, FakeCarrier, Kind},
    deepgram::{self, FakeDeepgram},
    elevenlabs::{self, FakeElevenlabs},
    llm::{self, FakeLlm},
};
use serde_json::{Value, json};
pub use server::{DEADLINE, Database, Server, Setup};

/// A number of ours at the fake carrier.
pub const OURS: &str = "+14155550100";
/// Somebody's number.
pub const THEIRS: &str = "+14155550199";

/// Each database, and each carrier.
pub const EVERYWHERE: [(Kind, Database); 6] = [
    (Kind::Twilio, Database::Sqlite),
    (Kind::Twilio, Database::Postgres),
    (Kind::Plivo, Database::Sqlite),
    (Kind::Vobiz, Database::Sqlite),
    (Kind::Exotel, Database::Sqlite),
    (Kind::SipTrunk, Database::Sqlite),
];

/// The server with a carrier and vendors around it. Callers speak in tones, which the fake transcriber
/// recognises without a model; so does the agent, which callers hear.
pub struct World {
    pub server: Server,
    pub fakes: Fakes,
}

pub struct Fakes {
    pub carrier: FakeCarrier,
    pub deepgram: FakeDeepgram,
    pub elevenlabs: FakeElevenlabs,
    pub llm: FakeLlm,
}

impl Fakes {
    pub async fn start(carrier: Kind) -> Self {
        Self::with(carrier, Delays::default()).await
    }

    /// With a carrier that takes its time.
    pub async fn with(carrier: Kind, delays: Delays) -> Self {
        Self::paced(
            carrier,
            delays,
            deepgram::Options::default(),
            elevenlabs::Options::default(),
        )
        .await
    }

    /// With vendors of speech that take theirs too.
    pub async fn paced(
        carrier: Kind,
        delays: Delays,
        deepgram: deepgram::Options,
        elevenlabs: elevenlabs::Options,
    ) -> Self {
        let options = carrier::Options {
            deadline: DEADLINE,
            delays,
            ..Default::default()
        };
        Self {
            carrier: FakeCarrier::start(carrier, options).await.unwrap(),
            deepgram: FakeDeepgram::start(deepgram).await.unwrap(),
            elevenlabs: FakeElevenlabs::start(elevenlabs).await.unwrap(),
            llm: FakeLlm::start(llm::Options::default()).await.unwrap(),
        }
    }

    /// Settings that send the server to the fakes.
    pub fn environment(&self) -> Vec<(String, String)> {
        let vendors = [
            (
                "BOLO_PROVIDERS__DEEPGRAM__BASE_URL",
                self.deepgram.base_url(),
            ),
            ("DEEPGRAM_API_KEY", self.deepgram.api_key().to_owned()),
            (
                "BOLO_PROVIDERS__ELEVENLABS__BASE_URL",
                self.elevenlabs.base_url(),
            ),
            ("ELEVENLABS_API_KEY", self.elevenlabs.api_key().to_owned()),
            ("BOLO_PROVIDERS__OPENAI__BASE_URL", self.llm.base_url()),
            ("OPENAI_API_KEY", self.llm.api_key().to_owned()),
        ];
        let carrier = self.carrier.environment();
        carrier
            .into_iter()
            .chain(vendors)
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

impl World {
    pub async fn start(database: Database) -> Self {
        Self::with(database, &[]).await
    }

    /// With this carrier.
    pub async fn on(carrier: Kind, database: Database) -> Self {
        Self::around(Fakes::start(carrier).await, database, &[]).await
    }

    /// With more settings.
    pub async fn with(database: Database, more: &[(&str, &str)]) -> Self {
        Self::around(Fakes::start(Kind::Twilio).await, database, more).await
    }

    /// Around fakes that run already.
    pub async fn around(fakes: Fakes, database: Database, more: &[(&str, &str)]) -> Self {
        let mut environment = fakes.environment();
        environment.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let server = Server::start(Setup::new(database, environment).await).await;
        fakes.carrier.set_up_for(&server.base);
        Self { server, fakes }
    }

    /// An agent calls somebody who follows a script: the execution, and the far end's handle.
    pub async fn dial(&self, agent: &Value, script: CallerScript) -> (String, CallHandle) {
        self.fakes.carrier.script(THEIRS, script);
        let agent = self.server.create_agent(&self.of_carrier(agent)).await;
        let execution = self.server.call(&agent, THEIRS).await;
        let call = self.fakes.carrier.dialled(THEIRS).await.unwrap();
        (execution, call)
    }

    /// Somebody calls an agent: the execution, and the far end's handle.
    pub async fn ring(&self, agent: &Value, script: CallerScript) -> (String, CallHandle) {
        let agent = self.server.create_agent(&self.of_carrier(agent)).await;
        let url = format!("{}/inbound_call?agent_id={agent}", self.server.base);
        let call = self
            .fakes
            .carrier
            .call_in_to(THEIRS, OURS, &url, script)
            .unwrap();
        call.media_opened().await.unwrap();
        let list = self
            .server
            .get(&format!("/v2/agent/{agent}/executions"))
            .await;
        let execution = list["data"][0]["id"].as_str().unwrap().to_owned();
        (execution, call)
    }

    /// The agent with this world's carrier named.
    pub fn of_carrier(&self, agent: &Value) -> Value {
        let mut agent = agent.clone();
        let provider = self.fakes.carrier.kind().name();
        let tools = &mut agent["agent_config"]["tasks"][0]["tools_config"];
        for way in ["input", "output"] {
            tools[way]["provider"] = provider.into();
        }
        agent
    }

    /// Stops the server and fails on unexpected complaints in its log.
    pub async fn end(self, expected: &[&str]) {
        self.server.stop_cleanly(expected).await;
    }
}

/// An agent of the fakes' vendors, and of whatever carrier the server has keys for. Its welcome and answers are short, so that stories are quick.
pub fn agent() -> Value {
    agent_with(json!({}))
}

/// The same with other settings in `task_config`.
pub fn agent_with(task_config: Value) -> Value {
    let mut settings = json!({
        "hangup_after_silence": 30,
        "incremental_delay": 0,
        "number_of_words_for_interruption": 2,
        "check_if_user_online": false,
    });
    for (key, value) in task_config.as_object().unwrap() {
        settings[key] = value.clone();
    }
    json!({
        "agent_config": {
            "agent_name": "Alfred",
            "agent_welcome_message": "Hello there.",
            "tasks": [{
                "task_type": "conversation",
                "tools_config": {
                    "llm_agent": {
                        "agent_type": "simple_llm_agent",
                        "agent_flow_type": "streaming",
                        "llm_config": {"provider": "openai", "model": "gpt-4.1-mini", "max_tokens": 150},
                    },
                    "transcriber": {"provider": "deepgram", "model": "nova-3", "language": "en", "endpointing": 250},
                    "synthesizer": {
                        "provider": "elevenlabs",
                        "provider_config": {"voice": "Nila", "voice_id": "v1", "model": "eleven_flash_v2_5"},
                    },
                    "input": {"provider": "default"},
                    "output": {"provider": "default"},
                },
                "task_config": settings,
            }],
        },
        "agent_prompts": {"task_1": {"system_prompt": "You help with orders."}},
    })
}
