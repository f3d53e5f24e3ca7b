//! `bolo demo`: one spoken phone call between a simulated caller and the demo agent. The caller's voice,
//! the carrier's wire, the recognition, the turns and the agent's voice are real; only the two ends of the
//! phone line are ours.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use bolo_simulator::{
    caller::CallerScript,
    carrier::{Delays, FakeCarrier, Kind, Number, Options},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    call::{follow, spoken_turn},
    client::Client,
    now, print_json,
    serve::serve_until,
};
use crate::{node::Node, settings::Settings};

/// Whom the demo calls, at a number that no carrier has.
const CALLER: &str = "+15550100199";
const CLINIC: &str = "+15550100100";

/// Hold one spoken phone call between a simulated caller and the demo agent, without any key.
#[derive(clap::Args)]
pub struct Demo {
    /// End after the call; exit 1 if it failed.
    #[arg(long)]
    once: bool,
    /// Also write recording.wav, execution.json and log.json there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Demo {
    pub async fn run(self, mut settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let script: CallerScript =
            toml::from_str(include_str!("../../../../config/callers/demo.toml"))
                .context("config/callers/demo.toml")?;
        let options = Options {
            numbers: vec![Number::new(CLINIC)],
            default_script: script,
            delays: Delays {
                rest_ms: 60,
                ringing_ms: 300,
                callback_ms: 20,
                ..Delays::default()
            },
            tones: false,
            ..Options::default()
        };
        let carrier = FakeCarrier::start(Kind::Twilio, options)
            .await
            .context("can't start the simulated carrier")?;
        let twilio = &mut settings.telephony.twilio;
        twilio.base_url = Some(carrier.base_url());
        twilio.account = Some(carrier.account().to_owned());
        twilio.token = Some(carrier.token().to_owned());
        twilio.phone_number = Some(CLINIC.to_owned());
        settings.security.allow_private_addresses = true;
        if tokio::net::TcpListener::bind(settings.server.listen)
            .await
            .is_err()
        {
            settings.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        }
        let agent = agent(&settings)?;
        let data_dir = settings.data_dir.clone();
        let say = |line: &str| {
            if !json {
                println!("{line}");
            }
        };

        say("Starting the server (SQLite, local speech) …");
        let tls = settings.tls()?;
        let mut node = Node::start(settings).await?;
        let key = key(&node).await?;
        let base = format!("http://{}", node.address);
        let client = Client::new(base.clone(), key.clone(), &tls)?;
        let created = client.post("/v2/agent", &agent).await?;
        let Some(agent_id) = created["agent_id"].as_str() else {
            bail!("the server named no agent")
        };

        say("Calling a simulated caller over a simulated carrier: real audio, 8 kHz mu-law.\n");
        let body = json!({"agent_id": agent_id, "recipient_phone_number": CALLER});
        let placed = client.post("/call", &body).await?;
        let Some(id) = placed["execution_id"].as_str() else {
            bail!("the server named no execution")
        };
        let mut turns = 0;
        let following = follow(&client, id, |line| {
            turns += usize::from(spoken_turn(line));
            say(line);
        });
        let record = tokio::select! {
            record = following => record?,
            error = node.failed() => return Err(error),
        };
        let log = client.get(&format!("/executions/{id}/log")).await?;
        let completed = record["status"] == "completed";
        if let Some(folder) = &self.out {
            write(folder, &client, id, &record, &log).await?;
        }
        if json {
            print_json(&record);
        } else {
            println!(
                "\n{turns} caller turns in {} s; hung up: {}",
                record["conversation_duration"], record["telephony_data"]["hangup_reason"]
            );
            println!(
                "recording   {}",
                record["recording_url"].as_str().unwrap_or("none")
            );
            println!("execution   {base}/executions/{id}");
            println!("API         {base}/docs");
            println!("API key     {key}");
            println!("data        {}", data_dir.display());
        }
        if !completed {
            eprintln!(
                "bolo: the call ended {}: {}",
                record["status"], record["error_message"]
            );
        }
        if !self.once {
            say("\nServing on. Ctrl-C ends it.");
        }
        let once = self.once;
        let asked = async {
            if once {
                return Ok(());
            }
            let interrupted = tokio::signal::ctrl_c().await;
            interrupted.context("can't listen for SIGINT")
        };
        serve_until(asked, node).await?;
        Ok(if completed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The demo's agent: scripted, or a real model where there is a key.
fn agent(settings: &Settings) -> anyhow::Result<Value> {
    let mut agent: Value =
        serde_json::from_str(include_str!("../../../../config/agents/demo.json"))
            .context("config/agents/demo.json")?;
    let openai = settings.providers.get("openai");
    if openai.is_some_and(|openai| openai.api_key.is_some() || openai.base_url.is_some()) {
        let model =
            &mut agent["agent_config"]["tasks"][0]["tools_config"]["llm_agent"]["llm_config"];
        model["provider"] = "openai".into();
        model["model"] = "gpt-4.1-mini".into();
    }
    Ok(agent)
}

/// An account for demos, and a key of this run.
async fn key(node: &Node) -> anyhow::Result<String> {
    let account = match node.store.account_named("demo").await {
        Ok(account) => account,
        Err(bolo_store::Error::NotFound) => node.store.create_account("demo", "", now()).await?,
        Err(error) => return Err(error.into()),
    };
    let (_, key) = node.store.create_key(account.id, "demo", now()).await?;
    Ok(key.expose_secret().to_owned())
}

async fn write(
    folder: &Path,
    client: &Client,
    id: &str,
    record: &Value,
    log: &Value,
) -> anyhow::Result<()> {
    let say = |error| move || format!("--out: can't write {error}");
    std::fs::create_dir_all(folder).with_context(say(folder.display().to_string()))?;
    for (name, value) in [("execution.json", record), ("log.json", log)] {
        let path = folder.join(name);
        std::fs::write(&path, serde_json::to_vec_pretty(value)?)
            .with_context(say(path.display().to_string()))?;
    }
    let path = folder.join("recording.wav");
    let recording = client.bytes(&format!("/recordings/call/{id}")).await?;
    std::fs::write(&path, recording).with_context(say(path.display().to_string()))
}
