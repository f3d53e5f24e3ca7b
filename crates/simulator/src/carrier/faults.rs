//! What the carrier does wrong, per call or per dial (wire-telephony.md §7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signing::Signing;

/// Faults of one call, part of its script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallFaults {
    /// The answer webhook is sent a second time, so many milliseconds after the first (same
    /// idempotency token). The second document is fetched and dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_answer_ms: Option<u64>,
    /// With `duplicate_answer_ms`: the second document is run too. Its socket becomes the call's and
    /// the first one is left open until the server closes it.
    pub duplicate_answer_runs: bool,
    /// The answer webhook does not get through: the carrier asks the fallback, if it has one.
    pub no_answer_webhook: bool,
    /// Status callbacks of these events (`initiated`, `ringing`, `answered`, `completed`) never come.
    pub lost_status: Vec<String>,
    /// Status callbacks of these events come twice, with the same idempotency token.
    pub doubled_status: Vec<String>,
    /// These events come so many milliseconds late, independently of the others.
    pub late_status: BTreeMap<String, u64>,
    /// Each pair of status callbacks comes in reverse: ringing before initiated, completed before
    /// answered.
    pub reversed_status: bool,
    /// A `ringing` callback with a higher sequence number follows the final one.
    pub ringing_after_end: bool,
    /// Status callbacks have a field that nobody knows, and each but the final one is followed by one whose words
    /// for the state nobody knows.
    pub strange_status: bool,
    /// Webhooks come as GET, whatever was asked for.
    pub get_webhooks: bool,
    /// Webhooks come as HTTP/1.0.
    pub http_1_0: bool,
    /// Webhooks with a body say `Expect: 100-continue`.
    pub expect_continue: bool,
    /// So many tries of each webhook of these (`answer`, `fallback`, `redirect`, `status`, …) find no connection:
    /// it is tried again, given up, or asked for elsewhere, as its address and the carrier say.
    pub lost_tries: BTreeMap<String, u32>,
    /// The phone is answered without having rung.
    pub no_ringing: bool,
    /// How webhooks and the socket's upgrade are signed.
    pub signing: Signing,
    /// So many requests to go on elsewhere are accepted, and nothing happens.
    pub ignored_redirects: u32,
    /// The call is over as soon as it is to go on elsewhere.
    pub dropped_by_redirect: bool,
    /// The carrier cuts the call so many milliseconds after its answer, as if it had been asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_after_ms: Option<u64>,
    /// No media socket is opened; the call stays connected in silence.
    pub no_media: bool,
    /// So many tries to open the media socket are lost on the way.
    pub lost_upgrades: u32,
    /// The media socket is opened so many milliseconds late.
    pub late_upgrade_ms: u64,
    /// The far end hangs up as soon as it has answered, before the media socket opens.
    pub hang_up_at_answer: bool,
    /// The far end hangs up between the upgrade of the media socket and its `start`.
    pub hang_up_in_upgrade: bool,
    /// The far end's hang-up closes the socket without a `stop` message.
    pub no_stop: bool,
    /// Audio follows the `stop` message.
    pub media_after_stop: bool,
    /// From so many milliseconds after its start on, the socket stays open, and nothing goes either way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_open_after_ms: Option<u64>,
    /// Marks are never echoed.
    pub never_echo: bool,
    /// Marks are echoed twice.
    pub echo_twice: bool,
    /// Marks are echoed so many milliseconds late.
    pub late_echo_ms: u64,
    /// With `late_echo_ms`: marks that wait together are echoed last first.
    pub reversed_echo: bool,
    /// Marks that a clear drops are echoed all the same.
    pub echo_after_clear: bool,
    /// No more than so much audio waits to be played; the rest is dropped, and told as the carrier tells that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_ms: Option<u64>,
    /// A clear is done and never confirmed, where the carrier has a message for that.
    pub never_cleared: bool,
    /// The carrier stops reading the socket so many milliseconds after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reading_after_ms: Option<u64>,
    /// With `stop_reading_after_ms`: for so long; absent = for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_reading_for_ms: Option<u64>,
    /// Frame numbers (from 1) in whose place something else is sent.
    pub bad_frames: BTreeMap<u64, BadFrame>,
    /// Each message of audio comes up to so many milliseconds late, none before an earlier one.
    pub jitter_ms: u64,
    /// Messages of audio come together, each so many milliseconds.
    pub bursts_ms: u64,
    /// The same seed, the same jitter.
    pub seed: u64,
    /// Media messages before `start`.
    pub media_before_start: bool,
    /// `start` carries no `customParameters`.
    pub no_parameters: bool,
}

/// What stands in for a media message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadFrame {
    /// Nothing: the chunk counter jumps.
    Missing,
    /// The frame twice.
    Doubled,
    /// A JSON text cut in the middle.
    HalfJson,
    /// A payload that is no base64.
    BadBase64,
    /// A payload of 0 bytes.
    Empty,
    /// A payload of 64 KiB.
    Huge,
    /// Another stream's id.
    WrongStream,
    /// An event nobody has heard of.
    UnknownEvent,
    /// A binary message.
    Binary,
    /// Numbers instead of strings for counters.
    Numbers,
    /// A good frame; counters begin anew with it.
    Restarted,
    /// The track that the far end hears, where frames name theirs.
    OtherTrack,
}

/// What becomes of a dial request, of the purchase of a number, or of another request: then "placed" is "done".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialFault {
    /// Refused with this status; not placed.
    Refuse {
        /// HTTP status, such as 400.
        status: u16,
        /// The carrier's error code, such as 21211, where it has codes.
        #[serde(default)]
        code: u32,
        /// What the refusal says; all there is where a carrier has no codes.
        #[serde(default = "refusal")]
        message: String,
        /// `Retry-After` header, seconds.
        retry_after_s: Option<u64>,
    },
    /// A 500 without a useful body, before anything was placed.
    ErrorBeforePlacing {},
    /// A 500, but the call is placed.
    ErrorAfterPlacing {},
    /// The connection breaks, nothing was placed.
    ResetBeforePlacing {},
    /// The connection breaks, but the call is placed.
    ResetAfterPlacing {},
    /// A good answer whose JSON body is cut in half; the call is placed.
    TruncatedJson {},
    /// A good answer that names no call; the call is placed.
    NoId {},
    /// The call is placed and the answer comes so late.
    SlowAnswer {
        /// Milliseconds.
        ms: u64,
    },
    /// No answer, nothing placed: the client's own limit ends it.
    Silence {},
}

fn refusal() -> String {
    "refused as the test asked".to_owned()
}

impl DialFault {
    fn refuse(status: u16, code: u32, message: String, retry_after_s: Option<u64>) -> Self {
        Self::Refuse {
            status,
            code,
            message,
            retry_after_s,
        }
    }

    /// 401: wrong credentials.
    pub fn unauthorized() -> Self {
        Self::refuse(401, 20003, "Authenticate".to_owned(), None)
    }

    /// 404: never heard of, or forgotten.
    pub fn missing() -> Self {
        Self::refuse(404, 20404, "not found".to_owned(), None)
    }

    /// 429, to be tried again after so many seconds.
    pub fn too_many(retry_after_s: u64) -> Self {
        Self::refuse(
            429,
            20429,
            "Too many requests".to_owned(),
            Some(retry_after_s),
        )
    }

    /// 400 with a code, such as Twilio's 21211 for a bad number.
    pub fn bad_request(code: u32) -> Self {
        Self::refuse(400, code, refusal(), None)
    }

    /// 400 with a text, as Plivo refuses.
    pub fn bad_request_saying(message: &str) -> Self {
        Self::refuse(400, 0, message.to_owned(), None)
    }

    /// No answer ever comes.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(
            self,
            Self::ResetBeforePlacing {} | Self::ResetAfterPlacing {} | Self::Silence {}
        )
    }

    /// Whether a call starts although the client is not told so.
    pub(crate) fn places(&self) -> bool {
        matches!(
            self,
            Self::ErrorAfterPlacing {}
                | Self::ResetAfterPlacing {}
                | Self::TruncatedJson {}
                | Self::NoId {}
                | Self::SlowAnswer { .. }
        )
    }
}
