//! Why and by whom a call ended. Sources: runtime.md R6, R7; wire-telephony.md §5.

use serde::{Deserialize, Serialize};

/// Why we ended the call ourselves; the text is `telephony_data.hangup_reason` verbatim (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The judge model found the conversation over.
    LlmPromptedHangup,
    /// The model called `end_call`.
    EndCallTool,
    /// Nobody spoke for `hangup_after_silence`.
    InactivityTimeout,
    /// A machine answered.
    VoicemailDetected,
    /// A web call reached `call_terminate`.
    WebCallMaxDurationReached,
    /// A phone call reached `call_terminate`.
    MaxDurationReached,
    /// The transcriber failed in the call.
    TranscriberError,
    /// The transcriber could not be reached again.
    TranscriberConnectionError,
    /// The synthesizer failed.
    SynthesizerError,
    /// The language model failed.
    LlmError,
    /// The caller was handed over.
    CallTransferred,
    /// `POST /call/{id}/stop`.
    ApiStopped,
    /// A fault of our own.
    InternalError,
}

impl EndReason {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LlmPromptedHangup => "llm_prompted_hangup",
            Self::EndCallTool => "end_call_tool",
            Self::InactivityTimeout => "inactivity_timeout",
            Self::VoicemailDetected => "voicemail_detected",
            Self::WebCallMaxDurationReached => "web_call_max_duration_reached",
            Self::MaxDurationReached => "max_duration_reached",
            Self::TranscriberError => "transcriber_error",
            Self::TranscriberConnectionError => "transcriber_connection_error",
            Self::SynthesizerError => "synthesizer_error",
            Self::LlmError => "llm_error",
            Self::CallTransferred => "call_transferred",
            Self::ApiStopped => "api_stopped",
            Self::InternalError => "internal_error",
        }
    }

    /// Whether a vendor's or our own fault ended the call.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::TranscriberError
                | Self::TranscriberConnectionError
                | Self::SynthesizerError
                | Self::LlmError
                | Self::InternalError
        )
    }
}

/// `telephony_data.hangup_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum HangupBy {
    Caller,
    Callee,
    Carrier,
    Error,
    #[serde(rename = "API Request")]
    ApiRequest,
    Plivo,
    Unknown,
}

/// How a call ended, as `telephony_data` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hangup {
    /// Who ended it.
    pub by: HangupBy,
    /// The reason in words, or an [`EndReason`]'s text.
    pub reason: String,
    /// Code in Plivo's numbering, which Bolna's clients know (wire-telephony.md §5).
    pub code: u16,
}

/// Plivo's codes of the ends that tell nothing of a cause (wire-telephony.md §5.1).
const UNKNOWN: u16 = 0;
const NORMAL: u16 = 4000;
const DOCUMENT_OVER: u16 = 4010;

impl Hangup {
    /// The call was answered, and its media never came (wire-telephony.md §5.2).
    pub fn unreached() -> Self {
        Self {
            by: HangupBy::Error,
            reason: "Carrier unable to reach bolna".to_owned(),
            code: 7011,
        }
    }

    /// The caller was handed over (R114).
    pub fn transferred() -> Self {
        Self {
            by: HangupBy::ApiRequest,
            reason: EndReason::CallTransferred.as_str().to_owned(),
            code: NORMAL,
        }
    }

    /// The far end went, which is all that the end of a media stream tells.
    pub fn is_far_end(&self) -> bool {
        self.code == NORMAL && matches!(self.by, HangupBy::Caller | HangupBy::Callee)
    }

    /// Tells more than that a call is over, or that its document is.
    pub fn names_a_cause(&self) -> bool {
        !matches!(self.code, UNKNOWN | NORMAL | DOCUMENT_OVER)
    }

    /// The caller was handed over: our part is over, not his call.
    pub fn is_transfer(&self) -> bool {
        self.reason == EndReason::CallTransferred.as_str()
    }
}
