//! The machine itself: its state, the way of an input through it, and its deadlines.

use bolo_execution::EndReason;

use crate::guess::Guess;
use crate::history::History;
use crate::playout::Playout;
use crate::state::{
    Echo, Faults, Judge, LastTurn, Media, Pause, Pending, Phase, Quiet, Voice, Welcome,
};
use crate::timers::{Timer, Timers};
use crate::tools::Tools;
use crate::turn::Turn;
use crate::utterance::Utterance;
use crate::voicemail::Voicemail;
use crate::words::Vocabulary;
use crate::{At, End, Input, Output, Script, Stats};

/// One call. Built from a [`Script`], driven by [`Conversation::handle`].
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    pub(crate) script: Script,
    pub(crate) words: Vocabulary,
    pub(crate) now: At,
    pub(crate) out: Vec<Output>,
    pub(crate) timers: Timers,
    pub(crate) phase: Phase,
    pub(crate) end: Option<End>,
    pub(crate) media: Media,
    pub(crate) welcome: Welcome,
    pub(crate) last_answer: u32,
    pub(crate) last_turn_id: u32,
    /// Utterances that are not over, in the order they are to be heard.
    pub(crate) live: Vec<Utterance>,
    pub(crate) playout: Playout,
    /// The driver was told to stop feeding, and of no end of that yet.
    is_feeding_paused: bool,
    pub(crate) history: History,
    pub(crate) turn: Turn,
    /// The turn being heard began before the welcome's end and is dropped (R19).
    pub(crate) discarding: bool,
    pub(crate) pending: Option<Pending>,
    /// Never beside a pending turn (R41).
    pub(crate) guess: Option<Guess>,
    pub(crate) last_turn: Option<LastTurn>,
    pub(crate) voice: Voice,
    pub(crate) pause: Pause,
    /// No sound before this (R54).
    pub(crate) backoff_until: At,
    pub(crate) quiet: Quiet,
    pub(crate) judge: Judge,
    pub(crate) voicemail: Voicemail,
    pub(crate) faults: Faults,
    pub(crate) echo: Echo,
    /// Keys that were not submitted yet (R162).
    pub(crate) keys: String,
    /// What was typed and waits for the welcome's end, or that of tools.
    pub(crate) kept_typed: Option<String>,
    /// The caller has cut the agent off and was not answered since (R64).
    pub(crate) recovering: bool,
    pub(crate) progress_at: At,
    /// The voice's rate, ms a character, once known.
    pub(crate) rate: u64,
    pub(crate) stats: Stats,
    pub(crate) any_agent_audio: bool,
    pub(crate) tools: Tools,
}

/// Deadlines, and steps that follow from one another, within one input. A call needs a handful; more is
/// a fault of ours, which must not take the driver's thread with it.
const STEPS: u32 = 2000;

impl Conversation {
    /// A call that has not begun; the first input is [`Input::MediaStart`].
    pub fn new(script: Script) -> Self {
        let rules = &script.rules;
        Self {
            words: Vocabulary::of(&rules.phrases, &script.language),
            playout: Playout::new(rules.link_ms, rules.lead_ms, rules.mark_timeout_ms),
            is_feeding_paused: false,
            script,
            now: At(0),
            out: Vec::new(),
            timers: Timers::default(),
            phase: Phase::Waiting,
            end: None,
            media: Media::default(),
            welcome: Welcome::Pending,
            last_answer: 0,
            last_turn_id: 0,
            live: Vec::new(),
            history: History::default(),
            turn: Turn::default(),
            discarding: false,
            pending: None,
            guess: None,
            last_turn: None,
            voice: Voice::default(),
            pause: Pause::default(),
            backoff_until: At(0),
            quiet: Quiet::default(),
            judge: Judge::default(),
            voicemail: Voicemail::default(),
            faults: Faults::default(),
            echo: Echo::default(),
            keys: String::new(),
            kept_typed: None,
            recovering: false,
            progress_at: At(0),
            rate: crate::utterance::MS_PER_CHAR,
            stats: Stats::default(),
            any_agent_audio: false,
            tools: Tools::default(),
        }
    }

    /// The call as it stood after these inputs (R13, R202). What it decided then is not repeated; the
    /// next input, [`Input::MediaResumed`], asks again for what was under way.
    pub fn replayed(script: Script, inputs: impl IntoIterator<Item = (At, Input)>) -> Self {
        let mut call = Self::new(script);
        for (at, input) in inputs {
            call.handle(at, input);
        }
        call
    }

    /// Fires every deadline due at `at`, then applies `input`. Never fails, never waits. `at` never
    /// goes back: an earlier one counts as the last one seen.
    pub fn handle(&mut self, at: At, input: Input) -> Vec<Output> {
        let at = at.max(self.now);
        match input {
            Input::MediaResumed => self.skip_lost_time(at),
            Input::MediaLost => self.lost_again(at),
            _ => {}
        }
        let mut steps = 0;
        while let Some((due, timer)) = self.timers.pop_due(at) {
            steps += 1;
            if steps > STEPS {
                self.give_up();
                break;
            }
            self.now = self.now.max(due);
            self.fire(timer);
            self.settle();
        }
        self.now = at;
        self.apply(input);
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// When `handle` must be called at the latest, news or not.
    pub fn deadline(&self) -> Option<At> {
        self.timers.next()
    }

    /// Whether the media is lost and has not come back.
    pub fn has_lost_media(&self) -> bool {
        self.media.lost_at.is_some()
    }

    /// Whether the call is over: nothing will be decided any more.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// How the call ended or is ending; `None` while nothing is decided.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The transcript so far, R182: a line a turn, `assistant: ` or `user: ` before it, heard text only.
    pub fn transcript(&self) -> String {
        self.history.transcript(|answer| self.heard_text(answer))
    }

    /// Whether the caller said anything that became a turn.
    pub fn spoke(&self) -> bool {
        self.stats.user_turns > 0
    }

    /// Whether any audio of the agent was given to the carrier.
    pub fn any_agent_audio(&self) -> bool {
        self.any_agent_audio
    }

    /// Counts for the record (R64).
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What the call follows.
    pub fn script(&self) -> &Script {
        &self.script
    }

    pub(crate) fn emit(&mut self, output: Output) {
        match output {
            Output::PausePlayback => self.is_feeding_paused = true,
            Output::ResumePlayback { .. } | Output::ClearPlayback => self.is_feeding_paused = false,
            // What was paused is over meanwhile: it was heard, or dropped. What comes now is to be fed all the same.
            Output::Play { .. } if self.is_feeding_paused => self.emit(Output::ClearPlayback),
            _ => {}
        }
        self.out.push(output);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    pub(crate) fn is_talking(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Closing(_))
    }

    pub(crate) fn apply(&mut self, input: Input) {
        match (&self.phase, &input) {
            (Phase::Over, _) | (_, Input::Tick) => return,
            (Phase::Waiting, Input::MediaStart { .. } | Input::MediaStop | Input::MediaLost)
            | (Phase::Waiting, Input::StopRequested | Input::NodeStopping) => {}
            (Phase::Waiting, _) => return,
            (Phase::HungUp { .. }, Input::MediaStop | Input::MediaLost) => return self.finish(),
            (Phase::HungUp { .. }, _) => return,
            (
                Phase::Draining,
                Input::Interim { .. } | Input::Final { .. } | Input::TurnEnd { .. },
            ) => {}
            (Phase::Draining, _) => return,
            (Phase::Live | Phase::Closing(_), _) => {}
        }
        if self.keep_back(&input) {
            return;
        }
        match input {
            Input::MediaStart {
                marks, web, seed, ..
            } => self.media_start(marks, web, seed),
            Input::MediaStop => self.remote_end(),
            Input::MediaLost => self.media_lost(),
            Input::MediaResumed => self.media_resumed(),
            Input::MediaFrozen { ms } => self.media_frozen(ms),
            Input::Vad { speech: true } => self.voice_began(),
            Input::Vad { speech: false } => self.voice_ended(),
            Input::SpeechStarted => self.speech_started(),
            Input::SpeechEnded => self.speech_ended(),
            Input::Interim { text } => self.interim(text.trim()),
            Input::Final { text } => self.segment(text.trim()),
            Input::TurnEnd { text, why } => self.turn_end(text.trim(), why),
            Input::Eager { text, confidence } => self.eager(text.trim(), confidence),
            Input::Resumed => self.resumed(),
            Input::TranscriberDown { fault } => self.transcriber_down(&fault),
            Input::TranscriberUp => self.transcriber_up(),
            Input::TranscriberLost { fault } => self.transcriber_lost(&fault),
            Input::Token { answer, text } => self.token(answer, &text),
            Input::Thinking { answer } => self.thinking(answer),
            Input::ToolNamed { answer, name } => self.tool_named(answer, &name),
            Input::ToolCalls { answer, calls } => self.tool_calls(answer, calls),
            Input::ToolReturned { run, outcome } => self.tool_returned(run, outcome),
            Input::TransferChanged { outcome } => self.transfer_changed(outcome),
            Input::AnswerDone {
                answer,
                finish,
                usage,
            } => self.answer_done(answer, finish, usage),
            Input::AnswerFailed { answer, fault } => self.answer_failed(answer, &fault),
            Input::Audio {
                answer,
                piece,
                chunk,
                ms,
                words,
            } => self.audio(answer, piece, chunk, ms, words),
            Input::PieceDone { answer, piece } => self.piece_done(answer, piece),
            Input::SpeechDone { answer } => self.speech_done(answer),
            Input::SpeechFailed { answer, fault } => self.speech_failed(answer, &fault),
            Input::Mark { name } => self.mark(&name),
            Input::Routed { turn, hit, scores } => self.routed(turn, hit, scores),
            Input::Judged { id, yes } => self.judged(id, yes),
            Input::AnsweredBy { is_machine } => self.answered_by(is_machine),
            Input::Event { name, properties } => self.happened(&name, properties),
            Input::Dtmf { digit } => self.key(digit),
            Input::Typed { text } => self.words_typed(text.trim()),
            Input::StopRequested => self.stop_now(EndReason::ApiStopped),
            Input::NodeStopping => self.node_stopping(),
            Input::Tick => {}
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            // These only say when to look again; `settle` does what is due.
            Timer::UtteranceEnd | Timer::Route | Timer::Hold | Timer::FillerCut => {}
            Timer::Underrun => self.underrun(),
            Timer::WelcomeDelay => self.say_welcome(),
            Timer::OverlapEnd => self.overlap_over(),
            Timer::SttStall => self.forced_turn_end(),
            Timer::PauseOnVoice => self.pause_agent(),
            Timer::Resume => self.resume_agent(false),
            Timer::PauseMax => self.resume_agent(true),
            Timer::AskDue => self.ask(),
            Timer::FirstPiece => self.first_piece_due(),
            Timer::AskLimit => self.ask_too_slow(),
            Timer::AskRetry => self.ask(),
            Timer::Filler => self.dead_air(),
            Timer::ToolResult => self.result_lost("no answer in time"),
            Timer::ToolTurn => self.take_up_words(),
            Timer::Transfer => self.transfer_failed("nobody answered in time"),
            Timer::Judge => self.judge.running = false,
            Timer::Voicemail => self.voicemail_due(),
            Timer::Untranscribed => self.untranscribed(),
            Timer::DeafVoice => self.deaf_voice(),
            Timer::Keypad => self.submit_keys(),
            Timer::MarkMissing => self.marks_missing(),
            Timer::OnlineCheck => self.check_online(),
            Timer::Silence => self.silence_over(),
            Timer::Goodbye => self.goodbye_overdue(),
            Timer::CallCap => self.cap_reached(),
            Timer::CapGrace => self.cap_grace_over(),
            Timer::HangUpAgain => self.hang_up_again(),
            Timer::Detached => self.detached_too_long(),
            Timer::LastFinal => self.drained(),
            Timer::Stall => self.stalled(),
        }
    }

    /// What follows from the new state: utterances that are over, an end that may go on, chunks that
    /// may be played; then the deadlines that hang on the state alone.
    fn settle(&mut self) {
        self.drop_vain_guess();
        let mut steps = 0;
        while steps < STEPS
            && self.is_talking()
            && (self.end_utterances() || self.advance_end() || self.advance_tools() || self.pump())
        {
            steps += 1;
        }
        if steps == STEPS {
            self.give_up();
        }
        if self.is_talking() {
            self.rearm();
        }
    }

    /// The machine turns in circles: better no call than a thread that never returns.
    fn give_up(&mut self) {
        self.emit(Output::Fault {
            message: "bolo: the call does not settle".to_owned(),
        });
        self.hang_up(EndReason::InternalError);
    }

    fn rearm(&mut self) {
        let (now, live) = (self.now, &self.live);
        self.playout.prune(now, |answer| {
            live.iter().any(|utterance| utterance.id == answer)
        });
        for (timer, at) in [
            (Timer::UtteranceEnd, self.next_utterance_end()),
            (Timer::Underrun, self.next_underrun()),
            (Timer::Hold, self.next_hold()),
            (Timer::FillerCut, self.next_filler_cut()),
            (Timer::MarkMissing, self.playout.next_missing()),
            (Timer::SttStall, self.next_turn_stall()),
            (Timer::AskLimit, self.next_ask_limit()),
            (Timer::Filler, self.next_filler()),
            (Timer::ToolResult, self.next_lost_result()),
            (Timer::OnlineCheck, self.next_online_check()),
            (Timer::Silence, self.next_silence()),
            (Timer::Goodbye, self.next_goodbye_limit()),
            (Timer::Voicemail, self.next_voicemail()),
            (Timer::Stall, self.next_stall()),
        ] {
            self.timers.put(timer, at);
        }
    }

    /// Work moved on (R154).
    pub(crate) fn moved(&mut self) {
        self.progress_at = self.now;
    }

    /// A choice that the call's seed makes: one of `choices`, never the same twice in a row (R97).
    pub(crate) fn draw(&mut self, choices: usize) -> usize {
        if choices <= 1 {
            return 0;
        }
        self.media.draws += 1;
        let mut mixed = self
            .media
            .seed
            .wrapping_add(self.media.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mut index = ((mixed ^ (mixed >> 31)) % choices as u64) as usize;
        if self.media.last_draw == Some(index) {
            index = (index + 1) % choices;
        }
        self.media.last_draw = Some(index);
        index
    }
}
