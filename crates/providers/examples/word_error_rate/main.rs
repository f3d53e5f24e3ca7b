//! Measures local recognition on the spoken callers of the simulator, through the whole live chain:
//! 20 ms frames of 8 kHz mu-law into the transcriber, silence after each clip.
//!
//! `cargo run --release -p bolo-providers --example word_error_rate [-- KIND…] [--each] [--model=NAME]
//! [--voice=NAME]`
//!
//! `--model` chooses the transcriber. With `--voice` that local voice says the clips' texts instead, and how
//! long it takes is told, too.
//!
//! Time is counted by audio, one frame after the other, so the figures don't depend on how fast the
//! machine is; what inference adds is printed beside them.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    error::Error,
    fs,
    path::PathBuf,
    time::Instant,
};

use bolo_audio::Format;
use bolo_providers::{Hear, Heard, Transcriber, TranscriberSpec, local::Speech};
use bytes::Bytes;
use serde::Deserialize;
use spoken::Speaker;

mod spoken;
mod words;

/// Header of the clips' WAV files.
const HEADER: usize = 58;
const FRAME_MS: u64 = 20;
const FRAME: usize = 160;
/// Silence before each clip: no caller begins with the line's first sample.
const LEAD_MS: u64 = 500;
/// Silence after it.
const SILENCE_MS: u64 = 3_200;
/// A turn told later than this after its last sound is late.
const LATE_MS: u64 = 800;
/// An unfinished sentence answered sooner than this after its last sound was cut off.
const PATIENCE_MS: u64 = 1_000;

#[derive(Deserialize)]
struct Clip {
    file: String,
    kind: String,
    text: String,
}

#[derive(Default)]
struct Gathered {
    text: String,
    /// When turns ended, ms of audio.
    ends: Vec<u64>,
    /// The last sound of the clip, ms of audio.
    last_sound: u64,
    /// The longest that a frame of the 240 ms before a turn's end took, ms of wall time.
    thinking: Vec<u128>,
    interims: usize,
}

#[derive(Default)]
struct Sums {
    clips: usize,
    words: usize,
    wrong: usize,
    turns: usize,
    early: usize,
    late: usize,
    silent: usize,
    delays: Vec<u64>,
    thinking: Vec<u128>,
    interims: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let each = arguments.iter().any(|argument| argument == "--each");
    let kinds: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|kind| !kind.starts_with('-'))
        .collect();
    let named = |name: &str| {
        let given = arguments
            .iter()
            .find_map(|argument| argument.strip_prefix(name));
        given.unwrap_or_default().to_owned()
    };
    let (model, voice) = (named("--model="), named("--voice="));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../simulator/callers");
    let clips: Vec<Clip> = serde_json::from_slice(&fs::read(folder.join("manifest.json"))?)?;
    let models = env::var_os("BOLO_MODELS_DIR").map(PathBuf::from);
    let models = bolo_models::Store::new(models, env::temp_dir().join("bolo-models"));
    let speech = Speech::new(models, 2);
    let transcriber = speech.transcriber();
    let mut speaker = Speaker::new(&speech, &voice).await?;
    let mut table: BTreeMap<&str, Sums> = BTreeMap::new();
    let began = Instant::now();
    let mut audio_ms = 0;
    for clip in &clips {
        if !kinds.is_empty() && !kinds.contains(&clip.kind.as_str()) {
            continue;
        }
        let audio = match &mut speaker {
            Some(speaker) => speaker.say(&clip.text).await?,
            None => fs::read(folder.join(&clip.file))?.split_off(HEADER),
        };
        audio_ms += audio.len() as u64 / 8 + SILENCE_MS;
        let heard = listen(transcriber.as_ref(), &model, &audio).await?;
        let (wrong, words) = words::errors(&clip.text, &heard.text);
        let sums = table.entry(&clip.kind).or_default();
        let first = heard.ends.first().copied();
        let early = match clip.kind.as_str() {
            "unfinished" => first.is_some_and(|end| end < heard.last_sound + PATIENCE_MS),
            _ => first.is_some_and(|end| end < heard.last_sound),
        };
        let last = heard.ends.last().copied();
        let delay = last.map(|end| end.saturating_sub(heard.last_sound));
        let late = delay.is_none_or(|delay| delay > LATE_MS);
        if each && (wrong > 0 || early || late) {
            println!(
                "{:28} {wrong}/{words} end +{delay:?} {} {}\n    said  {}\n    heard {}",
                clip.file,
                if early { "EARLY" } else { "" },
                if late { "LATE" } else { "" },
                clip.text,
                heard.text
            );
        }
        sums.clips += 1;
        sums.words += words;
        sums.wrong += wrong;
        sums.turns += heard.ends.len();
        sums.early += usize::from(early);
        sums.late += usize::from(late);
        sums.silent += usize::from(heard.ends.is_empty());
        sums.delays.extend(delay);
        sums.thinking.extend(heard.thinking);
        sums.interims += heard.interims;
    }
    println!(
        "{:12} {:>5} {:>6} {:>6} {:>6} {:>10} {:>10} {:>7} {:>13} {:>13}",
        "kind",
        "clips",
        "turns",
        "words",
        "WER %",
        "cut early",
        "end >800",
        "silent",
        "delay p50/p90",
        "think p50/p90"
    );
    for (kind, sums) in &mut table {
        println!(
            "{kind:12} {:5} {:6} {:6} {:6.1} {:10} {:10} {:7} {:>13} {:>13}",
            sums.clips,
            sums.turns,
            sums.words,
            100.0 * sums.wrong as f64 / sums.words.max(1) as f64,
            sums.early,
            sums.late,
            sums.silent,
            quantiles(&mut sums.delays),
            quantiles(&mut sums.thinking),
        );
    }
    let wall = began.elapsed().as_millis() as f64;
    println!(
        "{:.0} s of audio in {:.0} s",
        audio_ms as f64 / 1000.0,
        wall / 1000.0
    );
    if let Some(speaker) = speaker {
        speaker.tell();
    }
    Ok(())
}

/// Streams one clip, a frame at a time, and gathers what is told.
async fn listen(
    transcriber: &dyn Transcriber,
    model: &str,
    audio: &[u8],
) -> Result<Gathered, Box<dyn Error>> {
    let spec = TranscriberSpec {
        model: model.to_owned(),
        language: "en".to_owned(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        format: Format::Mulaw8k,
        execution: String::new(),
    };
    let mut session = transcriber.open(&spec).await?;
    let mut heard = Gathered {
        last_sound: LEAD_MS + last_sound(audio),
        ..Gathered::default()
    };
    let mut padded = vec![0xFF; LEAD_MS as usize * 8];
    padded.extend_from_slice(audio);
    padded.resize(padded.len().next_multiple_of(FRAME), 0xFF);
    padded.resize(padded.len() + SILENCE_MS as usize * 8, 0xFF);
    let room = session.input.max_capacity();
    let mut slowest = VecDeque::from(vec![0; 12]);
    let mut before = Instant::now();
    for (number, frame) in padded.chunks(FRAME).enumerate() {
        let sent = Instant::now();
        session
            .input
            .send(Hear::Audio(Bytes::copy_from_slice(frame)))
            .await?;
        // An empty queue: the frame before this one has been dealt with.
        drop(session.input.reserve_many(room).await?);
        while let Ok(told) = session.output.try_recv() {
            // It came of the frame before.
            heard.take(
                told?,
                number as u64 * FRAME_MS,
                slowest.iter().max().copied(),
            );
        }
        slowest.pop_front();
        slowest.push_back(before.elapsed().as_millis());
        before = sent;
    }
    session.input.send(Hear::Finish).await?;
    let end = padded.len() as u64 / 8;
    while let Some(told) = session.output.recv().await {
        heard.take(told?, end, None);
    }
    Ok(heard)
}

impl Gathered {
    fn take(&mut self, told: Heard, at: u64, thought_ms: Option<u128>) {
        match told {
            Heard::Final(text) => self.add(&text),
            Heard::TurnEnd { text, .. } => {
                self.add(&text);
                self.ends.push(at);
                self.thinking.extend(thought_ms);
            }
            Heard::Interim(_) => self.interims += 1,
            Heard::Eager { .. }
            | Heard::Resumed
            | Heard::SpeechStarted
            | Heard::SpeechEnded
            | Heard::Billed(_) => {}
        }
    }

    fn add(&mut self, text: &str) {
        self.text.push(' ');
        self.text.push_str(text);
    }
}

/// Where the last 20 ms louder than -42 dBFS end, ms.
fn last_sound(audio: &[u8]) -> u64 {
    let loud = |frame: &[u8]| {
        let energy: f64 = frame
            .iter()
            .map(|code| f64::from(bolo_audio::g711::decode(*code)).powi(2))
            .sum();
        (energy / frame.len() as f64).sqrt() > 32_768.0 * 10_f64.powf(-42.0 / 20.0)
    };
    audio
        .chunks(FRAME)
        .rposition(loud)
        .map_or(0, |frame| (frame as u64 + 1) * FRAME_MS)
}

fn quantiles<T: Ord + Copy + std::fmt::Display>(values: &mut [T]) -> String {
    values.sort_unstable();
    let at = |share: usize| values.get(values.len() * share / 100);
    match (at(50), at(90)) {
        (Some(half), Some(most)) => format!("{half}/{most}"),
        _ => "-".to_owned(),
    }
}
