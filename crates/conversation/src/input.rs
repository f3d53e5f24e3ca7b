//! What happened. A call's event log is its script and its list of `(At, Input)`.

use bolo_execution::Direction;
use serde::{Deserialize, Serialize};

/// Milliseconds since the call's media began. Told by the driver, never read from a clock.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct At(pub u64);

impl At {
    /// `ms` later.
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that lies ahead.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Numbers the agent's utterances within a call, from 1 (runtime.md: `gen`). What arrives for an older
/// one than the live ones is dropped at the door (R87).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AnswerId(pub u32);

/// Numbers the caller's turns, from 1.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TurnId(pub u32);

/// What happened. Past tense; no bytes, no vendor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The carrier's media socket said `start`. Always the first input, at 0.
    MediaStart {
        /// Who called whom.
        direction: Direction,
        /// The carrier echoes marks (R73).
        marks: bool,
        /// A web call: its cap has another name (R11), its lead is shorter.
        web: bool,
        /// Chooses fillers and jitter (R13).
        seed: u64,
    },
    /// The far end hung up, or the carrier ended the stream.
    MediaStop,
    /// The media socket closed without a stop (R199).
    MediaLost,
    /// A socket for the same call attached again, here or after a crash on another node (R199, R202).
    /// Without a `MediaLost` before it, it tells that the machine was rebuilt by replaying its inputs:
    /// the time since the last of them does not count, but for the cap.
    MediaResumed,
    /// No caller audio for a while though the socket lives (R200).
    MediaFrozen {
        /// Since the last frame, ms.
        ms: u64,
    },
    /// An edge of voice activity, not a level: `true` = speech began, `false` = silence began.
    Vad {
        /// Whether the caller makes speech-like sound now.
        speech: bool,
    },
    /// The transcriber noticed speech before any text.
    SpeechStarted,
    /// Text of the open segment so far; may still change. Per segment, never cumulative over a turn.
    Interim {
        /// As transcribed.
        text: String,
    },
    /// A segment that will not change, not ending the turn.
    Final {
        /// As transcribed.
        text: String,
    },
    /// The caller's turn is over. `text` = the last segment that came with the end, may be empty.
    TurnEnd {
        /// Not yet delivered text of the turn; empty = all came before.
        text: String,
        /// Which rule of the transcriber ended it.
        why: TurnEndWhy,
    },
    /// The transcriber expects that the turn is over (R41): a turn's end of the same text follows, or
    /// `Resumed`.
    Eager {
        /// The open segment so far, as of `Interim`.
        text: String,
        /// How sure it is, 0..=1.
        confidence: f32,
    },
    /// The turn that was expected to be over goes on.
    Resumed,
    /// The transcriber saw the end of speech, without any text to add.
    SpeechEnded,
    /// The transcriber's connection is gone; the driver reconnects and replays (R193).
    TranscriberDown {
        /// What went wrong.
        fault: Fault,
    },
    /// It is back, with the caller's audio replayed from the last final on.
    TranscriberUp,
    /// All tries failed, the fallback too.
    TranscriberLost {
        /// What went wrong last.
        fault: Fault,
    },
    /// Text from the model for this answer.
    Token {
        /// Which answer.
        answer: AnswerId,
        /// A piece of text, any length.
        text: String,
    },
    /// The model thinks aloud for this answer; told once a second at most.
    Thinking {
        /// Which answer.
        answer: AnswerId,
    },
    /// The model begins to call a tool; the arguments follow.
    ToolNamed {
        /// Which answer.
        answer: AnswerId,
        /// The tool.
        name: String,
    },
    /// The model called tools; arguments complete.
    ToolCalls {
        /// Which answer.
        answer: AnswerId,
        /// In index order.
        calls: Vec<ToolCall>,
    },
    /// What a tool call came to.
    ToolReturned {
        /// Which [`crate::Output::RunTool`].
        run: u32,
        /// Its result.
        outcome: ToolOutcome,
    },
    /// News of a transfer that was started.
    TransferChanged {
        /// What became of it.
        outcome: TransferOutcome,
    },
    /// The model is done with this answer.
    AnswerDone {
        /// Which answer.
        answer: AnswerId,
        /// Why it stopped.
        finish: Finish,
        /// What it cost.
        usage: TokenUse,
    },
    /// The model failed. The driver never retries by itself: the machine decides (R194).
    AnswerFailed {
        /// Which answer.
        answer: AnswerId,
        /// What went wrong.
        fault: Fault,
    },
    /// A chunk of the answer's audio has been made and lies with the driver, not yet played. Chunks of
    /// an answer count from 1 over all its pieces; each 20..=1000 ms (a cached clip may be one chunk).
    Audio {
        /// Which answer.
        answer: AnswerId,
        /// Which [`crate::Output::Say`] piece, from 0.
        piece: u32,
        /// Number of the chunk within the answer, from 1.
        chunk: u32,
        /// Its length, ms.
        ms: u64,
        /// Word times within the chunk, where the vendor gives them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        words: Vec<Word>,
    },
    /// All audio of this piece has come: with it the piece's true length is known.
    PieceDone {
        /// Which answer.
        answer: AnswerId,
        /// Which piece.
        piece: u32,
    },
    /// All audio of this answer has come (after its last piece). Before the last piece was said it is
    /// dropped; without any audio it counts as a fault of the synthesizer.
    SpeechDone {
        /// Which answer.
        answer: AnswerId,
    },
    /// The synthesizer failed and the driver's own reconnects did not help (R195).
    SpeechFailed {
        /// Which answer.
        answer: AnswerId,
        /// What went wrong.
        fault: Fault,
    },
    /// The carrier echoed a mark: `<answer>:<chunk>` or `<answer>:end`.
    Mark {
        /// The mark's name, as the driver sent it.
        name: String,
    },
    /// Semantic routing has decided for this turn; once the model's answer has begun it is a miss (R122).
    Routed {
        /// Which turn.
        turn: TurnId,
        /// The route hit, if any: index into the agent's routes, and of the best utterance.
        hit: Option<(u32, u32)>,
        /// Best score as the model gave it and on the reference scale, for the log.
        scores: Option<(f32, f32)>,
    },
    /// The judge model's verdict.
    Judged {
        /// Which [`crate::Output::AskJudge`].
        id: u32,
        /// Yes or no; a failure is a no.
        yes: bool,
    },
    /// The carrier's own listening has decided who answered (R161).
    AnsweredBy {
        /// An answering machine or a fax, not a person.
        is_machine: bool,
    },
    /// A key was pressed.
    Dtmf {
        /// `0`..`9`, `*`, `#`, `A`..`D`.
        digit: char,
    },
    /// The caller typed a turn, on a page.
    Typed {
        /// As typed.
        text: String,
    },
    /// Something happened outside the call (R144): what is known of it is known to the agent from now on.
    Event {
        /// What.
        name: String,
        /// What is known of it.
        properties: serde_json::Map<String, serde_json::Value>,
    },
    /// `POST /call/{id}/stop`.
    StopRequested,
    /// The node shuts down and its drain time is over (R201).
    NodeStopping,
    /// Nothing happened, but a deadline is due.
    Tick,
}

/// Which rule ended a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnEndWhy {
    /// The transcriber's endpointing.
    SpeechFinal,
    /// Deepgram's UtteranceEnd.
    UtteranceEnd,
    /// A turn model.
    EndOfTurn,
    /// No news for too long (R29).
    Forced,
}

/// A fault of a vendor, named for what can be done about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// 401, 403: asking again is of no use.
    pub kind: FaultKind,
    /// One line for people: `openai llm: rate limited`. No key, no full address.
    pub message: String,
    /// The vendor asked to wait this long, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Kinds of fault; wire-providers.md §7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum FaultKind {
    Auth,
    Quota,
    RateLimited,
    BadRequest,
    NotFound,
    Connect,
    Timeout,
    Dropped,
    Server,
    Content,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TokenUse {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    /// The vendor sent none: counted as characters / 4.
    pub estimated: bool,
}

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's id of the call.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text, unchecked.
    pub arguments: String,
}

/// What a tool call came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    /// It was done.
    Answered {
        /// For the model, within bounds (R105).
        body: String,
    },
    /// It was not, or nobody knows.
    Failed {
        /// For the model: `timeout after 10 s`, `status 500: …`. No address, no key.
        why: String,
    },
}

/// What became of a transfer (R114).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// The caller speaks with somebody else.
    Connected,
    /// He does not, and is still ours.
    Failed {
        /// For the model: `busy`, `no answer`, …
        why: String,
    },
}

/// When a word sounds within its chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The word as sent to the synthesizer.
    pub text: String,
    /// From the chunk's start, ms.
    pub start_ms: u64,
    /// From the chunk's start, ms.
    pub end_ms: u64,
}
