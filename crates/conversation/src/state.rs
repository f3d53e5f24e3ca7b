//! What the machine remembers between two inputs, grouped by what it is about.

use bolo_execution::EndReason;
use serde::{Deserialize, Serialize};

use crate::{AnswerId, At, TurnId};

/// How a call ended; the first cause counts (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The far end hung up, or the carrier ended the stream.
    Remote,
    /// We did.
    Ours(EndReason),
    /// The media socket was lost and did not come back (R199). The driver still has to hang up.
    Lost,
}

/// Where the call stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Media has not begun.
    Waiting,
    /// Two sides talk.
    Live,
    /// The end is decided, the last words are not over (R8).
    Closing(Closing),
    /// We hung up and wait for the carrier to say so.
    HungUp { reason: EndReason, tries: u32 },
    /// The far end is gone; a last final may still come (R10).
    Draining,
    /// Nothing will be decided any more.
    Over,
}

/// Why a call is being ended: decides what may take it back (R63).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Silence,
    Judge,
    EndCall,
    Cap,
    Fault,
    Node,
    Machine,
}

/// What is said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    None,
    /// `call_hangup_message`.
    Goodbye,
    /// The model's own, asked for or already spoken (R117).
    Models,
    /// Of a fault (R192).
    Apology,
    /// `voicemail_message`, once the greeting is over (R159).
    Message,
}

/// An end under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Closing {
    pub(crate) reason: EndReason,
    pub(crate) cause: Cause,
    pub(crate) farewell: Farewell,
    /// The utterance whose end is the call's.
    pub(crate) goodbye: Option<AnswerId>,
    /// Its first chunk was played.
    pub(crate) started: bool,
    /// The caller may no longer take it back.
    pub(crate) is_firm: bool,
}

/// What `MediaStart` told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Media {
    pub(crate) web: bool,
    pub(crate) seed: u64,
    /// Since when the socket is gone (R199).
    pub(crate) lost_at: Option<At>,
    /// Draws of the dice so far, and the last one.
    pub(crate) draws: u64,
    pub(crate) last_draw: Option<usize>,
    /// Audio that lay with the driver is gone: it is another one now (R202).
    pub(crate) audio_gone: bool,
}

/// The welcome's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    Pending,
    Speaking(AnswerId),
    Done,
}

/// Voice activity of the caller.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Voice {
    pub(crate) is_on: bool,
    /// Since the last edge.
    pub(crate) since: At,
    /// Text came since the voice began.
    pub(crate) has_text: bool,
    /// How long the last one that is over was, ms.
    pub(crate) lasted_ms: u64,
    /// The caller was told that it is not heard (R193).
    pub(crate) is_told: bool,
    /// Voices without text in a row, and when the first was (R35).
    pub(crate) untranscribed: u32,
    pub(crate) untranscribed_since: At,
    /// The line about it was said.
    pub(crate) told: bool,
}

/// A turn that the caller has ended and the agent has not answered to its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    pub(crate) started_at: At,
    pub(crate) ended_at: At,
    /// When the caller stopped speaking, as far as we know.
    pub(crate) spoken_at: At,
    /// Typed, not spoken: not taken up again by later words.
    pub(crate) typed: bool,
    /// A tool was run for it: its words stay as the tool was called for (R56).
    pub(crate) acted: bool,
    pub(crate) asks: u32,
    pub(crate) retries: u32,
    pub(crate) empties: u32,
    /// The vendor refused the request: it is asked with a bare history from now on (R194).
    pub(crate) is_bare: bool,
    /// Waits for the routing decision (R122).
    pub(crate) routing: bool,
    pub(crate) route_ms: Option<u64>,
    pub(crate) hold_until: At,
    /// A voice holds the answer back until then (R40).
    pub(crate) gate_until: Option<At>,
    /// Until when after its end the wait has had its lines (R97), ms.
    pub(crate) filled_ms: u64,
    /// When the last of them ended.
    pub(crate) line_ended_at: Option<At>,
    /// The answer's first chunk was played.
    pub(crate) is_played: bool,
}

impl Pending {
    /// Later words don't belong to it.
    pub(crate) fn is_fixed(&self) -> bool {
        self.typed || self.acted
    }
}

/// The last turn of the caller, for duplicates and late finals (R30, R31).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LastTurn {
    pub(crate) turn: TurnId,
    /// Its text.
    pub(crate) text: String,
    /// The end of it that the transcriber had not settled yet.
    pub(crate) unsettled: String,
}

/// A pause of the agent (R49, R51).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pause {
    pub(crate) since: Option<At>,
    /// Which utterance was paused, and for how long in all.
    pub(crate) answer: AnswerId,
    pub(crate) spent_ms: u64,
    pub(crate) blocked_until: At,
}

/// Quiet (R149).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Quiet {
    pub(crate) since: At,
    /// The question was asked in this silence.
    pub(crate) asked: bool,
    /// When it was over.
    pub(crate) asked_until: Option<At>,
}

/// The judge (R155).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Judge {
    /// Of all questions to judges.
    pub(crate) last_id: u32,
    /// Of the question whether the call is over.
    pub(crate) id: u32,
    pub(crate) running: bool,
    /// It said yes; the end comes when the answer was heard.
    pub(crate) end_after: bool,
}

/// What went wrong so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Faults {
    /// Turns in a row that were not answered (R192).
    pub(crate) in_a_row: u32,
    pub(crate) transcriber_down: bool,
    /// Voices in a row that the transcriber is to blame for not hearing (R193).
    pub(crate) deaf: u32,
    /// The backstop has fired (R154).
    pub(crate) stalls: u32,
}

/// What the agent said last and till when it may come back as an echo (R23).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Echo {
    pub(crate) text: String,
    pub(crate) ended_at: At,
}

/// Whether and how the agent can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaking {
    /// Nothing of it.
    No,
    /// It sounds, or is paused (R67).
    Audible(AnswerId),
    /// It has begun and waits for audio (R76).
    Gap(AnswerId),
}
