//! `bolo simulate`: calls against wire-exact fakes with vendors of fixed delay; the figures of what the
//! server itself adds.

mod compared;
mod script;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use bolo_simulator::{
    carrier::Kind,
    load::{Barge, Callers, Load, Plan, Report, Soaked, Target},
};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::task::AbortOnDropHandle;

use self::compared::Compared;
use super::print_json;
use crate::settings::Settings;

/// Where the fakes listen for a server that runs elsewhere.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7700);

/// Run calls against wire-exact fakes and print figures.
///
/// Without --against it starts a server of its own. To drive one that runs elsewhere:
///
/// 1. `bolo simulate --listen IP:PORT --settings` prints what that server needs in its environment: the
///    simulated carrier in place of the real one, and the simulated vendors. IP is one of this machine
///    that the server reaches; the carrier listens on PORT, transcriber, synthesizer and model on the
///    three ports after it.
/// 2. Start the server with these. Its `server.public_url` must be reachable from here, for the simulated
///    carrier calls back and streams there.
/// 3. `bolo simulate --listen IP:PORT --against URL --key KEY`.
///
/// The vendors' settings may be left out if --agent names an agent that does without them.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Simulate {
    /// What callers do (TOML): turns and the vendors' delays as in config/simulate.toml (the default), or
    /// the steps of a caller as in config/callers/. A step says a clip, a WAV file, a text in a local
    /// voice or tones, waits, barges in, presses keys, hangs up.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Calls, all at once after the ramp; with --at-once, short ones one after another.
    #[arg(long, default_value_t = 1)]
    calls: usize,
    /// Soak: so many short calls at a time, and what the idle server still holds after the first
    /// thousand and after all.
    #[arg(long, value_name = "N", conflicts_with_all = ["ramp", "script", "agent", "against"])]
    at_once: Option<usize>,
    /// Seconds over which they are placed; default: a twentieth of a second a call.
    #[arg(long, value_name = "SECONDS")]
    ramp: Option<f64>,
    /// The carrier that the calls go through.
    #[arg(long, value_enum, default_value_t = Carrier::Twilio)]
    carrier: Carrier,
    /// The agent that calls: a file with its document, or the id of one that the server has; default: one
    /// of the simulated vendors, which hears callers with voices by the server's local transcriber.
    #[arg(long, value_name = "FILE|ID")]
    agent: Option<String>,
    /// Drive the server at this address, set up by --settings.
    #[arg(long, value_name = "URL", requires = "key")]
    against: Option<String>,
    /// API key of that server.
    #[arg(long, env = "BOLO_API_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Where the simulated carrier listens; the vendors on the three ports after it. Default: any free
    /// ports, and 127.0.0.1:7700 with --against or --settings.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Print what a server that is to be driven needs in its environment, and end.
    #[arg(long)]
    settings: bool,
    /// Measure a bare relay of the same sockets instead of the server, for the ratio.
    #[arg(long, conflicts_with_all = ["against", "agent"])]
    relay: bool,
    /// Measure that relay right before the server, and tell what the server costs beside it. On a shared
    /// machine the figures of both move, their ratio hardly.
    #[arg(long, conflicts_with_all = ["relay", "against", "agent", "at_once", "settings"])]
    beside_relay: bool,
    /// Be that relay: what `--relay` starts as its child.
    #[arg(long, hide = true)]
    be_relay: bool,
}

/// Carriers there are fakes of.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Carrier {
    Twilio,
    Plivo,
    Vobiz,
    Exotel,
    SipTrunk,
}

impl From<Carrier> for Kind {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Twilio => Self::Twilio,
            Carrier::Plivo => Self::Plivo,
            Carrier::Vobiz => Self::Vobiz,
            Carrier::Exotel => Self::Exotel,
            Carrier::SipTrunk => Self::SipTrunk,
        }
    }
}

impl Simulate {
    pub async fn run(self, settings: Settings, json: bool) -> anyhow::Result<ExitCode> {
        if self.be_relay {
            return be_relay().await;
        }
        if (self.relay || self.beside_relay) && self.carrier != Carrier::Twilio {
            bail!("the bare relay speaks Twilio's wire only");
        }
        let text = match &self.script {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("--script: {}", path.display()))?,
            None => include_str!("../../../../config/simulate.toml").to_owned(),
        };
        let (callers, delays) = script::parse(&text).context("--script")?;
        let ramp = self.ramp.unwrap_or(self.calls as f64 / 20.0);
        let elsewhere = self.against.is_some() || self.settings;
        let folder =
            std::env::temp_dir().join(format!("bolo-simulate-{}", uuid::Uuid::now_v7().simple()));
        let mut plan = Plan {
            carrier: self.carrier.into(),
            calls: self.calls,
            ramp: Duration::try_from_secs_f64(ramp).context("--ramp")?,
            callers,
            agent: script::agent(self.agent.as_deref())?,
            delays,
            listen: self.listen.unwrap_or(if elsewhere {
                LISTEN
            } else {
                SocketAddr::new(LISTEN.ip(), 0)
            }),
            voice: None,
        };
        let realtime = (
            "BOLO_SERVER__REALTIME".to_owned(),
            settings.server.realtime.to_string(),
        );
        let is_free = matches!(plan.callers, Callers::Script(_));
        let measured = async {
            if let Callers::Script(script) = &plan.callers
                && !self.settings
            {
                let models =
                    bolo_models::Store::new(settings.models_dir.clone(), folder.join("voice"));
                plan.voice = script::voice(script, models).await?;
            }
            let floor = match self.beside_relay {
                true => {
                    let load = Load::start(plan.clone()).await;
                    let load = load.context("can't start the fakes")?;
                    let mut environment = fakes(&load);
                    environment.push(realtime.clone());
                    Some(measure(&load, &environment, true, None).await?)
                }
                false => None,
            };
            let load = Load::start(plan).await.context("can't start the fakes")?;
            if self.settings {
                for (key, value) in fakes(&load) {
                    println!("{key}={value}");
                }
                return Ok(None);
            }
            let measured = match &self.against {
                Some(url) => {
                    let target = Target {
                        base_url: url.trim_end_matches('/').to_owned(),
                        api_key: self.key.clone().unwrap_or_default(),
                        pid: None,
                    };
                    let report = load.run(&target).await;
                    Measured::Calls(report.context("the simulation failed")?)
                }
                None => {
                    let mut environment = own(&folder, self.at_once.unwrap_or(self.calls));
                    environment.extend(fakes(&load));
                    environment.push(realtime);
                    if let Some(models) = &settings.models_dir {
                        environment.push(("BOLO_MODELS_DIR".into(), models.display().to_string()));
                    }
                    measure(&load, &environment, self.relay, self.at_once).await?
                }
            };
            let measured = match (floor, measured) {
                (Some(Measured::Calls(relay)), Measured::Calls(server)) => {
                    Measured::Compared(Box::new(Compared::new(relay, server)))
                }
                (_, measured) => measured,
            };
            anyhow::Ok(Some(measured))
        }
        .await;
        if folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(%error, folder = %folder.display(), "the simulation's folder stays");
        }
        let Some(measured) = measured? else {
            return Ok(ExitCode::SUCCESS);
        };
        if json {
            print_json(&serde_json::to_value(&measured)?);
        }
        let failed = match &measured {
            Measured::Calls(report) => {
                if !json {
                    show(report);
                }
                is_failed(report, is_free)
            }
            Measured::Compared(compared) => {
                if !json {
                    show(&compared.server);
                    compared.show();
                }
                is_failed(&compared.server, is_free)
            }
            Measured::Soak(soaked) => {
                if !json {
                    show_soak(soaked);
                }
                soaked.errors > 0
            }
        };
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Of a free script nobody but its steps knows which lines want an answer.
fn is_failed(report: &Report, is_free: bool) -> bool {
    let unanswered = !is_free && report.turns_ok < report.turns;
    report.errors > 0 || unanswered || report.dials.duplicate > 0
}

/// What a run found.
#[derive(Serialize)]
#[serde(untagged)]
enum Measured {
    Calls(Report),
    Compared(Box<Compared>),
    Soak(Soaked),
}

/// Starts a server of our own, or the relay, beside the fakes, and loads it.
async fn measure(
    load: &Load,
    environment: &[(String, String)],
    relay: bool,
    at_once: Option<usize>,
) -> anyhow::Result<Measured> {
    let arguments: &[&str] = if relay {
        &["simulate", "--be-relay"]
    } else {
        &["serve"]
    };
    let (mut child, base_url, _said) = serve(arguments, environment).await?;
    let api_key = if relay {
        String::new()
    } else {
        admit(environment).await?
    };
    let target = Target {
        base_url,
        api_key,
        pid: child.id(),
    };
    let measuring = async {
        match at_once {
            Some(at_once) => load.soak(&target, at_once).await.map(Measured::Soak),
            None => load.run(&target).await.map(Measured::Calls),
        }
    };
    let measured = tokio::select! {
        measured = measuring => measured,
        // Its calls would be waited for.
        died = child.wait() => bail!("the server ended in the midst of it: {}", died?),
    };
    child.kill().await.context("can't end the server")?;
    measured.context("the simulation failed")
}

/// Lifts the account's limit; its new key.
async fn admit(environment: &[(String, String)]) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("where am I?")?;
    let run = |arguments: &'static [&'static str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().cloned());
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
    run(&["key", "create", "--account", "default"]).await
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

/// Settings of the server that is started here.
fn own(folder: &std::path::Path, calls: usize) -> Vec<(String, String)> {
    [
        ("BOLO_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("BOLO_DATA_DIR", folder.display().to_string()),
        ("BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("BOLO_LIMITS__MAX_CALLS", (calls + 100).to_string()),
        // One key places all calls of a soak.
        ("BOLO_LIMITS__BUSY_REQUESTS_PER_MINUTE", "0".to_owned()),
        ("BOLO_LIMITS__REQUESTS_PER_MINUTE", "0".to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Settings of any server that is to talk with the fakes.
fn fakes(load: &Load) -> Vec<(String, String)> {
    let vendors = [
        ("BOLO_LIMITS__DIALS_PER_SECOND", "1000".to_owned()),
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
    ];
    let carrier = load.carrier.environment();
    carrier
        .into_iter()
        .chain(vendors)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
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
    if let Some(added) = &report.added_ms {
        println!(
            "added a turn   p50 {} ms, p95 {}, p99 {}, max {}",
            added.p50, added.p95, added.p99, added.max
        );
    }
    for (name, figures, what) in [
        (
            "barge to rule ",
            &report.barge_rule_ms,
            "caller's first sound, the text that cuts",
        ),
        (
            "rule to clear ",
            &report.barge_clear_ms,
            "that text, the clear at the carrier",
        ),
        (
            "rule to quiet ",
            &report.barge_quiet_ms,
            "that text, silence at the ear",
        ),
        (
            "barge to quiet",
            &report.cut_off_ms,
            "caller's first sound, silence at the ear",
        ),
    ] {
        if let Some(Barge { p50, p99 }) = figures {
            println!("{name} p50 {p50} ms, p99 {p99} ({what})");
        }
    }
    if let Some(answer) = &report.answer_ms {
        println!(
            "line to answer p50 {} ms, p95 {}, p99 {}, max {} (end of turn and vendors included)",
            answer.p50, answer.p95, answer.p99, answer.max
        );
    }
    if let Some(cpu) = report.cpu_s_per_call_minute {
        println!("CPU            {cpu:.3} s a call-minute");
    }
    if let Some(kib) = report.kib_per_call {
        println!("memory         {kib:.0} KiB a call");
    }
    println!(
        "dials          {} placed, {} twice; statuses {:?}",
        report.dials.placed, report.dials.duplicate, report.statuses
    );
    println!("generator late p99 {} ms", report.lag_ms);
    if let Some(stolen) = report.stolen_percent {
        println!("stolen         {stolen} % of the machine's processors, by its host");
    }
}

fn show_soak(soaked: &Soaked) {
    println!("calls {}, errors {}", soaked.calls, soaked.errors);
    println!("CPU            {:.4} s a call", soaked.cpu_s_per_call);
    for idle in [&soaked.early, &soaked.late] {
        println!(
            "after {:>6}   {} KiB, {} descriptors, {} threads, {} tasks, idle CPU {:.1} %",
            idle.calls,
            idle.rss_kib,
            idle.descriptors,
            idle.threads,
            idle.tasks.map_or("?".to_owned(), |tasks| tasks.to_string()),
            idle.cpu_percent
        );
    }
}
