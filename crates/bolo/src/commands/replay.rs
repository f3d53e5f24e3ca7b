//! `bolo replay`: why did it decide that?

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use bolo_execution::ExecutionId;
use serde_json::json;

use super::{print_json, store};
use crate::settings::Settings;

/// Run a call's event log through the conversation core again; exit 1 at the first decision that differs.
#[derive(clap::Args)]
pub struct Replay {
    /// An execution's id, or a file with the lines of an event log.
    call: String,
    /// Print the event log instead, a line an event.
    #[arg(long)]
    print: bool,
}

impl Replay {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let lines = match self.call.parse::<ExecutionId>() {
            Ok(id) => {
                let store = store(&settings).await?;
                let record = store
                    .execution_unscoped(id)
                    .await
                    .with_context(|| format!("execution {id}"))?;
                store.events(record.account, id).await?
            }
            Err(_) => {
                let path = PathBuf::from(&self.call);
                let text = std::fs::read_to_string(&path).with_context(|| {
                    format!(
                        "{}: neither an execution's id nor a readable file",
                        path.display()
                    )
                })?;
                text.lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(str::to_owned)
                    .collect()
            }
        };
        if self.print {
            lines.iter().for_each(|line| println!("{line}"));
            return Ok(ExitCode::SUCCESS);
        }
        match bolo_orchestrator::replay(&lines) {
            Ok(replayed) if json => {
                print_json(
                    &json!({"same": true, "inputs": replayed.inputs, "decisions": replayed.decisions,
                    "ms": replayed.last.0, "over": replayed.over, "transcript": replayed.transcript}),
                );
                Ok(ExitCode::SUCCESS)
            }
            Ok(replayed) => {
                println!("{}", replayed.transcript);
                println!(
                    "— {} inputs over {:.1} s, {} decisions, all as recorded",
                    replayed.inputs,
                    replayed.last.0 as f64 / 1000.0,
                    replayed.decisions
                );
                Ok(ExitCode::SUCCESS)
            }
            Err(difference) => {
                if json {
                    print_json(&json!({"same": false, "difference": difference.to_string()}));
                } else {
                    println!("{difference}");
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
