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

    /// The only way to a new status. Monotonic: nothing leaves a terminal status but a planned retry.
    pub fn after(self, change: Change) -> Result<Self, Illegal> {
        use Change as C;
        Ok(match (self, change) {
            (Self::Prepared | Self::Scheduled | Self::Rescheduled, C::Due) => Self::Queued,
            (Self::Prepared | Self::Scheduled | Self::Queued, C::OutsideHours) => Self::Rescheduled,
            (Self::Scheduled | Self::Queued | Self::Rescheduled, C::WalletEmpty) => Self::BalanceLow,
            (Self::Queued, C::CarrierAccepted) => Self::Initiated,
            (Self::Queued | Self::Initiated, C::Ringing) => Self::Ringing,
            (Self::Queued | Self::Initiated | Self::Ringing, C::Answered) => Self::InProgress,
            (Self::Queued | Self::Initiated | Self::Ringing, C::Busy) => Self::Busy,
            (Self::Queued | Self::Initiated | Self::Ringing, C::NoAnswer) => Self::NoAnswer,
            (Self::Queued | Self::Initiated | Self::Ringing, C::CarrierFailed) => Self::Failed,
            (Self::Queued | Self::Initiated | Self::Ringing, C::Canceled) => Self::Canceled,
            (Self::InProgress, C::MediaEnded) => Self::CallDisconnected,
            (Self::CallDisconnected, C::Recorded) => Self::Completed,
            (Self::Busy | Self::NoAnswer | Self::Failed | Self::Error, C::RetryPlanned) => Self::Scheduled,
            (open, C::StopAsked) if !open.is_terminal() => Self::Stopped,
            (open, C::Faulted) if !open.is_terminal() => Self::Error,
            (from, change) => return Err(Illegal { from, change }),
        })
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
        matches!(self, Self::Prepared | Self::Scheduled | Self::Queued | Self::Rescheduled)
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
