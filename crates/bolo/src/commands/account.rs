//! `bolo account`: the operator's view of tenants.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use bolo_execution::AccountId;
use bolo_store::{Limit, LimitOf};
use secrecy::ExposeSecret;
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
        /// Make a new secret that signs its webhooks, and print it this once. The one before it signs too.
        #[arg(long)]
        webhook_secret: bool,
    },
    /// Limit an account's outbound calls, or those of an agent, a calling number or a carrier.
    Limit {
        /// The account's name.
        name: String,
        /// An agent's id.
        #[arg(long, group = "of")]
        agent: Option<bolo_execution::AgentId>,
        /// A calling number; `default`: the account's.
        #[arg(long, group = "of")]
        number: Option<String>,
        /// `twilio`, `plivo`, …
        #[arg(long, group = "of")]
        carrier: Option<String>,
        /// Calls at once.
        #[arg(long)]
        calls: Option<u32>,
        /// Calls placed a second. Without --calls and --per-second there is no limit any more.
        #[arg(long)]
        per_second: Option<f64>,
    },
    /// The limits of an account.
    Limits {
        /// Its name.
        name: String,
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
                webhook_secret,
            } => {
                if webhook_secret {
                    let account = account_named(&store, &name).await?;
                    let secret = store.new_webhook_secret(account, now()).await?;
                    println!("{}", secret.expose_secret());
                    return Ok(ExitCode::SUCCESS);
                }
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
            Self::Limit {
                name,
                agent,
                number,
                carrier,
                calls,
                per_second,
            } => {
                if per_second.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
                    anyhow::bail!("--per-second must be more than 0");
                }
                if number.as_deref() == Some("default") && calls.is_some() {
                    // A live call holds the number itself, not that it was the account's.
                    anyhow::bail!("--number default takes --per-second alone");
                }
                let of = match (agent, number, carrier) {
                    (Some(agent), ..) => LimitOf::Agent(agent.to_string()),
                    (_, Some(number), _) if number == "default" => LimitOf::Number(String::new()),
                    (_, Some(number), _) => LimitOf::Number(number),
                    (.., Some(carrier)) => LimitOf::Carrier(carrier),
                    _ => LimitOf::Account,
                };
                let limit = Limit {
                    of,
                    calls: calls.map(i64::from),
                    per_second,
                };
                let account = account_named(&store, &name).await?;
                store.set_limit(account, &limit).await?;
                print_limits(&store, account, json).await?;
            }
            Self::Limits { name } => {
                let account = account_named(&store, &name).await?;
                print_limits(&store, account, json).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn account_named(store: &bolo_store::Store, name: &str) -> anyhow::Result<AccountId> {
    let account = store.account_named(name).await;
    Ok(account.map_err(|error| named(name, error))?.id)
}

async fn print_limits(
    store: &bolo_store::Store,
    account: AccountId,
    json: bool,
) -> anyhow::Result<()> {
    for limit in store.limits(account).await? {
        let (kind, subject) = match &limit.of {
            LimitOf::Account => ("account", ""),
            LimitOf::Agent(id) => ("agent", id.as_str()),
            LimitOf::Number(number) if number.is_empty() => ("number", "default"),
            LimitOf::Number(number) => ("number", number.as_str()),
            LimitOf::Carrier(name) => ("carrier", name.as_str()),
        };
        if json {
            print_json(
                &json!({"of": kind, "subject": subject, "calls": limit.calls, "per_second": limit.per_second}),
            );
        } else {
            let calls = limit.calls.map(|calls| format!("  {calls} calls at once"));
            let rate = limit.per_second.map(|rate| format!("  {rate} a second"));
            let (calls, rate) = (calls.unwrap_or_default(), rate.unwrap_or_default());
            println!("{kind} {subject}{calls}{rate}");
        }
    }
    Ok(())
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
