//! `bolo call`: places a call through the API and follows it in the terminal.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::{client::Client, print_json};
use crate::settings::Settings;

/// Place a call through the API and follow it live.
#[derive(clap::Args)]
pub struct Call {
    /// The agent.
    agent_id: String,
    /// Whom to call, E.164.
    number: String,
    /// A variable of the agent's prompt, `name=value`; may be repeated.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// The server; default: `server.listen` of the settings.
    #[arg(long)]
    url: Option<String>,
    /// API key.
    #[arg(long, env = "BOLO_API_KEY", hide_env_values = true)]
    key: String,
}

impl Call {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let mut user_data = Map::new();
        for variable in &self.variables {
            let (name, value) = variable
                .split_once('=')
                .with_context(|| format!("--var {variable}: write name=value"))?;
            user_data.insert(name.to_owned(), Value::from(value));
        }
        let base = self
            .url
            .clone()
            .unwrap_or_else(|| format!("http://{}", settings.server.listen));
        let client = Client::new(base, self.key.clone(), &settings.tls()?)?;
        let placed = client
            .post(
                "/call",
                &json!({"agent_id": self.agent_id, "recipient_phone_number": self.number, "user_data": user_data}),
            )
            .await?;
        let Some(id) = placed["execution_id"].as_str() else {
            bail!("the server named no execution")
        };
        let record = follow(&client, id, |line| {
            if !json {
                println!("{line}");
            }
        })
        .await?;
        if json {
            print_json(&record);
        } else {
            println!(
                "{}: {} s, recording {}",
                record["status"], record["conversation_duration"], record["recording_url"]
            );
        }
        Ok(if record["status"] == "completed" {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// How often a call is looked at while it is followed.
const LOOK: Duration = Duration::from_millis(200);

/// Follows a call until it is over, telling each change of status and each line of the conversation.
/// Returns the execution.
pub async fn follow(
    client: &Client,
    id: &str,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Value> {
    let (mut status, mut seen, mut timed) = (Value::Null, 0, 0);
    loop {
        // The record first: what is logged before its end is then surely in the log.
        let record = client.get(&format!("/executions/{id}")).await?;
        let log = client.get(&format!("/executions/{id}/log")).await?;
        let lines = log["data"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for entry in lines.get(seen..).unwrap_or_default() {
            if let Some(line) = spoken(entry) {
                tell(&line);
            }
        }
        seen = lines.len();
        let turns = record["latency_data"]["turns"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for turn in turns.get(timed..).unwrap_or_default() {
            tell(&split(turn));
        }
        timed = turns.len();
        if record["status"] != status {
            status = record["status"].clone();
            tell(&format!("— {}", status.as_str().unwrap_or_default()));
        }
        if matches!(
            status.as_str(),
            Some(
                "completed"
                    | "busy"
                    | "no-answer"
                    | "failed"
                    | "canceled"
                    | "stopped"
                    | "error"
                    | "balance-low"
            )
        ) {
            return Ok(record);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A raw log entry as a line of the conversation, if it is one.
fn spoken(entry: &Value) -> Option<String> {
    let text = entry["data"].as_str()?;
    let line = match (entry["component"].as_str()?, entry["type"].as_str()?) {
        ("transcriber", "response") if entry["metadata"]["ignored"] == true => {
            format!("  (heard) {text}")
        }
        ("transcriber", "response") => format!("  caller: {text}"),
        ("synthesizer", "request") => format!("  agent:  {text}"),
        ("system", "event") => match text {
            "interrupted" => "          … cut by the caller".to_owned(),
            _ => entry["metadata"]["latency"]
                .as_str()
                .map(|split| format!("          {split}"))?,
        },
        (component, "error") => format!("  {component} failed: {text}"),
        _ => return None,
    };
    Some(line)
}

/// A turn's time from its end to the first sound of the answer, split.
fn split(turn: &Value) -> String {
    let ms = |field: &str| turn[field].as_f64().unwrap_or_default();
    let source = if turn["routed"] == true {
        format!("route {:.0}", ms("route_ms"))
    } else {
        format!(
            "model {:.0} + gathering {:.0}",
            ms("llm_first_token_ms"),
            ms("gather_ms")
        )
    };
    format!(
        "  turn {:>2}: {:.0} ms to the first sound = {source} + voice {:.0} + hold {:.0} + sending {:.0}; ours {:.0}",
        turn["turn"],
        ms("total_ms"),
        ms("tts_first_audio_ms"),
        ms("hold_ms"),
        ms("send_ms"),
        ms("added_ms")
    )
}

/// Whether a line told by [`follow`] is a turn of the caller.
pub fn spoken_turn(line: &str) -> bool {
    line.starts_with("  caller: ")
}
