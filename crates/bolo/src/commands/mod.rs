//! The commands, one file each.

mod account;
mod call;
mod client;
mod demo;
mod key;
mod migrate;
mod models;
mod openapi;
mod replay;
pub mod serve;
mod simulate;
mod violation;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, prelude::*};

use crate::settings::Settings;

/// Bolo: a self-hosted voice-agent server.
#[derive(Parser)]
#[command(name = "bolo", version, about)]
pub struct Arguments {
    /// Settings file (TOML); default: bolo.toml in the working directory, if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Arguments {
    /// Whether the process is to be a server, not somebody who asks or tries one.
    pub fn is_server(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve(_)))
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve(serve::Serve),
    /// Hold one spoken phone call between a simulated caller and the demo agent, without any key.
    Demo(demo::Demo),
    /// API keys.
    #[command(subcommand)]
    Key(key::Key),
    /// Tenants.
    #[command(subcommand)]
    Account(account::Account),
    /// Apply the database's migrations.
    Migrate(migrate::Migrate),
    /// Place a call through the API and follow it live.
    Call(call::Call),
    /// Run calls against wire-exact fakes and print figures.
    Simulate(simulate::Simulate),
    /// Run a call's event log through the conversation core again.
    Replay(replay::Replay),
    /// Local speech models.
    #[command(subcommand)]
    Models(models::Models),
    /// Calls that broke a rule.
    #[command(subcommand)]
    Violation(violation::Violation),
    /// Print the OpenAPI document.
    Openapi,
}

/// Runs the command.
pub async fn run(arguments: Arguments, settings: Settings) -> anyhow::Result<ExitCode> {
    let json = arguments.json;
    match arguments
        .command
        .unwrap_or_else(|| Command::Serve(serve::Serve::default()))
    {
        Command::Serve(serve) => serve.run(settings).await,
        Command::Demo(demo) => demo.run(settings, json).await,
        Command::Key(key) => key.run(settings, json).await,
        Command::Account(account) => account.run(settings, json).await,
        Command::Migrate(migrate) => migrate.run(settings, json).await,
        Command::Call(call) => call.run(settings, json).await,
        Command::Simulate(simulate) => simulate.run(settings, json).await,
        Command::Replay(replay) => replay.run(settings, json).await,
        Command::Models(models) => models.run(settings, json).await,
        Command::Violation(violation) => violation.run(settings).await,
        Command::Openapi => openapi::run(),
    }
}

/// One line an event: for people on a terminal, JSON elsewhere. `RUST_LOG` chooses; default: our info,
/// others' warnings; commands that print something of their own are quieter.
///
/// Below info only our own crates log, whatever `RUST_LOG` says: libraries tell headers with keys and
/// frames with audio there.
pub fn init_logging(arguments: &Arguments) {
    let default = match &arguments.command {
        None | Some(Command::Serve(_)) => "warn,bolo=info",
        Some(_) => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let people = terminal.then(|| fmt::layer().with_writer(std::io::stderr).compact());
    let machines = (!terminal).then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .json()
            .flatten_event(true)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(|event| {
            *event.level() <= Level::INFO || event.target().starts_with("bolo")
        }))
        .with(people)
        .with(machines)
        .init();
}

/// The process's metrics; installed once.
pub fn metrics() -> anyhow::Result<metrics_exporter_prometheus::PrometheusHandle> {
    use std::sync::OnceLock;
    static HANDLE: OnceLock<metrics_exporter_prometheus::PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .context("can't collect metrics")?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Epoch ms.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as i64
}

/// A store for a command that works beside a running server.
async fn store(settings: &Settings) -> anyhow::Result<bolo_store::Store> {
    let store = crate::node::open_store(settings, "", settings.tls()?).await?;
    if settings.database.migrate {
        store
            .migrate()
            .await
            .context("database.url: migrations failed")?;
    }
    Ok(store)
}

/// Prints a value as one line of JSON.
fn print_json(value: &serde_json::Value) {
    println!("{value}");
}
