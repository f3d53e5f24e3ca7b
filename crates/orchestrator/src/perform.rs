//! Carries out what the machine decides: starts or drops work, never waits.

use std::collections::BTreeMap;

use bolo_conversation::{AnswerId, Clip, Input, Kind, Metric, Output, TokenUse, TransferOutcome};
use bolo_execution::{Component, EndReason, Entry, EntryKind, Offer, SpeechTotal};
use bolo_telephony::MediaCommand;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    call::{Call, Machine},
    desk::Leg,
    ending::End,
    fallback::Crew,
    figures,
    journal::Unwritten,
    speaking::Say,
    tools::Handover,
};

impl<M: Machine> Call<M> {
    /// What the driver itself makes of a fact before the machine hears of it.
    pub(crate) fn before(&mut self, input: &Input, now: Instant) {
        match input {
            Input::Token { answer, .. }
            | Input::ToolNamed { answer, .. }
            | Input::ToolCalls { answer, .. } => {
                self.ledger.books().latency.token(*answer, now);
            }
            Input::AnswerDone { answer, usage, .. } => {
                self.mind.ended(*answer);
                self.pay([*usage]);
                self.ledger.books().latency.done(*answer, false, now);
            }
            Input::AnswerFailed { answer, .. } => {
                let tokens = self.mind.failed(*answer);
                self.pay(tokens);
            }
            Input::Audio { answer, .. } => self.ledger.books().latency.audio(*answer, now),
            Input::PieceDone { answer, piece } => self.playout.piece_done(*answer, *piece),
            Input::SpeechDone { answer } => self.ledger.books().latency.done(*answer, true, now),
            Input::Routed { .. } => self.ledger.books().latency.routed(now),
            _ => {}
        }
    }

    /// Carries out decisions, in order.
    pub(crate) fn perform(&mut self, outputs: Vec<Output>, now: Instant) {
        let mut turn = None;
        let mut note = false;
        for output in outputs {
            match output {
                Output::Answered => self.desk.answered(),
                Output::EndTurn => self.ears.end_turn(),
                Output::Ask {
                    answer,
                    messages,
                    tools,
                    tool_choice,
                    temperature,
                } => {
                    self.ledger.books().latency.asked(answer, now);
                    self.mind
                        .ask(answer, messages, tools, tool_choice, temperature);
                    note = true;
                }
                Output::CancelAsk { answer } => {
                    let tokens = self.mind.cancel(answer);
                    self.pay(tokens);
                }
                Output::RunTool {
                    run,
                    tool,
                    arguments,
                    context,
                } => self.toolbox.run(run, tool, arguments, context),
                Output::StartTransfer {
                    ring_s,
                    tool,
                    arguments,
                    offer,
                } => {
                    self.start_transfer(&tool, arguments, ring_s, offer);
                    note = true;
                }
                Output::AskRoute { turn, text } => {
                    self.ledger.books().latency.asked_route(now);
                    self.mind.ask_route(turn, text);
                }
                Output::AskJudge { id, kind, messages } => self.mind.ask_judge(id, kind, messages),
                Output::Say {
                    answer,
                    piece,
                    text,
                    last,
                    kind,
                } => {
                    let keep = kind != Kind::Answer;
                    let line = Say {
                        answer,
                        piece,
                        text,
                        last,
                        keep,
                    };
                    self.say(line, kind == Kind::Route, now);
                }
                Output::SayClip { answer, clip, text } => {
                    let line = Say {
                        answer,
                        piece: 0,
                        text,
                        last: true,
                        keep: true,
                    };
                    self.say(line, clip == Clip::Route, now);
                }
                Output::CancelSay { answer } => self.mouth.cancel(answer),
                Output::Play { answer, chunk } => self.play(answer, chunk, turn, now),
                Output::PlayEnd { answer } => {
                    self.playout.end(answer);
                    note = true;
                }
                Output::PausePlayback => self.playout.pause(),
                Output::ResumePlayback {
                    answer,
                    chunk,
                    from_ms,
                } => self.playout.resume(answer, chunk, from_ms),
                Output::ClearPlayback => self.clear(now),
                Output::HangUp { reason } => self.hang_up(reason, now),
                Output::AnsweredByMachine => self.ledger.books().answered_by_machine = true,
                Output::Fault { message } => {
                    self.ledger.books().fault.get_or_insert(message);
                }
                Output::Log(entry) => self.log(entry, now),
                Output::Metric(Metric::Turn { turn: number, .. }) => {
                    turn = Some(number.0);
                    note = true;
                }
                Output::Metric(metric) => {
                    match metric {
                        Metric::LeadGrew { ms } => {
                            tracing::info!(
                                lead_ms = ms,
                                "the link wavers: the lead of this call grew"
                            );
                            self.playout.set_lead(ms);
                        }
                        Metric::EagerConfirmed { answer } => {
                            self.ledger.books().latency.confirmed(answer, now);
                        }
                        _ => {}
                    }
                    event(name(&metric));
                }
            }
        }
        if note {
            self.note();
        }
    }

    fn say(&mut self, line: Say, route: bool, now: Instant) {
        self.ledger.books().latency.said(line.answer, route, now);
        self.mouth.say(line, now, &mut self.state.facts);
    }

    fn play(&mut self, answer: AnswerId, chunk: u32, turn: Option<u32>, now: Instant) {
        let Some(held) = self.mouth.take(answer, chunk, now) else {
            tracing::error!(
                answer = answer.0,
                chunk,
                "a chunk to be played is not there"
            );
            return;
        };
        self.ledger.books().latency.played(answer, turn, now);
        self.playout
            .play(answer, chunk, held.piece, held.last, held.audio);
    }

    fn clear(&mut self, now: Instant) {
        self.playout.clear(now);
        self.tape.cleared(now);
        self.state.commands.clear();
        self.state.commands.push(MediaCommand::Clear);
        self.send(now);
        metrics::histogram!(figures::CLEAR_MS).record(now.elapsed().as_secs_f64() * 1000.0);
    }

    /// The record says whom to dial before the socket closes: the carrier asks then (wire-telephony.md §1.6).
    fn start_transfer(
        &mut self,
        tool: &str,
        arguments: Map<String, Value>,
        ring_s: u64,
        offer: Option<Offer>,
    ) {
        let handover = self.toolbox.transfer(tool, arguments);
        self.state.controlled = matches!(handover, Handover::Controller);
        match handover {
            Handover::Carrier(to) => self.desk.transfer(Leg { to, ring_s, offer }),
            Handover::Controller => {}
            Handover::Impossible(why) => {
                let outcome = TransferOutcome::Failed { why };
                let fact = Input::TransferChanged { outcome };
                self.state.facts.push_back(fact);
            }
        }
    }

    /// The record first, then the carrier, then the socket (wire-telephony.md §6.2).
    pub(crate) fn hang_up(&mut self, reason: EndReason, now: Instant) {
        if self.state.hanging.is_some() {
            return; // under way; the desk tells when it is done
        }
        self.state.hanging = Some(now);
        {
            let mut books = self.ledger.books();
            books.ended(self.machine.end().unwrap_or(End::Ours(reason)));
            books.transcript = self.machine.transcript();
        }
        self.keep_figures();
        self.desk.hang_up();
    }

    /// What was heard so far goes to the record, so that a crash keeps it.
    pub(crate) fn note(&mut self) {
        let transcript = self.machine.transcript();
        if transcript != self.state.noted {
            self.ledger.books().transcript.clone_from(&transcript);
            self.state.noted.clone_from(&transcript);
            self.desk.note(transcript);
        }
        self.keep_figures();
    }

    /// Tokens of the model that answers go to the ledger.
    pub(crate) fn pay(&self, tokens: impl IntoIterator<Item = TokenUse>) {
        let (vendor, model) = self.mind.who();
        let mut books = self.ledger.books();
        for tokens in tokens {
            books.used(vendor, model, tokens);
        }
    }

    /// Figures that live in the call's parts go to the ledger.
    pub(crate) fn keep_figures(&mut self) {
        let mut books = self.ledger.books();
        let (names, usage) = (&self.names, &mut books.usage);
        let spoken = (self.mouth.characters().iter()).map(|(place, count)| (*place, *count as f64));
        // What was used before the node took over was the agent's own vendor's, as far as is known; what was
        // rendered ahead was.
        let before = names.characters_before + self.ahead.characters();
        let of_own = [(0, before as f64)].into_iter();
        usage.synthesizers = shares(&names.speaking, of_own.chain(spoken));
        usage.synthesizer_characters = before + self.mouth.characters().values().sum::<u64>();
        let before = [(0, names.seconds_before)].into_iter();
        usage.transcribers = shares(&names.hearing, before.chain(self.ears.seconds()));
        usage.transcriber_duration = usage.transcribers.values().map(|part| part.amount).sum();
        books.latency.transcriber_connect = self.ears.connect();
        books.latency.synthesizer_connect = self.mouth.connect();
    }

    /// Adds what the machine doesn't know: who answered (R189, R190).
    fn log(&mut self, mut entry: Entry, now: Instant) {
        let (hearing, speaking) = (self.names.hearing.now(), self.names.speaking.now());
        if entry.provider.is_empty() {
            entry.provider = match entry.component {
                Component::Llm | Component::Routing => self.mind.model().to_owned(),
                Component::Transcriber => hearing.vendor.to_owned(),
                Component::Synthesizer => speaking.vendor.to_owned(),
                Component::System | Component::Tool => String::new(),
            };
        }
        let metadata = &mut entry.metadata;
        match (entry.component, entry.kind) {
            (Component::Transcriber, _) => {
                metadata
                    .entry("model")
                    .or_insert_with(|| hearing.model.into());
            }
            (Component::Synthesizer, EntryKind::Request | EntryKind::Response) => {
                metadata
                    .entry("model")
                    .or_insert_with(|| speaking.model.into());
                metadata
                    .entry("voice")
                    .or_insert_with(|| speaking.voice.into());
                if entry.kind == EntryKind::Request {
                    let cached = self.mouth.cached(&entry.data);
                    metadata.entry("cached").or_insert(cached.into());
                }
            }
            _ => {}
        }
        if entry.component == Component::Llm && entry.kind == EntryKind::Response {
            entry.reasoning_content = entry
                .reasoning_content
                .or_else(|| self.state.thought.take());
        }
        if let Err(error) = self.journal.entry(entry) {
            self.log_failed(&error, now);
        }
    }

    /// What a reasoning model thought goes to the next answer's log entry.
    pub(crate) fn thought(&mut self, _: AnswerId, text: String) {
        self.state.thought = Some(text);
    }

    /// A call that can't be written down must end (R13): once.
    pub(crate) fn log_failed(&mut self, error: &Unwritten, now: Instant) {
        if let Unwritten::TakenOver = error {
            return self.taken_over();
        }
        if !std::mem::replace(&mut self.state.log_broken, true) {
            tracing::error!(%error, "the call's log can't be written: hanging up");
            self.hang_up(EndReason::InternalError, now);
        }
    }
}

/// What each member of a line did.
fn shares(crew: &Crew, done: impl Iterator<Item = (usize, f64)>) -> BTreeMap<String, SpeechTotal> {
    let mut shares: BTreeMap<String, SpeechTotal> = BTreeMap::new();
    for (place, amount) in done.filter(|(_, amount)| *amount > 0.0) {
        if let Some(member) = crew.members.get(place) {
            shares.entry(member.text()).or_default().amount += amount;
        }
    }
    shares
}

fn name(metric: &Metric) -> &'static str {
    match metric {
        Metric::UserInterruptedAgent => "user_interrupted_agent",
        Metric::AgentInterruptedUser => "agent_interrupted_user",
        Metric::FalseInterruption => "false_interruption",
        Metric::MarkMissing => "mark_missing",
        Metric::TtsUnderrun => "tts_underrun",
        Metric::UntranscribedSpeech => "untranscribed_speech",
        Metric::Stale => "stale",
        Metric::EagerConfirmed { .. } => "eager_confirmed",
        Metric::EagerDropped => "eager_dropped",
        Metric::MediaFrozen => "media_frozen",
        Metric::LeadGrew { .. } => "lead_grew",
        Metric::Turn { .. } => "turn",
    }
}

fn event(name: &'static str) {
    metrics::counter!(figures::CALL_EVENTS, "event" => name).increment(1);
}
