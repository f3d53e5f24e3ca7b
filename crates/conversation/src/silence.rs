//! Silence of the caller, and the backstop for work that does not move (R149-R154).

use bolo_execution::EndReason;

use crate::speak::is_bridge;
use crate::state::{Cause, Farewell};
use crate::{At, Clip, Conversation, Kind};

/// A voice that brings no text for this long is taken for noise: it must not keep a call open.
const NOISE_MS: u64 = 10_000;
/// After the online check the caller has at least this long to answer (R153).
const AFTER_CHECK_MS: u64 = 2000;
/// The least time without progress that counts as a stall (R154).
const STALL_MS: u64 = 20_000;

impl Conversation {
    /// Quiet time may run: nothing is said, nothing is being made (R149).
    fn is_quiet(&self) -> bool {
        self.is_live()
            && self.is_welcome_over()
            && self.media.lost_at.is_none()
            && self.pending.is_none()
            && !self.tools.is_open()
            && self.live.iter().all(is_bridge)
    }

    /// When quiet time will have run for `after_ms`. A voice stops it, but not for ever.
    fn quiet_end(&self, after_ms: u64) -> At {
        let noise = if self.voice.is_on { NOISE_MS } else { 0 };
        self.quiet.since.plus(after_ms + noise)
    }

    /// R151, R152.
    pub(crate) fn next_online_check(&self) -> Option<At> {
        let check = self.script.online_check.as_ref()?;
        let limit = self.script.hangup_after_silence_ms;
        let fires = limit == 0 || check.after_ms < limit;
        let is_waiting = self.is_quiet() && !self.quiet.asked && self.live.is_empty();
        (fires && is_waiting).then(|| self.quiet_end(check.after_ms))
    }

    /// R153.
    pub(crate) fn next_silence(&self) -> Option<At> {
        let limit = self.script.hangup_after_silence_ms;
        if limit == 0 || !self.is_quiet() {
            return None;
        }
        let end = self.quiet_end(limit);
        let check = self
            .live
            .iter()
            .find(|utterance| utterance.kind == Kind::OnlineCheck && utterance.is_played());
        match (check, self.quiet.asked_until) {
            (Some(check), _) => {
                let over = self.playout.end_of(check.id).filter(|_| check.is_closed)?;
                Some(if over > end {
                    over.plus(AFTER_CHECK_MS)
                } else {
                    end
                })
            }
            (None, Some(over)) if over > end => Some(over.plus(AFTER_CHECK_MS)),
            _ => Some(end),
        }
    }

    pub(crate) fn check_online(&mut self) {
        let Some(check) = self.script.online_check.clone() else {
            return;
        };
        self.quiet.asked = true;
        self.log_event("silence_prompt", &[]);
        self.say_clip(Kind::OnlineCheck, Clip::OnlineCheck, &check.text);
    }

    pub(crate) fn silence_over(&mut self) {
        self.begin_end(
            EndReason::InactivityTimeout,
            Cause::Silence,
            Farewell::Goodbye,
        );
    }

    /// R154: work whose end no other deadline bounds.
    pub(crate) fn next_stall(&self) -> Option<At> {
        let limit = STALL_MS.max(self.script.hangup_after_silence_ms);
        let is_open = self.live.iter().any(|utterance| !utterance.is_closed);
        // Calls have limits of their own.
        let is_idle = self.pending.is_some() && self.live.is_empty() && !self.tools.is_open();
        // What is there to be heard is progress until it was heard.
        let heard = self
            .live
            .iter()
            .filter_map(|utterance| self.playout.end_of(utterance.id))
            .max();
        let since = self.progress_at.max(heard.unwrap_or_default());
        (is_open || is_idle || self.is_closing()).then(|| since.plus(limit).max(self.now))
    }

    pub(crate) fn stalled(&mut self) {
        self.moved();
        if let Some(reason) = self.closing_reason() {
            return self.hang_up(reason);
        }
        self.faults.stalls += 1;
        self.log_event("stall", &[]);
        if self.media.lost_at.is_some() {
            return;
        }
        let had_pending = self.pending.is_some();
        self.abandon_all();
        if self.faults.stalls > 1 {
            self.emit(crate::Output::Fault {
                message: "call: stalled".to_owned(),
            });
            self.begin_end(EndReason::InternalError, Cause::Fault, Farewell::Apology);
        } else if had_pending || self.is_welcome_over() {
            let line = self.script.lines().recovery;
            self.say_clip(Kind::Recovery, Clip::Recovery, &line);
        }
    }
}
