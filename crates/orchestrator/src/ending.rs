//! Why a call ended, and how that is told to clients (R5 to R7; wire-telephony.md §5.2).

use bolo_execution::{Direction, EndReason, Hangup, HangupBy};

/// The one cause of a call's end: the first one recorded (R5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The far end hung up.
    Remote,
    /// We did.
    Ours(EndReason),
    /// The media socket was lost and did not come back (R199).
    Lost,
    /// The call outlived its cap or its task died; text for the log.
    Aborted(String),
    /// Another node runs the call now: its record is not ours to write.
    Superseded,
}

/// Plivo's numbers, which Bolna's clients know.
const NORMAL: u16 = 4000;
const UNREACHABLE: u16 = 7011;
const OUR_FAULT: u16 = 8011;

impl End {
    /// For figures.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Ours(reason) => reason.as_str(),
            Self::Lost => "lost",
            Self::Aborted(_) => "aborted",
            Self::Superseded => "superseded",
        }
    }

    /// Whether a vendor's or our own fault ended the call.
    pub(crate) fn is_fault(&self) -> bool {
        match self {
            Self::Ours(reason) => reason.is_fault(),
            Self::Aborted(_) => true,
            Self::Remote | Self::Lost | Self::Superseded => false,
        }
    }

    /// What `telephony_data` shows.
    pub(crate) fn hangup(&self, direction: Direction) -> Hangup {
        let (by, reason, code) = match self {
            Self::Remote | Self::Superseded => match direction {
                Direction::Outbound => (HangupBy::Callee, "Call recipient hung up", NORMAL),
                Direction::Inbound => (HangupBy::Caller, "Normal Hangup", NORMAL),
            },
            Self::Ours(reason) if reason.is_fault() => {
                (HangupBy::Error, reason.as_str(), OUR_FAULT)
            }
            Self::Ours(reason) => (HangupBy::ApiRequest, reason.as_str(), NORMAL),
            Self::Lost => (
                HangupBy::Carrier,
                "Carrier unable to reach bolna",
                UNREACHABLE,
            ),
            Self::Aborted(_) => (
                HangupBy::Error,
                EndReason::InternalError.as_str(),
                OUR_FAULT,
            ),
        };
        Hangup {
            by,
            reason: reason.to_owned(),
            code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hung_up_follows_cause_and_direction() {
        let told = |end: End, direction| {
            let Hangup { by, reason, code } = end.hangup(direction);
            (by, reason, code)
        };
        use Direction::{Inbound, Outbound};
        assert_eq!(
            told(End::Remote, Outbound),
            (HangupBy::Callee, "Call recipient hung up".into(), 4000)
        );
        assert_eq!(
            told(End::Remote, Inbound),
            (HangupBy::Caller, "Normal Hangup".into(), 4000)
        );
        let silent = End::Ours(EndReason::InactivityTimeout);
        assert_eq!(
            told(silent, Inbound),
            (HangupBy::ApiRequest, "inactivity_timeout".into(), 4000)
        );
        let fault = End::Ours(EndReason::LlmError);
        assert!(fault.is_fault());
        assert_eq!(
            told(fault, Outbound),
            (HangupBy::Error, "llm_error".into(), 8011)
        );
        assert_eq!(
            told(End::Lost, Outbound),
            (
                HangupBy::Carrier,
                "Carrier unable to reach bolna".into(),
                7011
            )
        );
    }
}
