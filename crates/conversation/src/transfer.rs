//! Handing the caller over: the line is said to its end, then the carrier dials; a failure brings the
//! caller back to the model (R63, R113, R114, R115, R116).

use bolo_agent::SUMMARY;
use bolo_execution::{EndReason, Offer};
use serde_json::{Map, Value};

use crate::timers::Timer;
use crate::tool_lines::Wait;
use crate::tools::error;
use crate::{AnswerId, Conversation, Output, TransferOutcome};

/// R116.
const MOCK: &str = "This call has no phone line: the transfer was not made, only noted. Tell the caller that \
                    they would be transferred now, and go on.";

/// From the end of the ringing to its news.
const AFTER_RING_S: u64 = 5;
/// Carriers let a phone ring at least so long.
const SHORTEST_RING_S: u64 = 5;

/// A summary is a paragraph, characters.
const MOST_SUMMARY: usize = 600;

/// A transfer that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Handover {
    answer: AnswerId,
    call: String,
    tool: String,
    arguments: Map<String, Value>,
    /// It was given to the driver.
    started: bool,
}

impl Conversation {
    /// From here on the caller's words don't count (R63).
    pub(crate) fn is_transferring(&self) -> bool {
        self.tools.handover.is_some()
    }

    /// Whether somebody was told to take the caller over, and has not failed to.
    pub fn has_handed_over(&self) -> bool {
        self.tools
            .handover
            .as_ref()
            .is_some_and(|handover| handover.started)
    }

    pub(crate) fn begin_transfer(
        &mut self,
        answer: AnswerId,
        call: String,
        tool: String,
        arguments: Map<String, Value>,
    ) {
        if self.media.web {
            self.log_event("transfer_mocked", &[("tool", tool.into())]);
            return self.call_answered(answer, &call, MOCK, true);
        }
        self.log_event("transfer_requested", &[("tool", tool.clone().into())]);
        self.call_answered(
            answer,
            &call,
            "The transfer was started. Wait for its outcome.",
            false,
        );
        if let Some(pending) = &mut self.pending {
            pending.acted = true;
        }
        self.turn = Default::default();
        self.tools.handover = Some(Handover {
            answer,
            call,
            tool,
            arguments,
            started: false,
        });
    }

    /// Everything was said: the driver may hand over. Says whether it was told so.
    pub(crate) fn advance_transfer(&mut self) -> bool {
        let Some(handover) = &mut self.tools.handover else {
            return false;
        };
        if handover.started || !self.live.is_empty() || self.media.lost_at.is_some() {
            return false;
        }
        handover.started = true;
        let (tool, arguments) = (handover.tool.clone(), handover.arguments.clone());
        let offer = self.offer(&tool, &arguments);
        let limit_s = self.script.rules.transfer_s;
        let ring_s = limit_s.saturating_sub(AFTER_RING_S).max(SHORTEST_RING_S);
        let limit_s = limit_s.max(ring_s + AFTER_RING_S) + offer.as_ref().map_or(0, Offer::limit_s);
        self.timers
            .set(Timer::Transfer, self.now.plus(limit_s * 1000));
        self.log_event("transfer_started", &[("tool", tool.clone().into())]);
        self.moved();
        self.emit(Output::StartTransfer {
            ring_s,
            tool,
            arguments,
            offer,
        });
        true
    }

    /// What whoever is called by a warm transfer hears (R115).
    fn offer(&self, tool: &str, arguments: &Map<String, Value>) -> Option<Offer> {
        let mut tools = self.script.tools.iter();
        tools.find(|script| script.name == tool && script.is_warm)?;
        let lines = self.script.lines();
        let summary = arguments.get(SUMMARY).and_then(Value::as_str);
        let summary: String = summary
            .unwrap_or_default()
            .trim()
            .chars()
            .take(MOST_SUMMARY)
            .collect();
        let summary = match summary.is_empty() {
            true => lines.offer,
            false => summary,
        };
        Some(Offer {
            text: format!("{summary} {}", lines.press_to_take),
            wait_s: self.script.rules.warm_s,
        })
    }

    pub(crate) fn transfer_changed(&mut self, outcome: TransferOutcome) {
        if !self.has_handed_over() {
            return self.stale();
        }
        match outcome {
            TransferOutcome::Connected => {
                self.log_event("transfer_connected", &[]);
                self.hang_up(EndReason::CallTransferred);
            }
            TransferOutcome::Failed { why } => self.transfer_failed(&why),
        }
    }

    /// The caller is still ours: the model hears of it and goes on (R114).
    pub(crate) fn transfer_failed(&mut self, why: &str) {
        let Some(handover) = self.tools.handover.take() else {
            return;
        };
        self.timers.stop(Timer::Transfer);
        self.log_event("transfer_failed", &[("reason", why.into())]);
        let text = error(&format!(
            "the transfer failed: {why}. The caller is still on the line with you."
        ));
        self.history
            .replace_result(handover.answer, &handover.call, &text);
        self.turn = Default::default();
        if self.media.lost_at.is_some() {
            self.tools.returning = true;
            let limit = self.script.rules.media_reattach_s * 1000;
            self.timers.set(Timer::Detached, self.now.plus(limit));
        }
        self.tools.wait = Some(Wait {
            from: self.now,
            lines: 1,
        });
        self.quiet.since = self.now;
        self.moved();
        self.ask();
    }

    /// A socket comes for a call whose socket was given up for a transfer: nothing was lost, and the
    /// transfer is over.
    pub(crate) fn caller_came_back(&mut self) -> bool {
        if self.has_handed_over() {
            self.transfer_failed("it was not answered");
            return true;
        }
        std::mem::take(&mut self.tools.returning)
    }

    /// Whether the socket is away because of a transfer.
    pub(crate) fn is_away(&self) -> bool {
        self.has_handed_over() || self.tools.returning
    }
}
