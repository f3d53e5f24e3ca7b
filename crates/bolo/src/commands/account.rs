//! `bolo account`: the operator's view of tenants.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::{Value, json};

use super::{now, print_json, store};
use crate::settings::Settings;

/// Tenants.
#[derive(clap::Subcommand)]
pub enum Account {
    /// Make an account.
    Create {
        /// Unique name.
        name: String,
        /// Where its owner can be reached.
        #[arg(long, default_value = "")]
        email: String,
    },
    /// All accounts.
    List,
    /// Change an account's limits.
    Set {
        /// Its name.
        name: String,
        /// Outbound calls at once.
        #[arg(long)]
        concurrency: Option<i64>,
        /// Wallet, cents.
        #[arg(long)]
        wallet: Option<f64>,
        /// Vendors that take over in its calls: a JSON file, as an agent's `tools_config.fallbacks`;
        /// `{}` for none.
        #[arg(long, value_name = "FILE")]
        fallbacks: Option<PathBuf>,
    },
}

impl Account {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let store = store(&settings).await?;
        match self {
            Self::Create { name, email } => {
                let created = store.create_account(&name, &email, now()).await.map_err(
                    |error| match error {
                        bolo_store::Error::Conflict(_) => {
                            anyhow::anyhow!("account {name:?} exists already")
                        }
                        other => other.into(),
                    },
                )?;
                print(&created, json);
            }
            Self::List => store
                .accounts()
                .await?
                .iter()
                .for_each(|account| print(account, json)),
            Self::Set {
                name,
                concurrency,
                wallet,
                fallbacks,
            } => {
                if let Some(file) = fallbacks {
                    let fallbacks = read_fallbacks(&file)?;
                    store
                        .set_fallbacks(&name, &fallbacks)
                        .await
                        .map_err(|error| named(&name, error))?;
                }
                let set = store
                    .set_account(&name, concurrency, wallet)
                    .await
                    .map_err(|error| named(&name, error))?;
                print(&set, json);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read_fallbacks(file: &Path) -> anyhow::Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let fallbacks: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    bolo_agent::Fallbacks::parse(&fallbacks).with_context(|| file.display().to_string())?;
    Ok(fallbacks)
}

/// An error of a look-up by name, for people.
pub fn named(name: &str, error: bolo_store::Error) -> anyhow::Error {
    match error {
        bolo_store::Error::NotFound => {
            anyhow::anyhow!("no account {name:?}; see `bolo account list`")
        }
        other => other.into(),
    }
}

fn print(account: &bolo_store::Account, json: bool) {
    if json {
        let value: Value = json!({"id": account.id, "name": account.name, "email": account.email,
            "concurrency": account.concurrency, "wallet": account.wallet, "title": account.title,
            "parent": account.parent});
        print_json(&value);
    } else {
        println!(
            "{}  {}  {}  concurrency {}  wallet {:.2} cents{}",
            account.id,
            account.name,
            account.email,
            account.concurrency,
            account.wallet,
            account
                .title
                .as_ref()
                .map(|title| format!("  sub-account {title:?}"))
                .unwrap_or_default()
        );
    }
}
