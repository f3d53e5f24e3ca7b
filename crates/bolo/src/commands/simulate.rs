//! `bolo simulate`: calls against wire-exact fakes with vendors of fixed delay; the figures of what the
//! server itself adds.

use std::{path::PathBuf, process::ExitCode, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use bolo_simulator::{
    carrier::Kind,
    load::{Delays, Load, Plan, Report, Target},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::task::AbortOnDropHandle;

use super::print_json;
use crate::settings::Settings;

/// Run calls against wire-exact fakes and print figures.
#[derive(clap::Args)]
pub struct Simulate {
    /// Turns and vendor delays (TOML, see config/simulate.toml); default: as that file says.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Calls, all at once after the ramp.
    #[arg(long, default_value_t = 1)]
    calls: usize,
    /// Seconds over which they are placed; default: a twentieth of a second a call.
    #[arg(long, value_name = "SECONDS")]
    ramp: Option<f64>,
    /// The carrier that the calls go through.
    #[arg(long, value_enum, default_value_t = Carrier::Twilio)]
    carrier: Carrier,
    /// Measure a bare relay of the same sockets instead of the server, for the ratio.
    #[arg(long)]
    relay: bool,
    /// Be that relay: what `--relay` starts as its child.
    #[arg(long, hide = true)]
    be_relay: bool,
}

/// Carriers there are fakes of.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Carrier {
    Twilio,
    Plivo,
}

impl From<Carrier> for Kind {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Twilio => Self::Twilio,
            Carrier::Plivo => Self::Plivo,
        }
    }
}

/// What `--script` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    turns: usize,
    result_ms: u64,
    first_token_ms: u64,
    first_audio_ms: u64,
}

impl Simulate {
    pub async fn run(self, _settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        if self.be_relay {
            return be_relay().await;
        }
        if self.relay && self.carrier != Carrier::Twilio {
            bail!("--relay: the bare relay speaks Twilio's wire only");
        }
        let text = match &self.script {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("--script: {}", path.display()))?,
            None => include_str!("../../../../config/simulate.toml").to_owned(),
        };
        let script: Script = toml::from_str(&text).context("--script")?;
        let plan = Plan {
            carrier: self.carrier.into(),
            calls: self.calls,
            ramp: Duration::from_secs_f64(self.ramp.unwrap_or(self.calls as f64 / 20.0)),
            turns: script.turns,
            delays: Delays {
                result: Duration::from_millis(script.result_ms),
                first_token: Duration::from_millis(script.first_token_ms),
                first_audio: Duration::from_millis(script.first_audio_ms),
            },
        };
        let load = Load::start(plan).await.context("can't start the fakes")?;
        let folder =
            std::env::temp_dir().join(format!("bolo-simulate-{}", uuid::Uuid::now_v7().simple()));
        let measured = measure(&load, &folder, plan.calls, self.relay).await;
        if folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(%error, folder = %folder.display(), "the simulation's folder stays");
        }
        let report = measured?;
        let failed =
            report.errors > 0 || report.turns_ok < report.turns || report.dials.duplicate > 0;
        if json {
            print_json(&serde_json::to_value(&report)?);
        } else {
            show(&report);
        }
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Starts a server of our own beside the fakes, and loads it.
async fn measure(
    load: &Load,
    folder: &std::path::Path,
    calls: usize,
    relay: bool,
) -> anyhow::Result<Report> {
    let environment = environment(load, folder, calls);
    let arguments: &[&str] = if relay {
        &["simulate", "--be-relay"]
    } else {
        &["serve"]
    };
    let (mut child, base_url, _said) = serve(arguments, &environment).await?;
    if relay {
        let target = Target {
            base_url,
            api_key: String::new(),
            pid: child.id(),
        };
        let report = load.run(&target).await.context("the simulation failed");
        child.kill().await.context("can't end the relay")?;
        return report;
    }
    let program = std::env::current_exe().context("where am I?")?;
    let run = |arguments: &'static [&'static str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.clone());
        async move {
            let output = command.output().await?;
            if !output.status.success() {
                bail!(
                    "bolo {arguments:?}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
    };
    run(&["account", "set", "default", "--concurrency", "100000"]).await?;
    let api_key = run(&["key", "create", "--account", "default"]).await?;
    let target = Target {
        base_url,
        api_key,
        pid: child.id(),
    };
    let report = load.run(&target).await.context("the simulation failed");
    child.kill().await.context("can't end the server")?;
    report
}

/// Relays until it is ended.
async fn be_relay() -> anyhow::Result<ExitCode> {
    let options =
        bolo_simulator::relay::Options::from_environment().context("the relay's settings")?;
    let relay = bolo_simulator::relay::Relay::start(options)
        .await
        .context("can't start the relay")?;
    eprintln!("bolo: serving on {} (a bare relay)", relay.base_url());
    std::future::pending().await
}

fn environment(load: &Load, folder: &std::path::Path, calls: usize) -> Vec<(String, String)> {
    let carrier = &load.carrier;
    let (account, token, number) = match carrier.kind() {
        Kind::Twilio => (
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_PHONE_NUMBER",
        ),
        Kind::Plivo => ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN", "PLIVO_PHONE_NUMBER"),
    };
    let base_url = match carrier.kind() {
        Kind::Twilio => "BOLO_TELEPHONY__TWILIO__BASE_URL",
        Kind::Plivo => "BOLO_TELEPHONY__PLIVO__BASE_URL",
    };
    [
        ("BOLO_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("BOLO_DATA_DIR", folder.display().to_string()),
        ("BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("BOLO_LIMITS__DIALS_PER_SECOND", "1000".to_owned()),
        ("BOLO_LIMITS__MAX_CALLS", (calls + 100).to_string()),
        (account, carrier.account().to_owned()),
        (token, carrier.token().to_owned()),
        (
            number,
            carrier
                .options()
                .numbers
                .first()
                .map(|number| number.phone_number.clone())
                .unwrap_or_default(),
        ),
        (base_url, carrier.base_url()),
        (
            "BOLO_PROVIDERS__DEEPGRAM__BASE_URL",
            load.deepgram.base_url(),
        ),
        ("DEEPGRAM_API_KEY", load.deepgram.api_key().to_owned()),
        (
            "BOLO_PROVIDERS__ELEVENLABS__BASE_URL",
            load.elevenlabs.base_url(),
        ),
        ("ELEVENLABS_API_KEY", load.elevenlabs.api_key().to_owned()),
        ("BOLO_PROVIDERS__OPENAI__BASE_URL", load.llm.base_url()),
        ("OPENAI_API_KEY", load.llm.api_key().to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A server of our own as a child process, and its address.
/// The third part prints what the child says; dropping it ends that.
async fn serve(
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<(Child, String, AbortOnDropHandle<()>)> {
    let mut child = Command::new(std::env::current_exe().context("where am I?")?)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().cloned())
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("can't start the server")?;
    let stderr = child
        .stderr
        .take()
        .context("the server's messages are missing")?;
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(rest) = line.strip_prefix("bolo: serving on ") {
            let base = rest.split(' ').next().unwrap_or_default().to_owned();
            // What it says later belongs to whoever runs the simulation.
            let said = AbortOnDropHandle::new(tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    eprintln!("{line}");
                }
            }));
            return Ok((child, base, said));
        }
        eprintln!("{line}");
    }
    bail!("the server did not start")
}

fn show(report: &Report) {
    println!(
        "calls {}, turns {} of which answered {}, errors {}",
        report.calls, report.turns, report.turns_ok, report.errors
    );
    let added = &report.added_ms;
    println!(
        "added a turn   p50 {} ms, p95 {}, p99 {}, max {}",
        added.p50, added.p95, added.p99, added.max
    );
    println!(
        "barge to clear p50 {} ms, p99 {}",
        report.barge_clear_ms.p50, report.barge_clear_ms.p99
    );
    println!(
        "CPU            {:.3} s a call-minute",
        report.cpu_s_per_call_minute
    );
    println!("memory         {:.0} KiB a call", report.kib_per_call);
    println!(
        "dials          {} placed, {} twice; statuses {:?}",
        report.dials.placed, report.dials.duplicate, report.statuses
    );
    println!("generator late p99 {} ms", report.lag_ms);
}
