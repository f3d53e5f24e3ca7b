//! The life of a call. Source: api.md §8, runtime.md R1, R2.

use serde::{Deserialize, Serialize};

/// Where a call stands. Never assigned: see [`Status::after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Status {
    Prepared,
    Scheduled,
    Queued,
    Rescheduled,
    Initiated,
    Ringing,
    InProgress,
    CallDisconnected,
    Completed,
    Busy,
    NoAnswer,
    BalanceLow,
    Canceled,
    Failed,
    Stopped,
    Error,
}

/// What happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A batch's call gets its time.
    Scheduled,
    /// Its time has come.
    Due,
    /// Outside the recipient's calling hours; waits for the next window.
    OutsideHours,
    /// The account's wallet is empty.
    WalletEmpty,
    /// The carrier took our dial request.
    CarrierAccepted,
    /// The far end rings.
    Ringing,
    /// Answered, or media started, whichever came first.
    Answered,
    /// The far end is busy or refused.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// The carrier could not or would not connect the call.
    CarrierFailed,
    /// The carrier took our dial request, and had no room for the call: nothing rang, and it is dialled again.
    Postponed,
    /// Cancelled at the carrier, or an inbound call that was turned away.
    Canceled,
    /// The call leg ended after it was answered.
    MediaEnded,
    /// The record is stored whole.
    Recorded,
    /// Somebody asked to stop the call.
    StopAsked,
    /// A fault of ours or of a vendor made the call impossible.
    Faulted,
    /// `retry_config` makes another attempt.
    RetryPlanned,
}

impl Change {
    /// Everything that can happen.
    pub const ALL: [Self; 17] = [
        Self::Scheduled,
        Self::Due,
        Self::OutsideHours,
        Self::WalletEmpty,
        Self::CarrierAccepted,
        Self::Ringing,
        Self::Answered,
        Self::Busy,
        Self::NoAnswer,
        Self::CarrierFailed,
        Self::Postponed,
        Self::Canceled,
        Self::MediaEnded,
        Self::Recorded,
        Self::StopAsked,
        Self::Faulted,
        Self::RetryPlanned,
    ];
}

/// The change is not possible from where the call stands, for example a late callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call that is {from} cannot take the change {change:?}")]
pub struct Illegal {
    /// Where the call stands.
    pub from: Status,
    /// What was to happen.
    pub change: Change,
}

impl Status {
    /// Every status, in the order of a call's life.
    pub const ALL: [Self; 16] = [
        Self::Prepared,
        Self::Scheduled,
        Self::Queued,
        Self::Rescheduled,
        Self::Initiated,
        Self::Ringing,
        Self::InProgress,
        Self::CallDisconnected,
        Self::Completed,
        Self::Busy,
        Self::NoAnswer,
        Self::BalanceLow,
        Self::Canceled,
        Self::Failed,
        Self::Stopped,
        Self::Error,
    ];

    /// The only way to a new status. Monotonic: nothing leaves a terminal status but a planned retry, and nothing goes
    /// back but what was no dial.
    /// The carrier's news come in any order and may skip steps, so each leads on from every earlier
    /// step of a dialled call; a row is still `queued` when the first of them outruns the dial's reply.
    pub fn after(self, change: Change) -> Result<Self, Illegal> {
        use Change as C;
        Ok(match (self, change) {
            (Self::Prepared, C::Scheduled) => Self::Scheduled,
            (Self::Prepared | Self::Scheduled | Self::Rescheduled, C::Due) => Self::Queued,
            (Self::Prepared | Self::Scheduled | Self::Queued, C::OutsideHours) => Self::Rescheduled,
            (waiting, C::WalletEmpty) if waiting.is_waiting() => Self::BalanceLow,
            (Self::Queued, C::CarrierAccepted) => Self::Initiated,
            (Self::Queued | Self::Initiated, C::Ringing) => Self::Ringing,
            (dialled, C::Answered) if dialled.is_unanswered() => Self::InProgress,
            (dialled, C::Busy) if dialled.is_unanswered() => Self::Busy,
            (dialled, C::NoAnswer) if dialled.is_unanswered() => Self::NoAnswer,
            (dialled, C::CarrierFailed) if dialled.is_unanswered() => Self::Failed,
            (dialled, C::Postponed) if dialled.is_unanswered() => Self::Queued,
            (dialled, C::Canceled) if dialled.is_unanswered() => Self::Canceled,
            // Also without news of an answer: it was lost, or comes later and is dropped then.
            (dialled, C::MediaEnded) if dialled.is_unanswered() => Self::CallDisconnected,
            (Self::InProgress, C::MediaEnded) => Self::CallDisconnected,
            (Self::CallDisconnected, C::Recorded) => Self::Completed,
            // A call that ended has its cause already (R5).
            (Self::CallDisconnected, C::StopAsked) => return Err(Illegal { from: self, change }),
            (open, C::StopAsked) if !open.is_terminal() => Self::Stopped,
            // Also `call-disconnected`: a vendor failed before the agent was heard (R181).
            (open, C::Faulted) if !open.is_terminal() => Self::Error,
            // `completed`: a machine answered (`retry_on_voicemail`).
            (
                Self::Busy | Self::NoAnswer | Self::Failed | Self::Error | Self::Completed,
                C::RetryPlanned,
            ) => Self::Scheduled,
            (from, change) => return Err(Illegal { from, change }),
        })
    }

    /// Whether news of this step come too late for the attempt, now and for ever: they need not be looked into.
    pub fn is_past(self, step: Change) -> bool {
        let is_step = matches!(
            step,
            Change::CarrierAccepted | Change::Ringing | Change::Answered
        );
        is_step && !self.is_waiting() && self.after(step).is_err()
    }

    /// Dialled, or about to be, and not yet answered.
    fn is_unanswered(self) -> bool {
        matches!(self, Self::Queued | Self::Initiated | Self::Ringing)
    }

    /// Whether the call is over for good (a retry apart). `call-disconnected` is not terminal.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed
                | Self::Busy
                | Self::NoAnswer
                | Self::BalanceLow
                | Self::Canceled
                | Self::Failed
                | Self::Stopped
                | Self::Error
        )
    }

    /// Not yet handed to the carrier.
    pub fn is_waiting(self) -> bool {
        matches!(
            self,
            Self::Prepared | Self::Scheduled | Self::Queued | Self::Rescheduled
        )
    }

    /// As it stands on the wire: words joined by hyphens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Rescheduled => "rescheduled",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::CallDisconnected => "call-disconnected",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::BalanceLow => "balance-low",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub struct UnknownStatus(pub String);

impl std::str::FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Wherever a call goes from a status that is past a step, but for another attempt, it is past it too.
    #[test]
    fn what_is_past_stays_past() {
        let mut past = 0;
        for from in Status::ALL {
            for step in Change::ALL.into_iter().filter(|step| from.is_past(*step)) {
                past += 1;
                assert!(from.after(step).is_err());
                for change in Change::ALL {
                    // These begin another attempt.
                    if !matches!(change, Change::RetryPlanned | Change::Postponed)
                        && let Ok(to) = from.after(change)
                    {
                        assert!(to.is_past(step), "{from} {change:?}, {step:?}");
                    }
                }
            }
        }
        assert!(past > 0);
        assert!(Status::InProgress.is_past(Change::Answered));
        assert!(!Status::Queued.is_past(Change::CarrierAccepted));
        assert!(!Status::Ringing.is_past(Change::MediaEnded));
    }

    /// Every status × every change; what is not listed is illegal.
    #[test]
    fn after() {
        let mut table = String::new();
        for from in Status::ALL {
            table.push_str(&format!("{from}\n"));
            for change in Change::ALL {
                if let Ok(to) = from.after(change) {
                    table.push_str(&format!("    {change:?} -> {to}\n"));
                }
            }
        }
        insta::assert_snapshot!(table, @"
        prepared
            Scheduled -> scheduled
            Due -> queued
            OutsideHours -> rescheduled
            WalletEmpty -> balance-low
            StopAsked -> stopped
            Faulted -> error
        scheduled
            Due -> queued
            OutsideHours -> rescheduled
            WalletEmpty -> balance-low
            StopAsked -> stopped
            Faulted -> error
        queued
            OutsideHours -> rescheduled
            WalletEmpty -> balance-low
            CarrierAccepted -> initiated
            Ringing -> ringing
            Answered -> in-progress
            Busy -> busy
            NoAnswer -> no-answer
            CarrierFailed -> failed
            Postponed -> queued
            Canceled -> canceled
            MediaEnded -> call-disconnected
            StopAsked -> stopped
            Faulted -> error
        rescheduled
            Due -> queued
            WalletEmpty -> balance-low
            StopAsked -> stopped
            Faulted -> error
        initiated
            Ringing -> ringing
            Answered -> in-progress
            Busy -> busy
            NoAnswer -> no-answer
            CarrierFailed -> failed
            Postponed -> queued
            Canceled -> canceled
            MediaEnded -> call-disconnected
            StopAsked -> stopped
            Faulted -> error
        ringing
            Answered -> in-progress
            Busy -> busy
            NoAnswer -> no-answer
            CarrierFailed -> failed
            Postponed -> queued
            Canceled -> canceled
            MediaEnded -> call-disconnected
            StopAsked -> stopped
            Faulted -> error
        in-progress
            MediaEnded -> call-disconnected
            StopAsked -> stopped
            Faulted -> error
        call-disconnected
            Recorded -> completed
            Faulted -> error
        completed
            RetryPlanned -> scheduled
        busy
            RetryPlanned -> scheduled
        no-answer
            RetryPlanned -> scheduled
        balance-low
        canceled
        failed
            RetryPlanned -> scheduled
        stopped
        error
            RetryPlanned -> scheduled
        ");
    }

    #[test]
    fn nothing_leaves_a_terminal_status_but_a_retry() {
        for from in Status::ALL
            .into_iter()
            .filter(|status| status.is_terminal())
        {
            for change in Change::ALL
                .into_iter()
                .filter(|change| *change != Change::RetryPlanned)
            {
                assert_eq!(from.after(change), Err(Illegal { from, change }));
            }
        }
    }

    #[test]
    fn nothing_goes_back() {
        for from in Status::ALL
            .into_iter()
            .filter(|status| !status.is_waiting() && !status.is_terminal())
        {
            for change in Change::ALL
                .into_iter()
                .filter(|change| *change != Change::Postponed)
            {
                assert!(
                    !from.after(change).is_ok_and(|to| to <= from),
                    "{from} {change:?}"
                );
            }
        }
    }

    #[test]
    fn a_status_is_read_as_it_is_written() {
        for status in Status::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        let unknown: Result<Status, _> = "no_answer".parse();
        assert_eq!(
            unknown.unwrap_err().to_string(),
            r#"unknown status "no_answer""#
        );
    }

    #[test]
    fn webhooks_may_name_every_status() {
        assert_eq!(
            Status::ALL.map(Status::as_str),
            bolo_agent::WEBHOOK_STATUSES
        );
    }
}
