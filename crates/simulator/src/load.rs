//! A load generator: many calls at once against a running server, with vendors of fixed and known delay,
//! so that what remains is the server's own. All clocks are this process's.

mod answers;
mod api;
mod barge;
mod figures;
mod process;
mod soak;
mod told;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};

use api::Api;
use barge::Cut;
pub use figures::{Barge, Dials, Report, Spread};
pub use soak::{Idle, Soaked};
use told::Told;

use crate::{
    Error, Observer,
    caller::{CallHandle, CallerScript, Event, Line, Step, Then, Voice},
    carrier::{self, FakeCarrier, Kind, Number},
    deepgram::{self, FakeDeepgram},
    elevenlabs::{self, FakeElevenlabs},
    http,
    llm::{self, FakeLlm, Reply},
    tone,
};

/// Our number at the fake carrier.
const OURS: &str = "+14155550100";
/// Calls whose texts have room in the table of tones: two lines of the caller's each, and what the agent answers.
const MOST_CALLS: usize = tone::TEXTS / 3 - 14;
/// What the agent answers to everything, and to a caller in tones: it begins with the words that tell calls apart.
/// These are a short sentence: the server speaks an answer in pieces, and what differs by call must be one of them.
const ANSWER: &str = "Thank you, I have noted that for you. Is there anything else?";
const ANSWER_TO: (&str, &str) = (
    "call [0-9]+",
    "$0 noted. Is there anything else that I can do for you?",
);

/// How long vendors take.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// A transcriber's result after its audio.
    pub result: Duration,
    /// The model's first token; the rest follows at once.
    pub first_token: Duration,
    /// The synthesizer's first audio.
    pub first_audio: Duration,
    /// The network between carrier and server, each way.
    pub network: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            result: Duration::from_millis(100),
            first_token: Duration::from_millis(300),
            first_audio: Duration::from_millis(100),
            network: Duration::ZERO,
        }
    }
}

/// What the callers do.
#[derive(Debug, Clone)]
pub enum Callers {
    /// So many turns in tones, which the fake transcriber understands, then so many barge-ins.
    Turns {
        /// Lines that the agent answers to its end.
        turns: usize,
        /// Lines into the agent.
        barge_ins: usize,
    },
    /// This, each of them.
    Script(Box<CallerScript>),
}

impl Callers {
    /// Whether they speak with a voice, which the fake transcriber doesn't understand.
    fn have_voices(&self) -> bool {
        match self {
            Self::Turns { .. } => false,
            Self::Script(script) => script.lines().any(|line| !matches!(line, Line::Tone(_))),
        }
    }
}

/// Whom the calls are from.
#[derive(Debug, Clone)]
pub enum Agent {
    /// One of the fakes' vendors, made for the run. It hears callers with voices by the server's own
    /// transcriber.
    OfFakes,
    /// This document.
    New(Value),
    /// One that the server has, by its id.
    Known(String),
}

/// How much load, and of what.
#[derive(Clone)]
pub struct Plan {
    /// The carrier they go through.
    pub carrier: Kind,
    /// Calls, all at once after the ramp.
    pub calls: usize,
    /// Time over which they are placed.
    pub ramp: Duration,
    /// What the callers do.
    pub callers: Callers,
    /// Whom they talk with.
    pub agent: Agent,
    /// How long vendors take.
    pub delays: Delays,
    /// Where the carrier listens; transcriber, synthesizer and model listen on the three ports after it.
    /// Port 0: each on any free one.
    pub listen: SocketAddr,
    /// Speaks the callers' `text` lines; without one they are in tones.
    pub voice: Option<Arc<dyn Voice>>,
}

/// The server under load.
#[derive(Debug, Clone)]
pub struct Target {
    /// `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Its API key.
    pub api_key: String,
    /// Its process, for CPU and memory.
    pub pid: Option<u32>,
}

/// The fakes of a load run. Start them first: the server is told their addresses.
pub struct Load {
    /// The carrier.
    pub carrier: FakeCarrier,
    /// The transcriber.
    pub deepgram: FakeDeepgram,
    /// The synthesizer.
    pub elevenlabs: FakeElevenlabs,
    /// The model.
    pub llm: FakeLlm,
    plan: Plan,
    told: Arc<Told>,
}

impl Load {
    /// Starts the fakes with the plan's delays.
    pub async fn start(plan: Plan) -> Result<Self, Error> {
        let told: Arc<Told> = Arc::default();
        let noted = told.clone();
        let observer: deepgram::Observer = Arc::new(move |text| noted.sent(text));
        let noted = told.clone();
        let begun = Observer::new(move |begun| noted.begun(begun));
        let at = |nth: u16| {
            let port = match plan.listen.port() {
                0 => 0,
                first => first.saturating_add(nth),
            };
            SocketAddr::new(plan.listen.ip(), port)
        };
        let options = carrier::Options {
            addr: at(0),
            numbers: vec![Number::new(OURS)],
            voice: plan.voice.clone(),
            delays: carrier::Delays {
                network_ms: plan.delays.network.as_millis() as u64,
                ..Default::default()
            },
            // What the agent says matters to free scripts only, and costs time.
            tones: matches!(plan.callers, Callers::Script(_)),
            record: false,
            keep_forms: false,
            deadline: Duration::from_secs(600),
            ..Default::default()
        };
        let llm = llm::Options {
            addr: at(3),
            first_token: plan.delays.first_token,
            observer: Some(begun.clone()),
            ..Default::default()
        };
        let llm = FakeLlm::start(llm).await?;
        llm.on_pattern("(?s).*", Reply::text(ANSWER))?;
        llm.on_pattern(ANSWER_TO.0, Reply::text(ANSWER_TO.1))?;
        Ok(Self {
            carrier: FakeCarrier::start(plan.carrier, options).await?,
            deepgram: FakeDeepgram::start(deepgram::Options {
                addr: at(1),
                result_delay: plan.delays.result,
                observer: Some(observer),
                ..Default::default()
            })
            .await?,
            elevenlabs: FakeElevenlabs::start(elevenlabs::Options {
                addr: at(2),
                first_byte: plan.delays.first_audio,
                speed: 5.0,
                observer: Some(begun),
                ..Default::default()
            })
            .await?,
            llm,
            plan,
            told,
        })
    }

    /// The server's client. What a carrier's user sets up by hand is done.
    fn reach(&self, target: &Target) -> Result<Api, Error> {
        self.carrier.set_up_for(&target.base_url);
        Ok(Api {
            http: http::client()?,
            target: target.clone(),
        })
    }

    /// The agent under load: no hold, so that every wait of the server is its own.
    fn agent(&self) -> Value {
        let transcriber = if self.plan.callers.have_voices() {
            json!({"provider": "local", "language": "en", "endpointing": 250})
        } else {
            json!({"provider": "deepgram", "model": "nova-3", "language": "en", "endpointing": 250})
        };
        let carrier = self.plan.carrier.name();
        json!({
            "agent_config": {
                "agent_name": "Load",
                "agent_welcome_message": "Hello, how can I help you?",
                "tasks": [{
                    "task_type": "conversation",
                    "tools_config": {
                        "llm_agent": {"agent_type": "simple_llm_agent", "agent_flow_type": "streaming",
                            "llm_config": {"provider": "openai", "model": "gpt-4.1-mini", "max_tokens": 150}},
                        "transcriber": transcriber,
                        "synthesizer": {"provider": "elevenlabs",
                            "provider_config": {"voice": "Nila", "voice_id": "v1", "model": "eleven_flash_v2_5"}},
                        "input": {"provider": carrier}, "output": {"provider": carrier},
                    },
                    "task_config": {"incremental_delay": 0, "hangup_after_silence": 60, "check_if_user_online": false},
                }],
            },
            "agent_prompts": {"task_1": {"system_prompt": "You take notes."}},
        })
    }

    /// Places the calls, waits for their ends and gives the figures. `Error::Script` for more calls in tones than
    /// can be told apart.
    pub async fn run(&self, target: &Target) -> Result<Report, Error> {
        let in_tones = matches!(self.plan.callers, Callers::Turns { .. });
        if in_tones && self.plan.calls > MOST_CALLS {
            return Err(Error::Script {
                field: "calls".into(),
                message: format!("at most {MOST_CALLS} speak in tones at once"),
            });
        }
        let api = self.reach(target)?;
        let forgotten = tone::forgotten();
        let agent = match &self.plan.agent {
            Agent::OfFakes => api.create_agent(&self.agent()).await?,
            Agent::New(document) => api.create_agent(document).await?,
            Agent::Known(id) => id.clone(),
        };
        let machine = process::Machine::sample();
        let before = target.pid.map(process::sample).transpose()?;
        let watch = target.pid.map(process::Watch::start);
        let gap = self.plan.ramp / self.plan.calls.max(1) as u32;
        let mut executions = Vec::with_capacity(self.plan.calls);
        for call in 0..self.plan.calls {
            let number = number(call);
            self.carrier
                .script(&number, script(&self.plan.callers, call));
            let body = json!({"agent_id": agent, "recipient_phone_number": number});
            let placed = api.post("/call", &body).await?;
            executions.push(
                placed["execution_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            tokio::time::sleep(gap).await;
        }
        let mut report = Report::default();
        let mut talked = Duration::ZERO;
        let mut measured = Measured::default();
        for call in 0..self.plan.calls {
            let Ok(handle) = self.carrier.dialled(&number(call)).await else {
                report.errors += 1;
                continue;
            };
            if handle.ended().await.is_err() {
                report.errors += 1;
                continue;
            }
            talked += duration(&handle);
            let complaints = [handle.failures(), handle.warnings()].concat();
            for complaint in &complaints {
                tracing::warn!(call, complaint, "not as it should be");
            }
            report.errors += complaints.len();
            self.measure(call, &handle, &mut measured);
        }
        if in_tones && tone::forgotten() > forgotten {
            tracing::warn!("more texts than tones can spell: callers heard each other's lines");
            report.errors += 1;
        }
        report.stolen_percent = process::Machine::sample()
            .zip(machine)
            .map(|(now, then)| now.stolen_percent(then));
        let after = target.pid.map(process::sample).transpose()?;
        if let (Some(before), Some(after), Some(watch)) = (before, after, watch) {
            let minutes = talked.as_secs_f64() / 60.0;
            report.cpu_s_per_call_minute =
                Some((after.cpu_s - before.cpu_s) / minutes.max(f64::EPSILON));
            let grown = watch.peak_kib().saturating_sub(before.rss_kib);
            report.kib_per_call = Some(grown as f64 / self.plan.calls.max(1) as f64);
        }
        for execution in executions {
            let status = api.settled(&execution).await?;
            *report.statuses.entry(status).or_default() += 1;
        }
        report.calls = self.plan.calls;
        report.turns = measured.turns;
        match &self.plan.callers {
            Callers::Turns { .. } => {
                let cuts = &measured.cuts;
                let of = |pick: fn(&Cut) -> f64| Some(Barge::of(cuts.iter().map(pick).collect()));
                report.barge_ins = cuts.len();
                report.barge_rule_ms = of(|cut| cut.to_rule);
                report.barge_clear_ms = of(|cut| cut.to_clear);
                report.barge_quiet_ms = of(|cut| cut.to_quiet);
                report.cut_off_ms = of(|cut| cut.to_rule + cut.to_quiet);
                report.turns_ok = measured.added.len();
                report.added_ms = Some(Spread::of(measured.added));
            }
            Callers::Script(_) => {
                report.turns_ok = measured.answers.len();
                report.answer_ms = Some(Spread::of(measured.answers));
            }
        }
        report.dials = Dials {
            placed: self.carrier.ledger().placed(),
            duplicate: self.carrier.ledger().duplicates(),
        };
        report.lag_ms = self.carrier.lag_ms().1;
        Ok(report)
    }

    /// Adds a call that is over.
    fn measure(&self, call: usize, handle: &CallHandle, measured: &mut Measured) {
        let Callers::Turns { barge_ins, .. } = &self.plan.callers else {
            let (turns, waits) = answers::of(&handle.timeline());
            measured.turns += turns;
            measured.answers.extend(waits);
            return;
        };
        let (own, line) = (self.told.of(call), barge::line(call));
        let delays = &self.plan.delays;
        let delays = delays.first_token + delays.first_audio + delays.network;
        let turns = own.added(delays, &told::arrivals(handle));
        measured.turns += turns.len();
        measured.added.extend(turns.into_iter().flatten());
        let cuts = (0..*barge_ins).filter_map(|nth| barge::cut(&line, nth, handle, &own.sent));
        measured.cuts.extend(cuts);
    }
}

/// What was measured of the calls that are over.
#[derive(Default)]
struct Measured {
    turns: usize,
    /// ms a turn beyond its vendors.
    added: Vec<f64>,
    cuts: Vec<Cut>,
    /// ms a line, with a free script.
    answers: Vec<f64>,
}

/// What a caller does.
fn script(callers: &Callers, call: usize) -> CallerScript {
    let (turns, barge_ins) = match callers {
        Callers::Turns { turns, barge_ins } => (*turns, *barge_ins),
        Callers::Script(script) => return (**script).clone(),
    };
    // One text for all turns: each new one takes a place in the table of tones.
    let note = || Step::Say(Line::Tone(format!("call {call} here is a note")));
    let mut steps = vec![Step::WaitForAgent { silence_ms: 400 }];
    for _ in 0..turns {
        steps.push(note());
        steps.push(Step::WaitForAgent { silence_ms: 600 });
    }
    steps.push(note());
    for _ in 0..barge_ins {
        steps.push(Step::BargeIn {
            after_ms: Some(1000),
            at: None,
            at_word: None,
            say: Line::Tone(barge::line(call)),
        });
    }
    steps.push(Step::WaitForAgent { silence_ms: 600 });
    CallerScript {
        steps,
        then: Then::HangUp,
        patience_ms: 60_000,
        ..CallerScript::default()
    }
}

fn number(call: usize) -> String {
    format!("+1555{call:07}")
}

/// Time between the answer and the end.
fn duration(handle: &CallHandle) -> Duration {
    let events = handle.timeline();
    let at = |is: fn(&Event) -> bool| {
        events
            .iter()
            .find(|timed| is(&timed.event))
            .map(|timed| timed.at_us)
    };
    let opened = at(|event| matches!(event, Event::MediaOpened));
    let ended = at(|event| matches!(event, Event::Ended(_)));
    match (opened, ended) {
        (Some(opened), Some(ended)) => Duration::from_micros(ended.saturating_sub(opened)),
        _ => Duration::ZERO,
    }
}

/// Statuses by how many executions have them.
pub type Statuses = BTreeMap<String, usize>;

#[cfg(test)]
mod tests;
