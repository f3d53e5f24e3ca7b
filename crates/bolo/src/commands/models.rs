//! `bolo models`.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use bolo_models::{Progress, Pull, Store};
use serde_json::json;

use super::print_json;
use crate::settings::Settings;

/// DNS, TCP and TLS together, on whatever line an operator has.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Local speech models.
#[derive(clap::Subcommand)]
pub enum Models {
    /// What there is, with licence and size.
    List,
    /// Fetch models that are not there: neural voices, the larger transcriber. What broke off goes on where
    /// it stopped; a file of another sum is refused.
    Pull {
        /// Names, from `models list`.
        #[arg(required = true)]
        names: Vec<String>,
        /// Folder to fetch to, also what lies elsewhere already; default: the user's cache.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

impl Models {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        let store = Store::new(
            settings.models_dir.clone(),
            settings.data_dir.join("models"),
        );
        match self {
            Self::List => list(&store, json),
            Self::Pull { names, into } => {
                let how = Pull {
                    http: client(&settings)?,
                    mirror: settings.models_mirror.clone(),
                    into,
                };
                let pulled =
                    tokio::task::spawn_blocking(move || pull(&store, &names, &how, json)).await;
                pulled.context("the download broke off")??;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(store: &Store, json: bool) {
    for model in store.list() {
        if json {
            print_json(
                &json!({"name": model.name, "purpose": model.purpose, "licence": model.licence,
                "bytes": model.bytes, "present": model.present, "fetchable": model.fetchable,
                "folder": model.folder, "sources": model.sources}),
            );
            continue;
        }
        let state = match (model.present, model.fetchable) {
            (true, _) => "here".to_owned(),
            (false, true) => format!("not here: bolo models pull {}", model.name),
            (false, false) => "not here: comes with a release or the source tree".to_owned(),
        };
        println!(
            "{:18} {:6.1} MB  {} ({state})\n{:29}licence: {}",
            model.name,
            megabytes(model.bytes),
            model.purpose,
            "",
            model.licence
        );
    }
}

/// Follows redirects, as the homes of models make them.
fn client(settings: &Settings) -> anyhow::Result<reqwest::Client> {
    let tls = settings.tls()?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
        .connect_timeout(CONNECT_LIMIT)
        .no_gzip()
        .user_agent(concat!("bolo/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("can't make an HTTP client")
}

fn pull(store: &Store, names: &[String], how: &Pull, json: bool) -> anyhow::Result<()> {
    for name in names {
        let mut shown = Shown::new(json);
        let folder = store.pull(name, how, &mut |step| shown.tell(step))?;
        if json {
            print_json(&json!({"name": name, "folder": folder}));
        } else {
            println!("{name}: {}", folder.display());
        }
    }
    Ok(())
}

/// Progress on stderr: a bar on a terminal, a line for each tenth elsewhere, nothing beside JSON.
struct Shown {
    quiet: bool,
    terminal: bool,
    /// Tenths told of the file in hand.
    tenths: u64,
    /// The cursor stands behind a bar.
    on_bar: bool,
}

impl Shown {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            terminal: io::stderr().is_terminal(),
            tenths: 0,
            on_bar: false,
        }
    }

    fn tell(&mut self, step: Progress<'_>) {
        if self.quiet {
            return;
        }
        match step {
            Progress::Received { file, bytes, of } => self.bar(file, bytes, of),
            Progress::Model {
                name,
                purpose,
                licence,
                bytes,
            } => self.line(&format!(
                "{name}: {purpose}, {:.1} MB, licence: {licence}",
                megabytes(bytes)
            )),
            Progress::There { file, folder } => {
                self.line(&format!("{file} is in {}", folder.display()));
            }
            Progress::Asking { file, source } => {
                self.tenths = 0;
                self.line(&format!("fetching {file} from {source}"));
            }
            Progress::Failed { file, cause } => self.line(&format!("{file}: {cause}")),
            Progress::Converting { file } => self.line(&format!("converting {file}")),
        }
    }

    fn bar(&mut self, file: &str, bytes: u64, of: u64) {
        let tenths = (bytes * 10).checked_div(of).unwrap_or(0);
        let amount = format!("{:.1} of {:.1} MB", megabytes(bytes), megabytes(of));
        if self.terminal {
            let full = "#".repeat(tenths.min(10) as usize * 2);
            eprint!("\r{file} [{full:20}] {amount}");
            self.on_bar = true;
            // A bar that is late harms nobody.
            let _ = io::stderr().flush();
        } else if tenths > self.tenths {
            self.tenths = tenths;
            self.line(&format!("{file}: {amount}"));
        }
    }

    fn line(&mut self, text: &str) {
        if std::mem::take(&mut self.on_bar) {
            eprintln!();
        }
        eprintln!("{text}");
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
