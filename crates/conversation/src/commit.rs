//! A turn of the caller becomes a message and is answered (R19, R32, R36, R37, R42, R53, R97, R120-R122).

use bolo_execution::{Component, Entry, EntryKind};

use crate::history::Said;
use crate::state::{LastTurn, Pending};
use crate::timers::Timer;
use crate::turn::Turn;
use crate::utterance::{Asking, Utterance};
use crate::words::words_in;
use crate::{At, Clip, Conversation, Kind, Output, TurnId};

/// Words that make a turn of what was said during the welcome (R19).
const WELCOME_WORDS: u32 = 3;
/// Between two lines of a wait, ms.
const BETWEEN_LINES_MS: u64 = 1500;
/// A voice without an end is taken for noise after this, ms.
const VOICE_MS: u64 = 3000;
/// The caller may go on after a pause as short as this, ms.
const PAUSE_MS: u64 = 500;

impl Conversation {
    /// The open turn is over: it enters the history and is answered.
    pub(crate) fn commit(&mut self, spoken_at: At) {
        self.commit_turn(spoken_at, true);
    }

    /// The same for words that go with results of tools, which no route knows (R120).
    pub(crate) fn commit_unrouted(&mut self, spoken_at: At) {
        self.commit_turn(spoken_at, false);
    }

    fn commit_turn(&mut self, spoken_at: At, may_route: bool) {
        if self.pending.is_some() {
            self.withdraw_silently();
        }
        let turn = std::mem::take(&mut self.turn);
        let text = turn.text();
        if text.is_empty() || !self.is_live() {
            return;
        }
        let guess = self.take_guess(&text);
        self.timers.stop(Timer::OverlapEnd);
        let is_first =
            self.stats.user_turns == 0 || self.stats.user_turns == 1 && turn.id.is_some();
        let last_text = turn.last_text_at.unwrap_or(self.now);
        let started_at = turn.started_at.unwrap_or(self.now);
        let is_long = self.now.since(started_at) > self.script.rules.spec_max_s * 1000;
        let asks = turn.asks;
        let id = self.note(turn.id, &text, turn.tail());
        let hold_until = if is_first {
            self.now
        } else {
            last_text.plus(self.script.hold_ms)
        };
        self.pending = Some(Pending {
            turn: id,
            text: text.clone(),
            started_at,
            ended_at: self.now,
            spoken_at,
            typed: false,
            acted: false,
            asks,
            retries: 0,
            empties: 0,
            is_bare: false,
            routing: false,
            route_ms: None,
            hold_until,
            gate_until: self
                .voice
                .is_on
                .then(|| self.now.plus(self.script.rules.gate_release_ms)),
            filled_ms: 0,
            line_ended_at: None,
            is_played: false,
        });
        if may_route && !self.script.routes.is_empty() {
            self.ask_route(id, text);
        }
        if let Some(guess) = guess {
            return self.confirm(guess, id);
        }
        let may_ask = self.script.speculate && !is_long && asks < self.script.rules.max_asks;
        if may_ask || hold_until <= self.now {
            self.ask();
        } else {
            self.timers.set(Timer::AskDue, hold_until);
        }
    }

    /// A turn that was typed: answered at once, never routed, never taken up again (R162, R120).
    pub(crate) fn commit_typed(&mut self, text: &str) {
        let id = self.note(None, text, "");
        self.pending = Some(Pending {
            turn: id,
            text: text.to_owned(),
            started_at: self.now,
            ended_at: self.now,
            spoken_at: self.now,
            typed: true,
            acted: false,
            asks: 0,
            retries: 0,
            empties: 0,
            is_bare: false,
            routing: false,
            route_ms: None,
            hold_until: self.now,
            gate_until: None,
            filled_ms: 0,
            line_ended_at: None,
            is_played: false,
        });
        self.ask();
    }

    /// Notes a turn that nobody will answer.
    pub(crate) fn note_turn(&mut self, text: &str) {
        let id = self.turn.id;
        self.note(id, text, "");
        self.turn = Turn::default();
    }

    fn note(&mut self, id: Option<TurnId>, text: &str, unsettled: &str) -> TurnId {
        let id = id.unwrap_or_else(|| {
            self.last_turn_id += 1;
            self.stats.user_turns += 1;
            TurnId(self.last_turn_id)
        });
        self.log_heard(text, false);
        self.remember(Said::User {
            turn: id,
            text: text.to_owned(),
        });
        self.last_turn = Some(LastTurn {
            turn: id,
            text: text.to_owned(),
            unsettled: unsettled.to_owned(),
        });
        self.moved();
        id
    }

    /// The welcome is over: what was said meanwhile becomes a turn, or nothing (R19).
    pub(crate) fn welcome_over(&mut self) {
        self.welcome = crate::state::Welcome::Done;
        let goes_on = self.turn.is_running() || self.voice.is_on;
        self.turn.ended = false;
        if self.script.discard_pre_welcome {
            self.discarding = goes_on;
            self.turn = Turn::default();
        } else if self.turn.has_fresh() && !goes_on {
            if words_in(&self.turn.fresh()) >= WELCOME_WORDS.max(self.script.words_to_interrupt) {
                let spoken_at = self.turn.last_text_at.unwrap_or(self.now);
                self.commit(spoken_at);
            } else {
                self.turn = Turn::default();
            }
        }
        if let Some(text) = self.kept_typed.take() {
            self.typed(&text);
        }
    }

    /// An utterance came to its end while the caller had said a word or two over it: that is his turn,
    /// if it answers a question or is more than a nod (R53).
    pub(crate) fn take_up_overlap(&mut self, was_question: bool) {
        // While tools run the words wait for their results (R59), and for the end of a welcome (R19).
        let must_wait = self.tools.is_open() || !self.is_welcome_over();
        if !self.turn.has_fresh() || !self.is_live() || must_wait {
            return;
        }
        self.timers.stop(Timer::OverlapEnd);
        let last = self.turn.last_text_at.unwrap_or_default();
        let is_recent = self.now.since(last) <= self.script.rules.overlap_ms;
        let counts = was_question || !self.words.is_backchannel(&self.turn.fresh());
        if !is_recent || !counts {
            self.turn = Turn::default();
        } else if self.turn.ended || !self.turn.is_running() && !self.voice.is_on {
            self.commit(last);
        }
    }

    /// Words over the agent that came to nothing are forgotten (R45).
    pub(crate) fn overlap_over(&mut self) {
        if self.turn.id.is_none() && !matches!(self.speaking(), crate::state::Speaking::No) {
            self.turn = Turn::default();
        }
    }

    // ---- routes ----

    fn ask_route(&mut self, turn: TurnId, text: String) {
        if let Some(pending) = &mut self.pending {
            pending.routing = true;
        }
        if let Some(due) = self.route_due() {
            self.timers.set(Timer::Route, due);
        }
        let entry = Entry::new(
            Component::Routing,
            EntryKind::Request,
            "semantic_route",
            text.clone(),
        );
        self.log(entry.leg(format!("turn-{}", turn.0)));
        self.emit(Output::AskRoute { turn, text });
    }

    /// Until when what the model answers waits for the routes; `None` = they are not awaited (R122).
    pub(crate) fn route_due(&self) -> Option<At> {
        let pending = self.pending.as_ref().filter(|pending| pending.routing)?;
        Some(pending.ended_at.plus(self.script.rules.route_budget_ms))
    }

    /// The decision on a turn (R121). After the model's answer has begun, or of another turn: not taken.
    pub(crate) fn routed(
        &mut self,
        turn: TurnId,
        hit: Option<(u32, u32)>,
        scores: Option<(f32, f32)>,
    ) {
        let Some(pending) = self
            .pending
            .as_mut()
            .filter(|pending| pending.turn == turn && pending.routing)
        else {
            return self.stale();
        };
        pending.routing = false;
        pending.route_ms = Some(self.now.since(pending.ended_at));
        self.timers.stop(Timer::Route);
        let route = hit.and_then(|(route, utterance)| {
            let route = self.script.routes.get(route as usize)?;
            Some((route.name.clone(), route.response(utterance).to_owned()))
                .filter(|(_, text)| !text.trim().is_empty())
        });
        let name = route.as_ref().map_or("none", |(name, _)| name.as_str());
        let mut entry = Entry::new(
            Component::Routing,
            EntryKind::Response,
            "semantic_route",
            name,
        );
        if let Some((raw, scaled)) = scores {
            entry = entry
                .with("score", f64::from(scaled))
                .with("raw_score", f64::from(raw));
        }
        self.log(entry.leg(format!("turn-{}", turn.0)));
        if let Some((name, text)) = route {
            self.answer_by_route(turn, &name, &text);
        }
    }

    fn answer_by_route(&mut self, turn: TurnId, name: &str, text: &str) {
        self.cut_tools();
        let asked = self
            .live
            .iter()
            .filter(|utterance| utterance.turn == Some(turn))
            .map(|utterance| utterance.id);
        for answer in asked.collect::<Vec<_>>() {
            self.drop_utterance(answer);
        }
        self.stop_answer_timers();
        if let Some(id) = self.say_clip(Kind::Route, Clip::Route, text)
            && let Some(utterance) = self.utterance(id)
        {
            utterance.turn = Some(turn);
            let entry = Entry::new(Component::Llm, EntryKind::Response, "semantic_route", text);
            self.log(
                entry
                    .leg(crate::journal::leg(id))
                    .with("cached", true)
                    .with("route", name),
            );
            self.ask_judge(id);
        }
    }

    /// The model answers before the routes have decided: a miss (R122).
    pub(crate) fn route_missed(&mut self) {
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.routing) {
            pending.routing = false;
            let turn = pending.turn;
            let entry = Entry::new(
                Component::Routing,
                EntryKind::Response,
                "semantic_route",
                "none",
            );
            self.log(entry.leg(format!("turn-{}", turn.0)).with("late", true));
        }
    }

    // ---- dead air ----

    /// R97: when the wait for an answer gets a line. Not into the caller's words, unless they go on and on
    /// and so are none; not behind a line that is still being said.
    pub(crate) fn next_filler(&self) -> Option<At> {
        if self.tools.wait.is_some() {
            return self.next_tool_line();
        }
        let pending = self
            .pending
            .as_ref()
            .filter(|pending| !pending.is_played && self.is_live())?;
        let sounds = |utterance: &Utterance| {
            utterance.asking == Asking::Never
                || utterance.turn == Some(pending.turn) && utterance.has_audio()
        };
        if self.live.iter().any(sounds) {
            return None;
        }
        let (after_ms, is_short) = self.filler_stage()?;
        let due = self.wait_from(pending, is_short).plus(after_ms);
        let line = pending.line_ended_at.map(|at| at.plus(BETWEEN_LINES_MS));
        let voice_ms = if self.voice.is_on { VOICE_MS } else { PAUSE_MS };
        let voice = self.voice.since.plus(voice_ms);
        Some(due.max(line.unwrap_or_default()).max(voice).max(self.now))
    }

    /// What a wait counts from: a short line may be said once the turn is known to be over, the others are
    /// due by what the caller hears: nothing since his own last sound.
    fn wait_from(&self, pending: &Pending, is_short: bool) -> At {
        if is_short {
            pending.ended_at
        } else {
            pending.spoken_at
        }
    }

    /// The next line of the wait: how long after the turn's end, and whether it is a short one. A fault
    /// brings the first one forward where no filler does (R192).
    fn filler_stage(&self) -> Option<(u64, bool)> {
        let pending = self.pending.as_ref()?;
        let rules = &self.script.rules;
        let stages = [
            (rules.filler_first_ms, true, self.script.use_fillers),
            (
                rules.fault_line_ms,
                false,
                pending.retries > 0 && !self.script.use_fillers,
            ),
            (rules.filler_sure_ms, false, true),
            (rules.filler_repeat_ms, false, true),
        ];
        let next = stages
            .into_iter()
            .find(|(after_ms, _, is_wanted)| *is_wanted && *after_ms > pending.filled_ms)?;
        Some((next.0, next.1))
    }

    pub(crate) fn dead_air(&mut self) {
        if self.tools.wait.is_some() {
            return self.tool_line();
        }
        let Some((after_ms, is_short)) = self.filler_stage() else {
            return;
        };
        let from = (self.pending.as_ref()).map(|pending| self.wait_from(pending, is_short));
        let waited = from.map_or(0, |from| self.now.since(from));
        if let Some(pending) = &mut self.pending {
            pending.filled_ms = after_ms.max(waited);
        }
        let lines = self.script.lines();
        let (clip, texts) = if is_short {
            (Clip::Filler, lines.fillers)
        } else {
            (Clip::OneMoment, lines.one_moment)
        };
        let index = self.draw(texts.len());
        if let Some(text) = texts.get(index) {
            self.say_clip(Kind::Filler, clip, text);
        }
    }
}
