//! Each trouble × each kind of vendor × each phase of a turn, from a seed: the caller never hears more than
//! 2.5 s of silence that nobody explains (R192-R195).
//!
//! A sample of the matrix runs with all tests; `BOLO_CHAOS=all` runs all of it and prints the worst silence
//! of each field, `BOLO_CHAOS_SEED` draws other moments, `BOLO_CHAOS=WORDS` runs the fields that hold them.

mod silence;
mod trouble;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event, Line, Missed, Step, Timed},
    carrier::{Delays, Kind},
    deepgram, elevenlabs, g711,
    llm::Reply,
    tone,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::task::JoinSet;

use self::{
    silence::{Metronome, Silence, is_whole, silences},
    trouble::{Cell, PHASES, Phase, TROUBLES, Trouble, VENDORS, Vendor},
};
use crate::support::{Database, Fakes, World, agent};

/// The longest silence that needs no explanation.
const LIMIT_MS: u64 = 2500;
/// After so much silence behind whole sentences the caller takes it that he is to speak.
const TURN_MS: u64 = 3000;
/// Calls at once, each in a world of its own.
const AT_ONCE: usize = 10;

const QUESTIONS: [(&str, &str); 2] = [
    (
        "where is my parcel at the moment",
        "Your parcel left our house on Monday morning. It will be with you on Friday before noon.",
    ),
    (
        "do you deliver to my office too",
        "Yes, we bring it to any address in town. Just tell the driver before he leaves.",
    ),
];

/// What a caller says: in tones, which the fake transcriber understands, and then for a while with a voice, which
/// the server's voice detector hears. A WAV file of it.
fn spoken(folder: &Path, question: &str) -> PathBuf {
    let voice = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../simulator/callers/turn04-am_michael.wav"
    );
    // Behind a header of 58 bytes: mu-law. The end of it, so that all is replayed with the tones (5 s).
    let voice = &std::fs::read(voice).unwrap()[58..];
    let mut audio = tone::speak(question);
    audio.extend_from_slice(&voice[voice.len() - 14_400..voice.len() - 800]);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let path = folder.join(format!("{}.wav", question.replace(' ', "-")));
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    for byte in audio {
        wav.write_sample(g711::decode(byte)).unwrap();
    }
    wav.finalize().unwrap();
    path
}

/// What a caller lived through in one field.
struct Told {
    cell: Cell,
    /// The worst silence, what the machine's own lateness had in it, ms.
    worst: Option<(Silence, u64)>,
    /// A silence longer than that, but explained.
    explained_ms: u64,
    /// The call ended before he hung up.
    ended_early: bool,
    /// Something that must not be.
    wrong: Option<String>,
    log: String,
}

impl Told {
    /// The worst silence, without what this machine is to blame for.
    fn worst_ms(&self) -> u64 {
        self.worst
            .as_ref()
            .map_or(0, |(silence, late)| silence.ms().saturating_sub(*late))
    }

    fn is_bad(&self) -> bool {
        self.worst_ms() > LIMIT_MS || self.wrong.is_some()
    }
}

/// Every field, each with a moment of its own.
fn matrix(rng: &mut StdRng) -> Vec<Cell> {
    let mut cells = Vec::new();
    for vendor in VENDORS {
        for trouble in TROUBLES {
            for phase in PHASES {
                for lasts in [false, true] {
                    let offset_ms = rng.random_range(0..700);
                    cells.push(Cell {
                        vendor,
                        trouble,
                        phase,
                        lasts,
                        offset_ms,
                    });
                }
            }
        }
    }
    cells
}

/// One field of each vendor and trouble.
fn sample(mut cells: Vec<Cell>, rng: &mut StdRng) -> Vec<Cell> {
    cells.shuffle(rng);
    let mut seen: Vec<(Vendor, Trouble)> = Vec::new();
    cells.retain(|cell| {
        let of = (cell.vendor, cell.trouble);
        let is_new = !seen.contains(&of);
        seen.push(of);
        is_new
    });
    cells
}

async fn world() -> World {
    let fakes = Fakes::paced(
        Kind::Twilio,
        Delays::default(),
        deepgram::Options {
            result_delay: Duration::from_millis(150),
            ..Default::default()
        },
        elevenlabs::Options {
            first_byte: Duration::from_millis(120),
            speed: 3.0,
            ..Default::default()
        },
    )
    .await;
    fakes
        .llm
        .delays(Duration::from_millis(350), Duration::from_millis(40));
    // Words that got lost on a busy machine are answered too.
    let any = Reply::text("I see, please go on.");
    fakes.llm.on_pattern("(?s).*", any).unwrap();
    for (question, answer) in QUESTIONS {
        fakes.llm.on(question, Reply::text(answer));
    }
    World::around(fakes, Database::Sqlite, &[]).await
}

/// One call with the trouble of `cell`, or without any.
async fn call(world: &World, cell: Option<Cell>, metronome: &Metronome) -> Option<Told> {
    let begins = |phase| cell.filter(|cell| cell.phase == phase);
    let connect = begins(Phase::Connect);
    let (execution, call) = tokio::join!(
        async {
            let script = CallerScript {
                patience_ms: 15_000,
                ..CallerScript::default()
            };
            world.dial(&agent(), script).await
        },
        async {
            if let Some(cell) = connect {
                cell.begin(&world.fakes).await;
            }
        }
    )
    .0;
    let mut waits = Vec::new();
    let met = tokio::select! {
        met = meets(world, &call, cell, &mut waits) => met,
        () = ended(&call) => Ok(()),
    };
    let ended_early = call
        .timeline()
        .iter()
        .any(|timed| matches!(timed.event, Event::Ended(_)));
    let wrong = match met {
        Err(missed) if !ended_early => Some(missed.to_string()),
        _ => call.failures().first().cloned(),
    };
    Cell::over(&world.fakes);
    if !ended_early {
        call.hangs_up().await.unwrap();
    }
    world
        .server
        .until(&execution, "its end", |record| {
            ["completed", "error"].contains(&record["status"].as_str().unwrap())
        })
        .await;
    let events = call.timeline();
    let all = waits
        .iter()
        .flat_map(|(begin, end)| silences(&events, *begin, *end));
    let (explained, unexplained): (Vec<_>, Vec<_>) = all.partition(Silence::is_explained);
    let at = |us: u64| call.began() + Duration::from_micros(us);
    let worst = unexplained
        .into_iter()
        .max_by_key(Silence::ms)
        .map(|worst| {
            let late = metronome.late_ms(at(worst.from_us), at(worst.until_us));
            (worst, late)
        });
    let mut told = Told {
        cell: cell?,
        worst,
        explained_ms: explained.iter().map(Silence::ms).max().unwrap_or(0),
        ended_early,
        wrong,
        log: call.log(),
    };
    if told.is_bad() {
        let setup = world.server.setup();
        let decided = setup.run(&["replay", &execution, "--print"]);
        told.log.push_str(&decided);
    }
    Some(told)
}

/// Waits for the end, however long that takes.
async fn ended(call: &CallHandle) {
    while call.ended().await.is_err() {}
}

/// The call itself. `waits`: from when to when the caller waited for the agent.
async fn meets(
    world: &World,
    call: &CallHandle,
    cell: Option<Cell>,
    waits: &mut Vec<(u64, u64)>,
) -> Result<(), Missed> {
    let fakes = &world.fakes;
    call.media_opened().await?;
    waits.push((now(call, |event| *event == Event::MediaOpened), u64::MAX));
    listens(call, "Hello there.").await?;
    end(call, waits);
    for (number, (question, answer)) in QUESTIONS.into_iter().enumerate() {
        let begins = |phase| cell.filter(|cell| number == 0 && cell.phase == phase);
        let planned = begins(Phase::Answering).filter(Cell::is_planned);
        if let Some(cell) = planned {
            cell.begin(fakes).await;
        }
        let line = Line::Wav(spoken(&world.server.folder(), question));
        let label = line.label();
        call.starts_saying(line).await?;
        let stopped =
            |event: &Event| matches!(event, Event::CallerStopped { line } if *line == label);
        let troubled = async {
            if let Some(cell) = begins(Phase::Speaking) {
                offset(cell).await;
                cell.begin(fakes).await;
            }
            call.waits_for("the end of the question", |events| {
                events
                    .iter()
                    .find(|timed| stopped(&timed.event))
                    .map(|timed| timed.at_us)
            })
            .await
        };
        waits.push((troubled.await?, u64::MAX));
        let (heard, ()) = tokio::join!(listens(call, answer), async {
            if let Some(cell) = begins(Phase::Thinking) {
                cell.begin(fakes).await;
            }
            if let Some(cell) = begins(Phase::Answering).filter(|cell| !cell.is_planned()) {
                // `listens` fails where there is no answer.
                if answers(call, &label).await.is_ok() {
                    offset(cell).await;
                    cell.begin(fakes).await;
                }
            }
        });
        heard?;
        end(call, waits);
        if let Some(cell) = begins(Phase::Idle) {
            cell.begin(fakes).await;
            offset(cell).await;
        }
    }
    Ok(())
}

async fn offset(cell: Cell) {
    tokio::time::sleep(Duration::from_millis(cell.offset_ms)).await; // no-sleep-ok: the moment that the seed drew
}

/// Waits until the agent is heard after the question.
async fn answers(call: &CallHandle, label: &str) -> Result<(), Missed> {
    call.waits_for("an answer", |events| {
        let mut events = events.iter().map(|timed| &timed.event);
        events.find(|event| matches!(event, Event::CallerStopped { line } if line == label))?;
        events
            .find(|event| **event == Event::AgentStarted)
            .map(|_| ())
    })
    .await
}

/// The time of the last such event.
fn now(call: &CallHandle, is: impl Fn(&Event) -> bool) -> u64 {
    let events = call.timeline();
    let last = events.iter().rfind(|timed| is(&timed.event));
    last.map_or(0, |timed| timed.at_us)
}

fn end(call: &CallHandle, waits: &mut [(u64, u64)]) {
    let stopped = now(call, |event| matches!(event, Event::AgentStopped));
    if let Some(wait) = waits.last_mut() {
        wait.1 = stopped;
    }
}

/// Waits until the agent has said something that the caller can answer, and has left him the word: soon after
/// the end of what it has to say, else when nothing more comes for long.
async fn listens(call: &CallHandle, last_words: &str) -> Result<(), Missed> {
    let heard = |events: &[Timed]| {
        let mut texts = events.iter().rev().filter_map(|timed| match &timed.event {
            Event::Heard { text, .. } => Some(text.clone()),
            _ => None,
        });
        texts.next().unwrap_or_default()
    };
    let starts = |events: &[Timed]| {
        let started = |timed: &&Timed| timed.event == Event::AgentStarted;
        events.iter().filter(started).count()
    };
    loop {
        let silence_ms = 600;
        call.does(Step::WaitForAgent { silence_ms }).await?;
        let events = call.timeline();
        if heard(&events).ends_with(last_words) {
            return Ok(());
        }
        if is_whole(&heard(&events)) {
            let ms = TURN_MS - silence_ms;
            call.does(Step::Silence { ms }).await?;
            if starts(&call.timeline()) == starts(&events) {
                return Ok(());
            }
        }
    }
}

/// Goes through `cells` in a world of its own.
async fn live(cells: Arc<Mutex<VecDeque<Cell>>>, metronome: Metronome) -> Vec<Told> {
    let world = world().await;
    // The first call of a server renders the lines that need no vendor afterwards.
    call(&world, None, &metronome).await;
    let mut told = Vec::new();
    loop {
        let next = cells.lock().unwrap().pop_front();
        let Some(cell) = next else { return told };
        told.extend(call(&world, Some(cell), &metronome).await);
    }
}

fn print(told: &mut [Told]) {
    told.sort_by_key(|told| std::cmp::Reverse(told.worst_ms()));
    println!("silence  late  explained  field");
    for told in told.iter() {
        let late = told.worst.as_ref().map_or(0, |(_, late)| *late);
        let after = told.worst.as_ref().map_or("", |(worst, _)| &worst.after);
        let ended = if told.ended_early { ", call ended" } else { "" };
        println!(
            "{:>7} {late:>5} {:>10}  {}{ended} (after {after:?}){}",
            told.worst_ms(),
            told.explained_ms,
            told.cell,
            told.wrong.as_deref().map_or("", |_| " WRONG"),
        );
    }
    if let Some(worst) = told.first() {
        println!("worst of all: {} ms, {}", worst.worst_ms(), worst.cell);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_vendor_does_the_caller_is_not_left_in_silence() {
    let seed = std::env::var("BOLO_CHAOS_SEED")
        .ok()
        .map_or(1, |seed| seed.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(seed);
    let all = matrix(&mut rng);
    let cells = match std::env::var("BOLO_CHAOS") {
        Err(_) => sample(all, &mut rng),
        Ok(which) if which == "all" => all,
        Ok(words) => {
            let holds = |cell: &Cell| {
                let name = cell.to_string();
                words
                    .split(',')
                    .any(|words| words.split(' ').all(|word| name.contains(word)))
            };
            all.into_iter().filter(holds).collect()
        }
    };
    println!("seed {seed}, {} fields", cells.len());
    let metronome = Metronome::start();
    let cells = Arc::new(Mutex::new(VecDeque::from(cells)));
    let mut worlds = JoinSet::new();
    for _ in 0..AT_ONCE {
        worlds.spawn(live(cells.clone(), metronome.clone()));
    }
    let mut told: Vec<Told> = worlds.join_all().await.into_iter().flatten().collect();
    print(&mut told);
    let bad: Vec<String> = told
        .iter()
        .filter(|told| told.is_bad())
        .map(|told| {
            let wrong = told.wrong.as_deref().unwrap_or_default();
            format!(
                "{}: {} ms {wrong}\n{}",
                told.cell,
                told.worst_ms(),
                told.log
            )
        })
        .collect();
    assert!(bad.is_empty(), "seed {seed}:\n{}", bad.join("\n"));
}
