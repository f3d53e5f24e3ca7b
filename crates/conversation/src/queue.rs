//! The playout queue: what of the agent's audio may be heard now, and what has to make room for it
//! (R37, R40, R54, R57, R77, R96).

use crate::history::Said;
use crate::speak::is_bridge;
use crate::state::Phase;
use crate::utterance::Utterance;
use crate::{At, Conversation, Kind, Metric, Output};

/// A filler makes room for an answer within this time (R77).
const FILLER_ROOM_MS: u64 = 700;

impl Conversation {
    /// Plays what may be played now. Says whether something changed.
    pub(crate) fn pump(&mut self) -> bool {
        if self.stands_still() {
            return false;
        }
        let mut changed = self.make_room();
        for index in 0..self.live.len() {
            if !self.live[index].is_played()
                && self.held_until(index).is_some_and(|until| until > self.now)
            {
                break;
            }
            let is_first = !self.live[index].is_played();
            while let Some(chunk) = self.live[index].take_ready() {
                let answer = self.live[index].id;
                if is_first && self.live[index].played_at.is_none() {
                    self.first_play(index);
                }
                self.playout.play(self.now, answer, chunk.number, chunk.ms);
                self.emit(Output::Play {
                    answer,
                    chunk: chunk.number,
                });
                self.any_agent_audio = true;
                changed = true;
            }
            let utterance = &mut self.live[index];
            if !utterance.is_made {
                break;
            }
            if !utterance.is_closed {
                utterance.is_closed = true;
                let answer = utterance.id;
                if utterance.is_played() {
                    self.playout.close(answer);
                    self.emit(Output::PlayEnd { answer });
                }
                changed = true;
            }
        }
        changed
    }

    /// When an utterance that has not begun may begin; `None` = at once.
    fn held_until(&self, index: usize) -> Option<At> {
        let utterance = self.live.get(index)?;
        let mut until = self.filler_cut_at();
        if matches!(utterance.kind, Kind::Answer | Kind::Route | Kind::PreCall) {
            until = until.max(Some(self.backoff_until));
            if let Some(pending) = self
                .pending
                .as_ref()
                .filter(|pending| utterance.turn == Some(pending.turn))
            {
                until = until.max(Some(pending.hold_until)).max(pending.gate_until);
                until = until.max(self.route_due());
            }
        }
        until
    }

    /// When the first utterance that waits with audio may be heard (R37, R40, R54).
    pub(crate) fn next_hold(&self) -> Option<At> {
        let index = self
            .live
            .iter()
            .position(|utterance| !utterance.is_played() && utterance.has_ready())?;
        let earlier_made = self.live[..index].iter().all(|utterance| utterance.is_made);
        self.held_until(index)
            .filter(|until| earlier_made && *until > self.now)
    }

    /// A filler or the online check that sounds while an answer is ready: when it is cut (R77).
    pub(crate) fn filler_cut_at(&self) -> Option<At> {
        let index = self.live.iter().position(is_bridge)?;
        let bridge = &self.live[index];
        let answer = self.live[index + 1..]
            .iter()
            .find(|utterance| !is_bridge(utterance))?;
        let ready_at = answer
            .first_audio_at
            .filter(|_| answer.has_ready() && !answer.is_played())?;
        if !bridge.is_played() {
            return None;
        }
        let from = ready_at.max(self.answer_allowed_at(answer));
        let limit = from.plus(FILLER_ROOM_MS);
        match self.playout.end_of(bridge.id).filter(|_| bridge.is_closed) {
            Some(end) if end <= limit => None,
            _ => {
                let word_end = bridge.to_word_end(&self.playout.heard(bridge.id, from));
                Some(word_end.map_or(limit, |ms| from.plus(ms)).min(limit))
            }
        }
    }

    /// The same as a deadline: while the queue stands still it can't be met.
    pub(crate) fn next_filler_cut(&self) -> Option<At> {
        self.filler_cut_at().filter(|_| !self.stands_still())
    }

    /// Nothing is fed to the carrier: the socket is gone, or the agent waits (R49, R199).
    fn stands_still(&self) -> bool {
        self.media.lost_at.is_some() || self.playout.is_paused()
    }

    fn answer_allowed_at(&self, answer: &Utterance) -> At {
        let pending = self
            .pending
            .as_ref()
            .filter(|pending| answer.turn == Some(pending.turn));
        pending.map_or(At(0), |pending| {
            pending
                .hold_until
                .max(pending.gate_until.unwrap_or_default())
        })
    }

    /// Takes bridges out of the way of an answer that is ready (R77).
    fn make_room(&mut self) -> bool {
        let Some(index) = self.live.iter().position(is_bridge) else {
            return false;
        };
        let waits = self.live[index + 1..]
            .iter()
            .any(|u| !is_bridge(u) && u.has_ready() && !u.is_played());
        if !waits {
            return false;
        }
        let bridge = &self.live[index];
        let is_due = self.filler_cut_at().is_some_and(|at| at <= self.now);
        if bridge.is_played() && !is_due {
            return false;
        }
        let bridge = self.live.remove(index);
        if bridge.is_played() {
            self.emit(Output::ClearPlayback);
            let heard = bridge
                .heard(&self.playout.heard(bridge.id, self.now), self.rate)
                .to_owned();
            self.history.fix(bridge.id, &heard);
            self.playout.clear();
        }
        self.emit(Output::CancelSay { answer: bridge.id });
        true
    }

    /// The first chunk of an utterance goes out (R17, R57).
    fn first_play(&mut self, index: usize) {
        let utterance = &mut self.live[index];
        utterance.played_at = Some(self.now);
        let (id, kind, turn) = (utterance.id, utterance.kind, utterance.turn);
        if kind != Kind::Filler && !self.history.has(id) {
            let said = Said::Agent {
                answer: id,
                kind,
                text: None,
                calls: Vec::new(),
            };
            match kind {
                Kind::PreCall => self.remember_line(said),
                _ => self.remember(said),
            }
        }
        if let Phase::Closing(closing) = &mut self.phase
            && closing.goodbye == Some(id)
        {
            closing.started = true;
        }
        let is_answer = matches!(kind, Kind::Answer | Kind::PreCall);
        if is_answer && turn == self.pending.as_ref().map(|pending| pending.turn) {
            self.route_missed();
        }
        if !matches!(kind, Kind::Answer | Kind::Route) {
            return;
        }
        self.wait_is_over();
        self.faults.in_a_row = 0;
        self.faults.stalls = 0;
        if std::mem::take(&mut self.recovering) {
            self.stats.barge_in_recovery_count += 1;
        }
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| turn == Some(pending.turn) && !pending.is_played)
        {
            self.measure_turn(index);
            if let Some(pending) = &mut self.pending {
                pending.is_played = true;
            }
        }
    }

    /// R96.
    fn measure_turn(&mut self, index: usize) {
        let (Some(pending), Some(utterance)) = (&self.pending, self.live.get(index)) else {
            return;
        };
        let from_end = |at: Option<At>| at.map(|at| at.since(pending.ended_at));
        let metric = Metric::Turn {
            turn: pending.turn,
            stt_final_ms: pending.ended_at.since(pending.spoken_at),
            route_ms: pending.route_ms,
            llm_first_token_ms: from_end(utterance.first_token_at),
            llm_total_ms: from_end(utterance.done_at),
            tts_first_audio_ms: utterance
                .first_audio_at
                .zip(utterance.said_at)
                .map(|(heard, said)| heard.since(said)),
            hold_ms: utterance
                .first_audio_at
                .map_or(0, |ready| self.now.since(ready)),
            turn_to_play_ms: self.now.since(pending.ended_at),
            routed: utterance.kind == Kind::Route,
        };
        self.emit(Output::Metric(metric));
    }
}
