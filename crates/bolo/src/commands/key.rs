//! `bolo key`: works while the server runs.

use std::process::ExitCode;

use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use super::{now, print_json, store};
use crate::settings::Settings;

/// API keys.
#[derive(clap::Subcommand)]
pub enum Key {
    /// Make a key; prints the key, and only the key.
    Create {
        /// Name of the account.
        #[arg(long)]
        account: String,
        /// What the key is for.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// All keys, without the keys themselves.
    List,
    /// Make a key useless.
    Revoke {
        /// Its id, from `key list`.
        id: Uuid,
    },
}

impl Key {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let store = store(&settings).await?;
        match self {
            Self::Create { account, label } => {
                let found = store
                    .account_named(&account)
                    .await
                    .map_err(|error| super::account::named(&account, error))?;
                let (key, secret) = store.create_key(found.id, &label, now()).await?;
                if json {
                    print_json(
                        &json!({"id": key.id, "account": account, "label": label, "key": secret.expose_secret()}),
                    );
                } else {
                    println!("{}", secret.expose_secret());
                }
            }
            Self::List => {
                let accounts = store.accounts().await?;
                for key in store.keys().await? {
                    let name = accounts
                        .iter()
                        .find(|account| account.id == key.account)
                        .map_or("", |a| a.name.as_str());
                    if json {
                        print_json(&json!({"id": key.id, "account": name, "label": key.label,
                            "created_at": key.created_at, "revoked_at": key.revoked_at}));
                    } else {
                        let state = if key.revoked_at.is_some() {
                            "revoked"
                        } else {
                            "valid"
                        };
                        println!("{}  {state:7}  {name}  {}", key.id, key.label);
                    }
                }
            }
            Self::Revoke { id } => {
                store.revoke_key(id, now()).await?;
                if json {
                    print_json(&json!({"id": id, "revoked": true}));
                } else {
                    println!("revoked {id}");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
