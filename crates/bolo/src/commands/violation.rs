//! `bolo violation`: the operator tells an account which of its calls broke a rule, and decides what it
//! submits. Source: api.md §19.

use std::process::ExitCode;

use anyhow::{Context, bail};
use bolo_execution::{AccountId, ExecutionId};
use bolo_store::{Draft, Kind, Store};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{now, store};
use crate::settings::Settings;

/// Calls that broke a rule.
#[derive(clap::Subcommand)]
pub enum Violation {
    /// Tell an account of one.
    Raise {
        /// The call.
        execution: ExecutionId,
    },
    /// Accept or reject what the account says to it.
    Decide {
        /// The violation.
        id: Uuid,
        /// Whose it is: the account's id.
        #[arg(long)]
        account: AccountId,
        /// What is decided.
        #[arg(value_parser = ["accepted", "rejected"])]
        outcome: String,
    },
}

impl Violation {
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let store = store(&settings).await?;
        match self {
            Self::Raise { execution } => println!("{}", raise(&store, execution).await?),
            Self::Decide {
                id,
                account,
                outcome,
            } => decide(&store, account, id, &outcome).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn raise(store: &Store, execution: ExecutionId) -> anyhow::Result<Uuid> {
    let call = store
        .execution_unscoped(execution)
        .await
        .with_context(|| format!("no call {execution}"))?;
    let account = store.account(call.account).await?;
    let date = call.initiated_at.unwrap_or(call.created_at);
    let body = json!({
        "status": "pending", "execution_id": call.id, "agent_id": call.agent, "from_phone_number": call.from,
        "to_phone_number": call.to, "date_of_call": date, "image_url": null, "email": account.email,
    });
    let draft = Draft { key: None, body };
    Ok(store
        .create_document(call.account, Kind::Violation, draft, now())
        .await?
        .id)
}

async fn decide(store: &Store, account: AccountId, id: Uuid, outcome: &str) -> anyhow::Result<()> {
    let decided = |mut body: Value| {
        body["status"] = outcome.into();
        Ok::<_, bolo_store::Error>(Draft { key: None, body })
    };
    match store
        .change_document(account, Kind::Violation, id, now(), decided)
        .await
    {
        Ok(_) => Ok(()),
        Err(bolo_store::Error::NotFound) => bail!("account {account} has no violation {id}"),
        Err(error) => Err(error.into()),
    }
}
