//! The media socket: its start, its loss and its return (R3, R10, R199, R200, R202).

use crate::clean::Cleaner;
use crate::state::{End, Phase, Welcome};
use crate::timers::Timer;
use crate::utterance::{Asking, Utterance};
use crate::{AnswerId, At, Clip, Conversation, Kind, Metric, Output};

impl Conversation {
    pub(crate) fn media_start(&mut self, marks: bool, web: bool, seed: u64) {
        if self.phase != Phase::Waiting {
            return;
        }
        self.phase = Phase::Live;
        self.media.web = web;
        self.media.seed = seed;
        let lead = if web {
            self.script.rules.web_lead_ms
        } else {
            self.script.rules.lead_ms
        };
        self.playout.begin(marks, lead);
        self.emit(Output::Answered);
        self.log_event("call_started", &[]);
        self.timers
            .set(Timer::CallCap, self.now.plus(self.script.call_cap_ms));
        self.quiet.since = self.now;
        self.moved();
        if self.script.welcome.is_empty() {
            self.welcome = Welcome::Done;
        } else if self.script.welcome_delay_ms == 0 {
            self.say_welcome();
        } else {
            self.timers.set(
                Timer::WelcomeDelay,
                self.now.plus(self.script.welcome_delay_ms),
            );
        }
    }

    pub(crate) fn say_welcome(&mut self) {
        if self.is_live() && self.welcome == Welcome::Pending {
            let text = self.script.welcome.clone();
            self.welcome = match self.say_clip(Kind::Welcome, Clip::Welcome, &text) {
                Some(id) => Welcome::Speaking(id),
                None => Welcome::Done,
            };
        }
    }

    /// The far end is gone (R10).
    pub(crate) fn remote_end(&mut self) {
        let closing = self.closing_reason();
        self.end
            .get_or_insert(closing.map_or(End::Remote, End::Ours));
        self.drop_all_work();
        self.timers.clear();
        let quiet = !self.voice.is_on && self.now.since(self.voice.since) > 2000;
        if self.phase == Phase::Waiting || closing.is_some() || quiet && self.turn.is_empty() {
            return self.finish();
        }
        self.phase = Phase::Draining;
        self.timers.set(Timer::LastFinal, self.now.plus(2000));
    }

    /// No final came any more.
    pub(crate) fn drained(&mut self) {
        let text = self.turn.text();
        if !text.is_empty() {
            self.note_turn(&text);
        }
        self.finish();
    }

    /// Nothing will be decided any more.
    pub(crate) fn finish(&mut self) {
        self.drop_all_work();
        self.timers.clear();
        self.log_event("call_ended", &[]);
        self.phase = Phase::Over;
    }

    pub(crate) fn media_lost(&mut self) {
        if self.phase == Phase::Waiting {
            self.end.get_or_insert(End::Lost);
            return self.finish();
        }
        if let Some(reason) = self.closing_reason() {
            return self.hang_up(reason);
        }
        if self.media.lost_at.is_some() {
            return;
        }
        self.media.lost_at = Some(self.now);
        self.log_event("media_lost", &[]);
        self.end_false_alarm();
        if self.playout.freeze(self.now) {
            self.emit(Output::PausePlayback);
        }
        if self.is_away() {
            return; // a transfer has its own limit
        }
        self.timers.set(
            Timer::Detached,
            self.now.plus(self.script.rules.media_reattach_s * 1000),
        );
    }

    pub(crate) fn detached_too_long(&mut self) {
        self.end.get_or_insert(End::Lost);
        self.drop_all_work();
        self.finish();
    }

    pub(crate) fn media_frozen(&mut self, ms: u64) {
        if ms >= self.script.rules.media_frozen_s * 1000 {
            self.media_lost();
        } else {
            self.emit(Output::Metric(Metric::MediaFrozen));
        }
    }

    /// Before its deadlines are looked at: a socket that comes back although none was lost means that
    /// this machine was rebuilt (R202). The time in between did not happen, but for the cap.
    pub(crate) fn skip_lost_time(&mut self, at: At) {
        if self.is_talking() && self.media.lost_at.is_none() {
            let gap = at.since(self.now);
            self.media.lost_at = Some(self.now);
            self.playout.freeze(self.now);
            self.timers.postpone(gap, Timer::CallCap);
            // Longer than any short loss: audio that lay with the old driver is gone.
            self.media.audio_gone = true;
        }
    }

    /// Likewise before its deadlines: what is lost and is lost again was rebuilt (R202) after the loss, and the
    /// audio that waited to be played on is gone with the old driver.
    pub(crate) fn lost_again(&mut self, at: At) {
        if self.is_talking() && self.media.lost_at.is_some() {
            self.timers.postpone(at.since(self.now), Timer::CallCap);
            self.media.audio_gone = true;
        }
    }

    pub(crate) fn media_resumed(&mut self) {
        let Some(lost_at) = self.media.lost_at.take() else {
            return;
        };
        self.timers.stop(Timer::Detached);
        if let Some(reason) = self.closing_reason() {
            return self.hang_up(reason);
        }
        let gone = std::mem::take(&mut self.media.audio_gone);
        self.log_event("media_resumed", &[("ms", self.now.since(lost_at).into())]);
        self.quiet.since = self.now;
        self.quiet.asked = false;
        self.voice.is_on = false;
        self.voice.since = self.now;
        self.moved();
        if gone {
            // Sent by a node that is no more; not sent again (R202).
            self.result_lost("the connection was lost; it is not known whether it was done");
        }
        let came_back = self.caller_came_back();
        if came_back || !gone && self.now.since(lost_at) <= self.script.rules.fault_line_ms {
            self.unpause();
        } else {
            self.begin_again(lost_at);
        }
    }

    /// The line was gone for long, or with it all audio: say so, then go on from the heard point and
    /// ask again for what was under way.
    fn begin_again(&mut self, lost_at: At) {
        let heard: Vec<(AnswerId, String)> = self
            .live
            .iter()
            .map(|utterance| (utterance.id, self.heard_text(utterance.id)))
            .collect();
        self.drop_guess();
        let cut = std::mem::take(&mut self.live);
        self.emit(Output::ClearPlayback);
        let mut ask_again = false;
        let mut rests: Vec<(Utterance, String)> = Vec::new();
        for utterance in cut {
            self.emit(Output::CancelSay {
                answer: utterance.id,
            });
            let is_asking = utterance.asking == Asking::Running;
            if is_asking {
                self.emit(Output::CancelAsk {
                    answer: utterance.id,
                });
            }
            let heard = heard
                .iter()
                .find(|(id, _)| *id == utterance.id)
                .map(|(_, text)| text.as_str());
            let heard = heard.unwrap_or_default();
            self.count_speech(utterance.id, lost_at);
            self.history.fix(utterance.id, heard);
            let rest = rest_of(&utterance, heard);
            match utterance.kind {
                Kind::Answer | Kind::Route | Kind::Welcome if !rest.is_empty() => {
                    rests.push((utterance, rest))
                }
                Kind::Answer if is_asking => ask_again = true,
                _ => {}
            }
        }
        self.playout.clear();
        let line = self.script.lines().line_back;
        if self.welcome == Welcome::Done || self.any_agent_audio {
            self.say_clip(Kind::Recovery, Clip::Recovery, &line);
        }
        for (utterance, rest) in rests {
            self.say_rest(&utterance, &rest);
        }
        match self.welcome {
            Welcome::Speaking(_)
                if !self
                    .live
                    .iter()
                    .any(|utterance| utterance.kind == Kind::Welcome) =>
            {
                self.welcome_over();
            }
            _ => {}
        }
        if ask_again && !self.tools.is_open() {
            // The wait begins anew.
            if let Some(pending) = &mut self.pending {
                pending.ended_at = self.now;
                pending.spoken_at = self.now;
                pending.filled_ms = 0;
            }
            self.ask();
        } else if self.pending.as_ref().is_some_and(|pending| pending.routing) {
            self.route_missed();
        }
    }

    fn say_rest(&mut self, cut: &Utterance, rest: &str) {
        if cut.kind == Kind::Welcome {
            if let Some(id) = self.say_clip(Kind::Welcome, Clip::Welcome, rest) {
                self.welcome = Welcome::Speaking(id);
            }
            return;
        }
        let mut cleaner = Cleaner::new(self.script.normalize_numbers);
        let text = cleaner.clean(rest);
        if text.is_empty() {
            return;
        }
        let id = self.next_answer_id();
        let mut utterance = self.new_utterance(id, cut.kind, cut.turn);
        utterance.write(rest);
        utterance.push_piece(rest.len(), text.clone());
        utterance.is_said = true;
        utterance.said_at = Some(self.now);
        let kind = utterance.kind;
        self.live.push(utterance);
        self.log_say(id, &text, "answer");
        self.emit(Output::Say {
            answer: id,
            piece: 0,
            text,
            last: true,
            kind,
        });
    }
}

/// What of an utterance's text was not heard, to its last whole sentence if it was still being made.
fn rest_of(utterance: &Utterance, heard: &str) -> String {
    let raw = utterance.raw();
    let begin = raw.find(heard).map_or(0, |at| at + heard.len());
    let rest = &raw[begin..];
    let rest = match utterance.asking {
        Asking::Running => &rest[..crate::pieces::last_sentence_end(rest).unwrap_or(0)],
        _ => rest,
    };
    rest.trim().to_owned()
}
