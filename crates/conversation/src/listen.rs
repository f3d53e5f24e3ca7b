//! What the caller does: voice, words, the end of his words (R18-R31, R35, R40, R52).

use crate::state::{LastTurn, Phase, Speaking, Welcome};
use crate::timers::Timer;
use crate::words::{after, normal};
use crate::{At, Clip, Conversation, Kind, Metric, Output, TurnEndWhy};

/// Voice without text for this long is a turn that nobody could make out (R35).
const UNTRANSCRIBED_MS: u64 = 2000;
/// A transcriber that is there again has so long to tell what it missed, ms.
pub(crate) const REPLAY_MS: u64 = 800;
/// A transcriber that is told to end a turn may take this long (wire-providers.md §1.1).
const FINALIZE_MS: u64 = 300;
/// Voice shorter than this is no sign of the caller (R150).
const SIGN_MS: u64 = 300;

impl Conversation {
    pub(crate) fn voice_began(&mut self) {
        if self.voice.is_on {
            return;
        }
        self.voice.is_on = true;
        self.voice.since = self.now;
        self.voice.has_text = false;
        self.voice.is_told = false;
        self.timers
            .set(Timer::Untranscribed, self.now.plus(UNTRANSCRIBED_MS));
        if self.faults.transcriber_down {
            self.timers.set(
                Timer::DeafVoice,
                self.now.plus(self.script.rules.deaf_voice_ms),
            );
        }
        if self.may_pause() {
            self.timers.set(
                Timer::PauseOnVoice,
                self.now.plus(self.script.rules.pause_ms),
            );
        }
        self.raise_gate();
        self.arm_resume();
    }

    pub(crate) fn voice_ended(&mut self) {
        if !self.voice.is_on {
            return;
        }
        let lasted = self.now.since(self.voice.since);
        self.voice.is_on = false;
        self.voice.since = self.now;
        self.stats.user_speaking_ms += lasted;
        self.voice.lasted_ms = lasted;
        self.timers.stop(Timer::PauseOnVoice);
        if self.faults.transcriber_down && lasted >= SIGN_MS && !self.voice.is_told {
            self.expect_words();
        } else {
            self.timers.stop(Timer::DeafVoice);
        }
        if lasted >= SIGN_MS {
            self.sign_of_life();
        } else if !self.voice.has_text {
            self.timers.stop(Timer::Untranscribed);
        }
        self.lower_gate();
        self.arm_resume();
    }

    pub(crate) fn speech_started(&mut self) {
        self.raise_gate();
    }

    pub(crate) fn speech_ended(&mut self) {
        self.discarding = false;
        if !self.voice.is_on {
            self.lower_gate();
        }
    }

    /// R40: a voice before the answer's first sound holds that back, but not for long.
    fn raise_gate(&mut self) {
        let until = self.now.plus(self.script.rules.gate_release_ms);
        if let Some(pending) = self.pending.as_mut().filter(|pending| !pending.is_played) {
            pending.gate_until.get_or_insert(until);
        }
    }

    fn lower_gate(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.gate_until = None;
        }
    }

    /// The caller is there (R149, R150).
    pub(crate) fn sign_of_life(&mut self) {
        self.quiet.since = self.now;
        self.quiet.asked_until = None;
    }

    fn sign_of_words(&mut self) {
        self.sign_of_life();
        self.quiet.asked = false;
        self.voice.has_text = true;
        self.voice.untranscribed = 0;
        self.faults.deaf = 0;
        self.timers.stop(Timer::Untranscribed);
        self.timers.stop(Timer::DeafVoice);
    }

    /// R35.
    pub(crate) fn untranscribed(&mut self) {
        self.emit(Output::Metric(Metric::UntranscribedSpeech));
        if self.now.since(self.voice.untranscribed_since) > 15_000 || self.voice.untranscribed == 0
        {
            self.voice.untranscribed = 0;
            self.voice.untranscribed_since = self.now;
        }
        self.voice.untranscribed += 1;
        let is_idle = self.is_live()
            && self.is_welcome_over()
            && self.pending.is_none()
            && self.live.is_empty();
        if self.voice.untranscribed >= 3 && !self.voice.told && is_idle {
            self.voice.told = true;
            let line = self.script.lines().not_heard;
            self.say_clip(Kind::Recovery, Clip::Recovery, &line);
        }
    }

    pub(crate) fn interim(&mut self, text: &str) {
        if text.is_empty() || self.is_echo(text) {
            return;
        }
        self.sign_of_words();
        self.look_for_voicemail(text, false);
        if self.discarding || self.is_being_answered(text) {
            return;
        }
        let text = self.without_committed(text);
        if self.turn.interim(self.now, &text) {
            self.new_words();
        }
    }

    pub(crate) fn segment(&mut self, text: &str) {
        if self.phase == Phase::Draining {
            self.turn.settle(self.now, text);
            return self.drained();
        }
        if text.is_empty() || self.is_echo(text) {
            return;
        }
        self.sign_of_words();
        self.look_for_voicemail(text, true);
        if self.discarding || self.is_being_answered(text) {
            return;
        }
        let text = self.without_committed(text);
        if text.is_empty() {
            return;
        }
        if self.turn.settle(self.now, &text) {
            self.new_words();
        }
        if self.is_spoken_over() {
            self.log_heard(&text, true);
        }
    }

    pub(crate) fn turn_end(&mut self, text: &str, why: TurnEndWhy) {
        if self.phase == Phase::Draining {
            self.turn.settle(self.now, text);
            return self.drained();
        }
        if self.is_echo(text) {
            return;
        }
        if !text.is_empty() {
            self.sign_of_words();
        }
        self.look_for_voicemail(text, true);
        if std::mem::take(&mut self.discarding) {
            self.turn = Default::default();
            return;
        }
        if !self.turn.has_fresh() && self.is_late_or_double(text) {
            return;
        }
        let text = self.without_committed(text);
        let spoken_at = self.spoken_at();
        if !text.is_empty() && self.turn.settle(self.now, &text) {
            self.new_words();
        }
        if !self.turn.has_fresh() && self.turn.id.is_none() {
            return self.speech_ended();
        }
        self.end_turn(why, spoken_at);
    }

    /// R29: the transcriber never ended the turn. It is told to, then not waited for any more.
    pub(crate) fn forced_turn_end(&mut self) {
        if std::mem::take(&mut self.discarding) {
            self.turn = Default::default();
            return;
        }
        if !std::mem::replace(&mut self.turn.is_overdue, true) {
            return self.emit(Output::EndTurn);
        }
        self.resumed();
        let spoken_at = self.spoken_at();
        self.end_turn(TurnEndWhy::Forced, spoken_at);
    }

    /// When the caller stopped speaking, as far as is known (R96).
    fn spoken_at(&self) -> At {
        let words = self.turn.last_text_at.unwrap_or(self.now);
        let silence = (!self.voice.is_on)
            .then_some(self.voice.since)
            .filter(|since| *since > At(0));
        silence
            .map_or(words, |silence| words.max(silence))
            .min(self.now)
    }

    /// R29: when an open turn without news is ended.
    pub(crate) fn next_turn_stall(&self) -> Option<At> {
        let rules = &self.script.rules;
        let stall = if self.voice.is_on {
            rules.stt_stall_speaking_ms
        } else {
            rules.stt_stall_ms
        };
        // A transcriber that judges pauses is not overruled while it may still be waiting.
        let stall = stall.max(self.script.transcriber_pause_ms);
        if self.discarding {
            return Some(
                self.quiet
                    .since
                    .max(self.voice.since)
                    .plus(stall)
                    .max(self.now),
            );
        }
        if self.faults.transcriber_down
            || self.turn.ended
            || !self.turn.has_fresh() && self.turn.id.is_none()
        {
            return None;
        }
        let told_ms = match self.turn.is_overdue {
            true => FINALIZE_MS,
            false => 0,
        };
        let words = self.turn.last_text_at.or(self.turn.started_at)?;
        let replay_ms = REPLAY_MS.max(self.script.transcriber_pause_ms);
        let replayed = self.turn.replayed_at.map(|at| at.plus(replay_ms));
        let waits = |since: At| {
            since
                .plus(stall)
                .max(replayed.unwrap_or_default())
                .plus(told_ms)
        };
        Some(if self.voice.is_on {
            waits(words).max(self.now)
        } else {
            // On a tie the transcriber's own word counts.
            waits(words.max(self.voice.since)).plus(1)
        })
    }

    /// R30: an interim that repeats what is being answered is no new speech.
    fn is_being_answered(&self, text: &str) -> bool {
        let Some(last) = &self.last_turn else {
            return false;
        };
        self.pending.is_some()
            && !self.turn.has_fresh()
            && [&last.text, &last.unsettled]
                .iter()
                .any(|known| normal(known) == normal(text))
    }

    /// A text that begins with the turn just committed is that turn's, still being heard: only what is
    /// new in it counts (R31).
    fn without_committed(&self, text: &str) -> String {
        let Some(last) = self
            .last_turn
            .as_ref()
            .filter(|_| self.pending.is_some() || self.turn.id.is_some())
        else {
            return text.to_owned();
        };
        for known in [&last.text, &last.unsettled] {
            let known = normal(known);
            let words = known.split(' ').filter(|word| !word.is_empty()).count();
            match after(&normal(text), &known) {
                Some(rest) if words > 1 && !rest.is_empty() => {
                    return skip_words(text, words).to_owned();
                }
                _ => {}
            }
        }
        text.to_owned()
    }

    /// R30, R31: the end of a turn that was committed already. It may carry more text than was known:
    /// then that text is the turn's, and a new answer is made as long as the old one was not heard.
    fn is_late_or_double(&mut self, text: &str) -> bool {
        let Some(LastTurn {
            turn,
            text: known,
            unsettled,
        }) = self.last_turn.clone()
        else {
            return false;
        };
        let said = normal(text);
        if said.is_empty() {
            return false;
        }
        let is_tail = !unsettled.is_empty();
        if said == normal(&known) || is_tail && said == normal(&unsettled) {
            return !self.history.agent_spoke_after(turn) || is_tail;
        }
        let is_heard = self.speaking() != Speaking::No;
        let pending = self
            .pending
            .as_ref()
            .filter(|pending| pending.turn == turn && !pending.is_fixed());
        if !is_heard || pending.is_none_or(|pending| !pending.is_played) {
            return false;
        }
        let settled = known
            .strip_suffix(unsettled.as_str())
            .filter(|_| is_tail)
            .unwrap_or_default();
        let whole = if after(&said, &normal(&known)).is_some() {
            text.to_owned()
        } else if is_tail && after(&said, &normal(&unsettled)).is_some() {
            format!("{settled}{text}")
        } else {
            return false;
        };
        self.history.correct_turn(turn, &whole);
        self.log_heard(&whole, false);
        self.last_turn = Some(LastTurn {
            turn,
            text: whole,
            unsettled: String::new(),
        });
        true
    }

    /// The open turn was ended by the transcriber, or has to be.
    fn end_turn(&mut self, why: TurnEndWhy, spoken_at: At) {
        if !self.is_live() || self.is_transferring() {
            let text = std::mem::take(&mut self.turn).fresh();
            if !text.is_empty() {
                self.log_heard(&text, true);
            }
            return;
        }
        if self.welcome != Welcome::Done {
            self.turn.ended = true;
            return;
        }
        if self.is_spoken_over() {
            if !self.turn.ended {
                self.turn.ended = true;
                let text = self.turn.fresh();
                if why != TurnEndWhy::Forced {
                    self.log_heard(&text, true);
                }
            }
            return;
        }
        if self.pending.is_some() && self.words.is_backchannel(&self.turn.fresh()) {
            let text = self.turn.fresh();
            self.turn = Default::default();
            return self.log_heard(&text, true);
        }
        if self.is_turn_awaited() {
            return self.take_up_words();
        }
        if self.tools.is_open() {
            self.turn.ended = true; // R59
            return;
        }
        self.commit(spoken_at);
    }

    /// The agent is being heard and these words did not stop it (R52).
    fn is_spoken_over(&self) -> bool {
        self.is_live() && self.is_welcome_over() && self.speaking() != Speaking::No
    }

    /// New words of the caller: they may take back an end, cut the agent, or withdraw an answer.
    fn new_words(&mut self) {
        let fresh = self.turn.fresh();
        if matches!(self.phase, Phase::Closing(_)) && !self.take_back_end(&fresh) {
            return;
        }
        if !self.is_live() || !self.is_welcome_over() || self.is_transferring() {
            return;
        }
        let is_backchannel = self.words.is_backchannel(&fresh);
        match self.speaking() {
            Speaking::Audible(answer) => self.words_over(answer, &fresh),
            Speaking::Gap(_) if is_backchannel => {}
            Speaking::Gap(_) => self.interrupt(),
            Speaking::No => match &mut self.pending {
                Some(pending) if is_backchannel => {
                    pending.hold_until = pending.hold_until.max(self.now).plus(300);
                }
                Some(_) if self.tools.is_open() => {}
                Some(_) => self.withdraw(),
                None if is_backchannel => {}
                None => self.drop_unheard_lines(),
            },
        }
        if !is_backchannel {
            self.judge.end_after = false;
            self.judge.running = false;
        }
    }

    /// R23: the line gives the agent's own words back.
    fn is_echo(&self, text: &str) -> bool {
        let words = normal(text);
        if words.is_empty() || !self.is_talking() {
            return false;
        }
        if let Welcome::Speaking(id) = self.welcome
            && self
                .live
                .iter()
                .any(|utterance| utterance.id == id && utterance.is_played())
        {
            return after(&normal(&self.script.welcome), &words).is_some();
        }
        if !words.contains(' ') {
            return false;
        }
        let echo_ms = self.script.rules.echo_ms;
        let earlier = At(self.now.0.saturating_sub(echo_ms));
        let sounding = self
            .live
            .iter()
            .filter(|utterance| utterance.is_played())
            .any(|utterance| {
                let heard = normal(&self.heard_text(utterance.id));
                let before = normal(&self.heard_text_at(utterance.id, earlier));
                returns(&heard, before.len(), &words)
            });
        let ended = || {
            let all = normal(&self.echo.text);
            let tail = all
                .char_indices()
                .rev()
                .nth(40)
                .map_or(0, |(index, _)| index);
            self.now.since(self.echo.ended_at) <= echo_ms && returns(&all, tail, &words)
        };
        sounding || ended()
    }
}

/// Whether `words` stand in `heard`, ending behind `from`.
fn returns(heard: &str, from: usize, words: &str) -> bool {
    heard.match_indices(words).any(|(at, _)| {
        let end = at + words.len();
        let begins = at == 0 || heard[..at].ends_with(' ');
        let ends = end == heard.len() || heard[end..].starts_with(' ');
        begins && ends && end > from
    })
}

/// `text` behind its first `count` words.
fn skip_words(text: &str, count: usize) -> &str {
    let mut left = count;
    let mut rest = text;
    while left > 0 {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        left = left.saturating_sub(
            normal(&rest[..end])
                .split(' ')
                .filter(|word| !word.is_empty())
                .count(),
        );
        if end == 0 {
            break;
        }
        rest = &rest[end..];
    }
    rest.trim()
}
