//! `bolo serve`.

use std::{future::Future, process::ExitCode};

use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    node::Node,
    settings::{Role, Settings},
};

/// Run the server.
#[derive(clap::Args, Default)]
pub struct Serve {
    /// Parts of the server to run; default: all (`server.roles`).
    #[arg(long, value_delimiter = ',')]
    roles: Vec<Role>,
    /// Print the settings as they would be used, in TOML and without secrets, and end.
    #[arg(long)]
    print_settings: bool,
}

impl Serve {
    pub async fn run(self, mut settings: Settings) -> anyhow::Result<ExitCode> {
        if !self.roles.is_empty() {
            settings.server.roles = self.roles;
        }
        if self.print_settings {
            print!("{}", settings.shown()?);
            return Ok(ExitCode::SUCCESS);
        }
        let node = Node::start(settings).await?;
        first_start(&node).await?;
        eprintln!(
            "bolo: serving on http://{} (browse the API at /docs)",
            node.address
        );
        let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => Ok(()),
                interrupted = tokio::signal::ctrl_c() => interrupted.context("can't listen for SIGINT"),
            }
        };
        serve_until(asked, node).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Serves until asked to stop, or until a part of the node fails. Live calls are finished either way.
pub async fn serve_until(
    asked: impl Future<Output = anyhow::Result<()>>,
    mut node: Node,
) -> anyhow::Result<()> {
    let outcome = tokio::select! {
        asked = asked => asked,
        error = node.failed() => {
            tracing::error!(error = format!("{error:#}"), "a part of the node failed; stopping all of it");
            Err(error)
        }
    };
    tracing::info!("stopping: no new calls, waiting for the live ones");
    outcome.and(node.stop().await)
}

/// On an empty database: an account and its key, printed once.
async fn first_start(node: &Node) -> anyhow::Result<()> {
    if !node.store.accounts().await?.is_empty() {
        return Ok(());
    }
    let account = match node.store.create_account("default", "", super::now()).await {
        Ok(account) => account,
        // Another node of an empty cluster was faster and prints the key.
        Err(bolo_store::Error::Conflict(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let (_, key) = node
        .store
        .create_key(account.id, "first start", super::now())
        .await?;
    println!(
        "API key of account \"default\", shown only now: {}",
        key.expose_secret()
    );
    Ok(())
}
