//! Whole calls on a clock that jumps: the real machine, vendors the test plays, a socket without a net.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod media;
mod owner;
mod talk;

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use bolo_agent::Agent;
use bolo_audio::Format;
use bolo_conversation::{Rules, TurnEndWhy};
use bolo_execution::{Component, Direction, EndReason, EntryKind, Hangup, HangupBy};
use bolo_providers::{Hear, Heard};
use bolo_telephony::MediaCommand;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    bench::{self, Cast, Far, Notebook, Paper, Peer},
    clips::Clips,
    journal::Head,
    ledger::Books,
    playout::Lead,
    prepare::{Prepared, assemble},
    scribes::{Kept, Scribes},
};

/// A call under way, and all its ends.
struct Stage {
    peer: Peer,
    cast: Cast,
    notebook: Arc<Notebook>,
    paper: Arc<Paper>,
    ledger: Arc<Ledger>,
    commands: Sender<Command>,
    sockets: Sender<Box<Socket>>,
    stop: CancellationToken,
    wav: PathBuf,
    /// Characters that were rendered while it rang.
    rendered: u64,
    kept: Kept,
    started: Instant,
    running: AbortOnDropHandle<()>,
    _clerk: AbortOnDropHandle<()>,
    _scratch: tempfile::TempDir,
}

/// Starts a call of an agent that says `welcome`; `answers` are what its model says, turn by turn.
async fn call(welcome: &str, config: serde_json::Value, answers: &[&str]) -> Stage {
    let agent = Arc::new(Agent::parse(&bench::agent(welcome, config)).unwrap());
    let (cast, team) = bench::cast(answers);
    let record = bench::record(Direction::Inbound);
    let clips = Clips::new(1 << 20);
    let rules = Rules::default();
    let format = Format::Mulaw8k;
    let prepared = assemble(
        agent.clone(),
        Default::default(),
        &record,
        format,
        team,
        None,
        &rules,
        &clips,
    );
    let Prepared {
        script,
        llm,
        transcriber,
        voice,
        synthesizer,
        hearing,
        speaking,
        ahead,
        ..
    } = prepared;
    // Ringing: connections are made, the welcome is rendered.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rendered = ahead.characters();

    let (socket, peer) = bench::socket();
    let started = Instant::now();
    let scratch = tempfile::tempdir().unwrap();
    let wav = scratch.path().join("call.wav");
    // A clock that jumps outruns every disk.
    let scribes = Scribes::with_room_for(100_000);
    let (reel, kept) = scribes.begin(wav.clone(), None, format);
    let (notebook, paper, ledger) = (
        Arc::new(Notebook::default()),
        Arc::new(Paper::default()),
        Arc::new(Ledger::default()),
    );
    let (news_sender, news) = mpsc::channel(64);
    let (desk, _clerk) = Desk::open(paper.clone(), ledger.clone(), news_sender.clone());
    let toolbox = Toolbox::new(
        agent.clone(),
        &script.facts,
        &record,
        "CA1",
        bench::public(),
        Arc::new(notebook.clone()),
        news_sender.clone(),
        tokio_util::task::TaskTracker::new(),
    );
    let (commands, commands_out): (Sender<Command>, Receiver<Command>) = mpsc::channel(4);
    let (sockets, sockets_out) = mpsc::channel(2);
    let stop = CancellationToken::new();
    let head = Head {
        version: 1,
        started_at: 0,
        script: script.clone(),
    };
    notebook.event(journal::text(&head)).unwrap();
    let call = Call {
        epoch: 1,
        machine: Conversation::new(script),
        started,
        socket: Some(socket),
        ears: Ears::new(transcriber, format, true, hearing.at_work.clone()),
        mouth: Mouth::new(synthesizer, voice, clips, started),
        mind: Mind::new(
            llm,
            agent.conversation.llm.config.clone(),
            None,
            "agent".into(),
            news_sender,
        ),
        playout: Playout::new(format, Lead::new(400), None, started),
        tape: Tape::new(reel, format, started),
        journal: Box::new(notebook.clone()),
        desk,
        toolbox,
        ahead,
        ledger: ledger.clone(),
        names: Names {
            hearing,
            speaking,
            answered_before: Some(100),
            ..Names::default()
        },
        news,
        commands: commands_out,
        sockets: sockets_out,
        stop: Box::pin(stop.clone().cancelled_owned()),
        frozen: Duration::from_secs(10),
        back: Duration::from_secs(5),
        state: State::new(started),
    };
    let start = Input::MediaStart {
        direction: Direction::Inbound,
        marks: true,
        web: false,
        seed: 7,
    };
    let running = AbortOnDropHandle::new(tokio::spawn(Box::new(call).run(vec![start])));
    Stage {
        peer,
        cast,
        notebook,
        paper,
        ledger,
        commands,
        sockets,
        stop,
        wav,
        rendered,
        kept,
        started,
        running,
        _clerk,
        _scratch: scratch,
    }
}

impl Stage {
    async fn hears(&mut self) -> Far<Hear, Heard> {
        let sessions: &mut Receiver<_> = &mut self.cast.hears;
        sessions.recv().await.unwrap()
    }

    /// `ms` of the call, with the caller's line silent; marks are echoed as audio ends.
    async fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.peer.frame(0xFF);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.peer.look();
        }
    }

    fn at(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Waits for the end of the call's task.
    async fn ends(
        self,
    ) -> (
        Arc<Notebook>,
        Arc<Paper>,
        Arc<Ledger>,
        Vec<i16>,
        Vec<i16>,
        tempfile::TempDir,
    ) {
        self.running.await.unwrap();
        assert!(self.kept.await.unwrap());
        let (left, right) = channels(&self.wav);
        (
            self.notebook,
            self.paper,
            self.ledger,
            left,
            right,
            self._scratch,
        )
    }
}

async fn says(far: &Far<Hear, Heard>, text: &str) {
    let end = Heard::TurnEnd {
        text: text.into(),
        why: bolo_providers::HeardEnd::SpeechFinal,
    };
    far.output.send(Ok(end)).await.unwrap();
}

/// Caller and agent of a recording, 8 kHz.
fn channels(path: &PathBuf) -> (Vec<i16>, Vec<i16>) {
    let bytes = std::fs::read(path).unwrap();
    let sample = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
    bytes[44..]
        .chunks_exact(4)
        .map(|frame| (sample(&frame[..2]), sample(&frame[2..])))
        .unzip()
}

/// Places, in ms, where a channel is not silent: (from, to) of each run.
fn sounds(channel: &[i16]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, sample) in channel.iter().enumerate() {
        let ms = index / 8;
        if sample.unsigned_abs() > 8 {
            match runs.last_mut() {
                Some((_, to)) if ms <= *to + 1 => *to = ms,
                _ => runs.push((ms, ms)),
            }
        }
    }
    runs.into_iter().map(|(from, to)| (from, to + 1)).collect()
}
