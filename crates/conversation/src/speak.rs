//! The agent's voice: lines, chunks, the playout queue and the end of utterances (R18, R70-R77).

use std::collections::BTreeMap;

use bolo_execution::{Component, Entry, EntryKind};

use crate::clean::Cleaner;
use crate::history::Said;
use crate::playout::Marked;
use crate::state::{Phase, Speaking, Welcome};
use crate::timers::Timer;
use crate::utterance::{Asking, Utterance};
use crate::{AnswerId, At, Clip, Conversation, Kind, Metric, Output, TurnId, Word};

/// Without audio for this long in the middle of an answer the agent is not audible any more (R76).
const UNDERRUN_MS: u64 = 300;
/// The welcome counts as played this long after its estimated end (R18).
const WELCOME_SLACK_MS: u64 = 500;

impl Conversation {
    pub(crate) fn next_answer_id(&mut self) -> AnswerId {
        self.last_answer += 1;
        AnswerId(self.last_answer)
    }

    pub(crate) fn new_utterance(
        &self,
        id: AnswerId,
        kind: Kind,
        turn: Option<TurnId>,
    ) -> Utterance {
        let mut utterance = Utterance::new(id, kind, turn, self.now);
        utterance.cleaner = Cleaner::new(self.script.normalize_numbers);
        utterance
    }

    /// Says a known line, unless it is empty. Lines that bridge a wait are heard before the answer that is waited for.
    pub(crate) fn say_clip(&mut self, kind: Kind, clip: Clip, text: &str) -> Option<AnswerId> {
        if text.trim().is_empty() {
            return None;
        }
        let id = self.next_answer_id();
        let line = Utterance::line(id, kind, clip, text, self.now);
        let unheard = self
            .live
            .iter()
            .position(|utterance| !utterance.is_played());
        match unheard {
            Some(index) if matches!(kind, Kind::PreCall | Kind::Filler) => {
                self.live.insert(index, line);
            }
            _ => self.live.push(line),
        }
        self.moved();
        self.log_say(id, text, kind_name(kind));
        self.emit(Output::SayClip {
            answer: id,
            clip,
            text: text.to_owned(),
        });
        Some(id)
    }

    pub(crate) fn utterance(&mut self, answer: AnswerId) -> Option<&mut Utterance> {
        self.live
            .iter_mut()
            .find(|utterance| utterance.id == answer)
    }

    /// R87: news of an utterance that is over.
    pub(crate) fn stale(&mut self) {
        self.emit(Output::Metric(Metric::Stale));
    }

    pub(crate) fn audio(
        &mut self,
        answer: AnswerId,
        piece: u32,
        chunk: u32,
        ms: u64,
        words: Vec<Word>,
    ) {
        let now = self.now;
        let Some(utterance) = self.utterance(answer) else {
            return self.stale();
        };
        if !utterance.add_chunk(chunk, piece, ms, words) {
            return self.stale();
        }
        let is_first = utterance.first_audio_at.is_none();
        utterance.first_audio_at.get_or_insert(now);
        let waited = utterance.said_at.map_or(0, |said| now.since(said));
        self.moved();
        if is_first {
            self.log_sound(answer, waited);
        }
    }

    pub(crate) fn piece_done(&mut self, answer: AnswerId, piece: u32) {
        let Some(utterance) = self.utterance(answer) else {
            return self.stale();
        };
        utterance.finish_piece(piece);
        self.moved();
    }

    pub(crate) fn speech_done(&mut self, answer: AnswerId) {
        let Some(utterance) = self.utterance(answer) else {
            return self.stale();
        };
        if utterance.is_made || !utterance.is_said {
            return self.stale();
        }
        if !utterance.has_audio() {
            return self.no_sound(answer);
        }
        utterance.finish_speech();
        let rate = utterance.rate();
        self.rate = rate.unwrap_or(self.rate);
        self.moved();
    }

    pub(crate) fn mark(&mut self, name: &str) {
        let known = name.split_once(':').and_then(|(answer, chunk)| {
            let answer = AnswerId(answer.parse().ok()?);
            if chunk == "end" {
                Some((answer, None))
            } else {
                Some((answer, Some(chunk.parse().ok()?)))
            }
        });
        let Some((answer, chunk)) = known else { return };
        if let Marked::Heard { grown_lead } = self.playout.mark(self.now, answer, chunk) {
            self.moved();
            if let Some(ms) = grown_lead {
                self.emit(Output::Metric(Metric::LeadGrew { ms }));
            }
        }
    }

    pub(crate) fn marks_missing(&mut self) {
        for _ in 0..self.playout.take_missing(self.now) {
            self.emit(Output::Metric(Metric::MarkMissing));
        }
    }

    /// Whether the agent is heard now (R67, R76).
    pub(crate) fn speaking(&self) -> Speaking {
        if self.playout.is_paused()
            && let Some(place) = self.playout.paused_at()
            && self
                .live
                .iter()
                .any(|utterance| utterance.id == place.answer)
        {
            return Speaking::Audible(place.answer);
        }
        if let Some(answer) = self.playout.sounding(self.now)
            && self.live.iter().any(|utterance| utterance.id == answer)
        {
            return Speaking::Audible(answer);
        }
        for utterance in self.live.iter().filter(|utterance| utterance.is_played()) {
            match (
                self.playout.start_of(utterance.id),
                self.playout.end_of(utterance.id),
            ) {
                (Some(start), Some(end)) if start <= self.now && !utterance.is_closed => {
                    return if self.now < end.plus(UNDERRUN_MS) {
                        Speaking::Audible(utterance.id)
                    } else {
                        Speaking::Gap(utterance.id)
                    };
                }
                _ => {}
            }
        }
        Speaking::No
    }

    /// Text of a live utterance that was heard by now.
    pub(crate) fn heard_text(&self, answer: AnswerId) -> String {
        self.heard_text_at(answer, self.now)
    }

    pub(crate) fn heard_text_at(&self, answer: AnswerId, at: At) -> String {
        let Some(utterance) = self.live.iter().find(|utterance| utterance.id == answer) else {
            return String::new();
        };
        let rate = utterance.rate().unwrap_or(self.rate);
        utterance
            .heard(&self.playout.heard(answer, at), rate)
            .to_owned()
    }

    /// Counts what was heard of an utterance that is over (R64).
    pub(crate) fn count_speech(&mut self, answer: AnswerId, at: At) {
        let ms: u64 = self.playout.heard(answer, at).values().sum();
        self.stats.agent_speaking_ms += ms;
        self.stats.longest_monologue_ms = self.stats.longest_monologue_ms.max(ms);
    }

    /// Adds an entry to the history, within bounds (R204).
    pub(crate) fn remember(&mut self, said: Said) {
        if self.history.push(said) {
            let entry = Entry::new(Component::System, EntryKind::Event, "", "history_full");
            self.log(entry);
        }
    }

    // ---- the end of utterances ----

    /// How long after its estimated end an utterance waits for its end mark.
    fn slack(&self, utterance: &Utterance) -> u64 {
        let is_goodbye =
            matches!(&self.phase, Phase::Closing(closing) if closing.goodbye == Some(utterance.id));
        match utterance.kind {
            _ if !self.playout.has_marks() => 0,
            Kind::Welcome => WELCOME_SLACK_MS,
            _ if is_goodbye => self.script.rules.goodbye_grace_s * 1000,
            _ => 0,
        }
    }

    fn ends_at(&self, utterance: &Utterance) -> Option<At> {
        if !utterance.is_closed || self.playout.holds_back(utterance.id) {
            return None;
        }
        let end = self.playout.end_of(utterance.id).unwrap_or(self.now);
        let slack = if self.playout.is_acked(utterance.id) {
            0
        } else {
            self.slack(utterance)
        };
        Some(end.plus(slack))
    }

    pub(crate) fn next_utterance_end(&self) -> Option<At> {
        self.live
            .iter()
            .filter_map(|utterance| self.ends_at(utterance))
            .min()
    }

    /// Ends utterances that were heard to their end (R75). Says whether there were any.
    pub(crate) fn end_utterances(&mut self) -> bool {
        let over = self
            .live
            .iter()
            .position(|u| self.ends_at(u).is_some_and(|end| end <= self.now));
        let Some(index) = over else { return false };
        let id = self.live[index].id;
        let heard = self.heard_text(id);
        let end = self.playout.end_of(id).unwrap_or(self.now).min(self.now);
        self.count_speech(id, self.now);
        let utterance = self.live.remove(index);
        // Whatever was written was heard; text without sound at its end goes with it.
        let is_whole = utterance.is_said
            && heard.len() >= utterance.raw()[..utterance.said_until()].trim().len();
        let text = if is_whole {
            utterance.raw().trim()
        } else {
            heard.as_str()
        };
        self.history.fix(id, text);
        self.echo.text = text.to_owned();
        self.echo.ended_at = end;
        self.utterance_over(&utterance, text, end);
        true
    }

    fn utterance_over(&mut self, utterance: &Utterance, text: &str, end: At) {
        if utterance.played_at.is_some() && !is_bridge(utterance) {
            self.quiet.since = self.quiet.since.max(end);
            self.quiet.asked = false;
        }
        self.wait_goes_on(end);
        match utterance.kind {
            Kind::Welcome => {
                self.log_event("welcome_played", &[]);
                self.welcome_over();
            }
            // Its calls are not over: neither is the turn.
            Kind::Answer if self.tools.is_open() => {}
            Kind::Answer | Kind::Route => {
                if self.answers_turn(utterance) {
                    self.pending = None;
                }
                self.take_up_overlap(text.trim_end().ends_with(['?', '？']));
                self.end_after_verdict();
            }
            Kind::PreCall => {
                if self.answers_turn(utterance) {
                    self.pending = None;
                }
                self.take_up_overlap(false);
            }
            Kind::OnlineCheck => {
                self.quiet.asked_until = Some(end);
                self.take_up_overlap(true);
            }
            Kind::Recovery => self.take_up_overlap(true),
            Kind::Filler => {
                if let Some(pending) = &mut self.pending {
                    pending.line_ended_at = Some(end);
                }
            }
            Kind::Goodbye => {}
        }
    }

    pub(crate) fn next_underrun(&self) -> Option<At> {
        let open = self
            .live
            .iter()
            .find(|utterance| utterance.is_played() && !utterance.is_closed)?;
        let end = self.playout.end_of(open.id)?.plus(UNDERRUN_MS);
        (end > self.now).then_some(end)
    }

    pub(crate) fn underrun(&mut self) {
        self.emit(Output::Metric(Metric::TtsUnderrun));
    }

    /// Drops an utterance; what was played of it stays to be heard. The queue goes on behind it.
    pub(crate) fn drop_utterance(&mut self, answer: AnswerId) {
        let Some(index) = self
            .live
            .iter()
            .position(|utterance| utterance.id == answer)
        else {
            return;
        };
        let utterance = &mut self.live[index];
        let is_asking = std::mem::replace(&mut utterance.asking, Asking::Over) == Asking::Running;
        let is_played = utterance.is_played();
        let has_said = utterance.has_said();
        utterance.cut_speech();
        if is_asking {
            self.emit(Output::CancelAsk { answer });
        }
        if has_said {
            self.emit(Output::CancelSay { answer });
        }
        if !is_played {
            self.live.remove(index);
            self.history.fix(answer, "");
        }
    }

    /// Drops all utterances at once: what was heard of them is kept (R10, R55).
    pub(crate) fn drop_all_work(&mut self) {
        self.drop_guess();
        let heard: BTreeMap<AnswerId, String> = self
            .live
            .iter()
            .map(|utterance| (utterance.id, self.heard_text(utterance.id)))
            .collect();
        for utterance in std::mem::take(&mut self.live) {
            if utterance.asking == Asking::Running {
                self.emit(Output::CancelAsk {
                    answer: utterance.id,
                });
            }
            if !utterance.is_made {
                self.emit(Output::CancelSay {
                    answer: utterance.id,
                });
            }
            self.count_speech(utterance.id, self.now);
            self.history.fix(
                utterance.id,
                heard
                    .get(&utterance.id)
                    .map(String::as_str)
                    .unwrap_or_default(),
            );
        }
        self.playout.clear();
        self.pending = None;
        self.drop_calls();
    }

    /// The utterance that is being spoken or waits to be, for the kinds that end a welcome.
    pub(crate) fn is_welcome_over(&self) -> bool {
        self.welcome == Welcome::Done
    }

    /// Stops the timers of an answer that is not wanted any more.
    pub(crate) fn stop_answer_timers(&mut self) {
        for timer in [
            Timer::AskDue,
            Timer::AskRetry,
            Timer::FirstPiece,
            Timer::Route,
            Timer::Hold,
            Timer::FillerCut,
        ] {
            self.timers.stop(timer);
        }
    }
}

/// Speech that only bridges a wait: gives way to an answer, moves no clock.
pub(crate) fn is_bridge(utterance: &Utterance) -> bool {
    matches!(utterance.kind, Kind::Filler | Kind::OnlineCheck)
}

pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Welcome => "welcome",
        Kind::Answer => "answer",
        Kind::Route => "route",
        Kind::PreCall => "pre_call",
        Kind::Filler => "filler",
        Kind::OnlineCheck => "online_check",
        Kind::Recovery => "recovery",
        Kind::Goodbye => "goodbye",
    }
}
