//! Names of the figures this crate records, so that dashboards and tests need not guess. Histograms are
//! in milliseconds.

/// Gauge: calls running on this node.
pub const CALLS_LIVE: &str = "bolo_calls_live";
/// Counter: media sockets turned away, label `why` (`full`, `draining`, `over`, `no_start`, `fault`).
pub const SOCKETS_REFUSED: &str = "bolo_media_sockets_refused_total";
/// Counter: calls ended, label `end`.
pub const CALLS_ENDED: &str = "bolo_calls_ended_total";
/// Counter: calls ended by their supervisor, label `why` (`overdue`, `panic`).
pub const CALLS_ABORTED: &str = "bolo_calls_aborted_total";
/// Histogram: end of the caller's turn → first frame of the answer on the socket, all waits included.
pub const TURN_TOTAL_MS: &str = "bolo_turn_total_ms";
/// Histogram: the same without the waits for the model's first token, the synthesizer's first audio and
/// the hold (R37): what this server adds.
pub const TURN_ADDED_MS: &str = "bolo_turn_added_ms";
/// Histogram: the request to the model → its first token.
pub const LLM_FIRST_TOKEN_MS: &str = "bolo_llm_first_token_ms";
/// Histogram: first text to the synthesizer → its first audio.
pub const TTS_FIRST_AUDIO_MS: &str = "bolo_tts_first_audio_ms";
/// Histogram: audio ready → allowed to play.
pub const TURN_HOLD_MS: &str = "bolo_turn_hold_ms";
/// Histogram: the input that cut the agent → the clear on its way to the carrier.
pub const CLEAR_MS: &str = "bolo_barge_clear_ms";
/// Counter: events of calls as the machine tells them, label `event`.
pub const CALL_EVENTS: &str = "bolo_call_events_total";
/// Counter: frames of caller audio dropped because the transcriber did not take them.
pub const CALLER_AUDIO_DROPPED: &str = "bolo_caller_frames_dropped_total";
/// Counter: caller audio lost before it reached us, ms filled with silence.
pub const CALLER_AUDIO_GAPS_MS: &str = "bolo_caller_gap_ms_total";
/// Counter: media messages that made no sense.
pub const MEDIA_UNREADABLE: &str = "bolo_media_unreadable_total";
/// Counter: media sockets given up because a send was blocked too long.
pub const MEDIA_BLOCKED: &str = "bolo_media_blocked_total";
/// Counter: vendor connections that broke, label `role`.
pub const VENDOR_DOWN: &str = "bolo_vendor_down_total";
/// Counter: vendors shut out after failing call after call, label `vendor`.
pub const VENDOR_SHUT_OUT: &str = "bolo_vendor_shut_out_total";
/// Counter: clips taken from the cache, label `hit` (`true`, `false`).
pub const CLIPS: &str = "bolo_clips_total";
