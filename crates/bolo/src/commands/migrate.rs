//! `bolo migrate`.

use std::process::ExitCode;

use serde_json::json;

use super::print_json;
use crate::settings::Settings;

/// Apply the database's migrations.
#[derive(clap::Args)]
pub struct Migrate {
    /// Only tell whether any wait; exit 1 if so.
    #[arg(long)]
    check: bool,
}

impl Migrate {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let store = crate::node::open_store(&settings, "", settings.tls()?).await?;
        let (word, count) = if self.check {
            ("pending", store.pending_migrations().await?)
        } else {
            ("applied", store.migrate().await?)
        };
        if json {
            print_json(&json!({ word: count }));
        } else {
            println!("{count} migrations {word}");
        }
        Ok(if self.check && count > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
