//! What to do. Imperative; no bytes, no socket, no vendor.

use bolo_execution::{EndReason, Entry, Offer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AnswerId, ToolCall, TurnId};

/// A decision, to be carried out at once and in order. None of them waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The call is in progress: write the status (R3).
    Answered,
    /// Let the transcriber end the open turn now: it has been waited for (R29).
    EndTurn,
    /// Ask the model. The driver streams back `Token`, `ToolCalls`, then `AnswerDone` or `AnswerFailed`.
    Ask {
        /// Which answer.
        answer: AnswerId,
        /// System first, then history (R84).
        messages: Vec<Message>,
        /// Empty = send none.
        tools: Vec<Tool>,
        /// Whether it may call them.
        tool_choice: ToolChoice,
        /// The agent's, or raised by R93.
        temperature: f32,
    },
    /// Drop the request to the model; nothing of it will be used.
    CancelAsk {
        /// Which answer.
        answer: AnswerId,
    },
    /// Decide by meaning whether a route answers this turn (R120, R122).
    AskRoute {
        /// Which turn.
        turn: TurnId,
        /// What the caller said.
        text: String,
    },
    /// Ask a judge in the background (R155).
    AskJudge {
        /// Its number, echoed in `Judged`.
        id: u32,
        /// What it decides.
        kind: JudgeKind,
        /// The whole prompt; the answer is JSON.
        messages: Vec<Message>,
    },
    /// Speak this text: cleaned for the ear (R90), one piece of an answer. The driver tells `Audio` as it
    /// comes, `PieceDone` behind a piece's last chunk, `SpeechDone` behind the last piece's.
    Say {
        /// Which answer.
        answer: AnswerId,
        /// Counts from 0 within the answer.
        piece: u32,
        /// Text for the synthesizer.
        text: String,
        /// No piece follows. A `last` piece may be empty: then only the end of input is told.
        last: bool,
        /// What the utterance is.
        kind: Kind,
    },
    /// Speak a line that is rendered beforehand where possible (welcome, fillers, recovery, goodbye):
    /// from the clip cache, else live. One piece (0), complete; told of as for `Say`.
    SayClip {
        /// Which answer.
        answer: AnswerId,
        /// Which line, for the cache and the log.
        clip: Clip,
        /// Its text.
        text: String,
    },
    /// Drop the speech of this answer that was not yet made. What `Play` has queued stays. May come for
    /// an answer of which nothing was said, or twice.
    CancelSay {
        /// Which answer.
        answer: AnswerId,
    },
    /// Put this chunk into the playout queue. Chunks are played in the order of these outputs. The
    /// driver paces them into the carrier (R69) and sends marks (R70).
    Play {
        /// Which answer.
        answer: AnswerId,
        /// Which chunk.
        chunk: u32,
    },
    /// The answer has no more chunks: send the mark `<answer>:end` behind what was queued.
    PlayEnd {
        /// Which answer.
        answer: AnswerId,
    },
    /// Stop feeding the carrier; drop nothing (R49). Ends with `ResumePlayback` or `ClearPlayback`.
    PausePlayback,
    /// Feed again, from this place on, or from where feeding stopped if that is earlier.
    ResumePlayback {
        /// Which answer.
        answer: AnswerId,
        /// Which chunk.
        chunk: u32,
        /// From here within it, ms.
        from_ms: u64,
    },
    /// Drop everything not yet played, here and at the carrier. No chunk played before it comes again.
    ClearPlayback,
    /// Run a tool: send its request once. The driver tells `ToolReturned`, within the tool's time. What was
    /// sent runs on whatever happens to the call (R10).
    RunTool {
        /// Its number, from 1.
        run: u32,
        /// Which tool.
        tool: String,
        /// Of the model, checked.
        arguments: Map<String, Value>,
        /// What earlier results told (R109).
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        context: Map<String, Value>,
    },
    /// Hand the caller over (R113). The driver may give the media socket up for it (`MediaLost`) and tells
    /// `TransferChanged`.
    StartTransfer {
        /// How long the other phone may ring: its outcome must come within the transfer's limit.
        ring_s: u64,
        /// Which tool.
        tool: String,
        /// Of the model, checked.
        arguments: Map<String, Value>,
        /// What whoever is called hears first (R115); `None` = nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offer: Option<Offer>,
    },
    /// End the call: hang up at the carrier, close the socket. Said up to three times. The driver answers with `MediaStop`, or
    /// the machine repeats itself (R8). A caller who was transferred stays connected at the carrier.
    HangUp {
        /// Why.
        reason: EndReason,
    },
    /// A machine answered: for the record (R159).
    AnsweredByMachine,
    /// The agent failed this caller for good; text for `error_message`.
    Fault {
        /// `<provider> <role>: <cause>`.
        message: String,
    },
    /// A line for the raw log (R189). For synthesizer and llm requests and responses the driver adds
    /// provider and model.
    Log(Entry),
    /// A figure.
    Metric(Metric),
}

/// What an utterance is; decides who may cut it and where it is kept (table of runtime.md §0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    Welcome,
    Answer,
    Route,
    PreCall,
    Filler,
    OnlineCheck,
    Recovery,
    Goodbye,
}

/// Lines that are worth rendering beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Clip {
    Welcome,
    Route,
    PreCall,
    Filler,
    OneMoment,
    OnlineCheck,
    Recovery,
    Goodbye,
    Apology,
}

/// What a judge decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum JudgeKind {
    HangUp,
    Voicemail,
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One message to the model, in the order and shape of chat completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` on an assistant message that only calls tools.
    pub content: Option<String>,
    /// Calls of an assistant message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A tool offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: serde_json::Value,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None.
    None,
    /// The one of this name.
    Forced(String),
}

/// Figures of a call. Times in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The caller cut the agent.
    UserInterruptedAgent,
    /// The caller spoke on before the answer was heard (R38).
    AgentInterruptedUser,
    /// Paused for a sound that was no interruption (R51).
    FalseInterruption,
    /// A mark did not come (R73).
    MarkMissing,
    /// The synthesizer was late in the middle of an answer (R76).
    TtsUnderrun,
    /// Voice without text (R35).
    UntranscribedSpeech,
    /// News of an older answer was dropped (R87).
    Stale,
    /// The turn ended as expected: this answer was asked for ahead (R41).
    EagerConfirmed {
        /// Which answer.
        answer: AnswerId,
    },
    /// An answer was asked for in vain (R41).
    EagerDropped,
    /// No caller audio though the socket lives (R200).
    MediaFrozen,
    /// The lead of this call grew (R69).
    LeadGrew {
        /// New lead, ms.
        ms: u64,
    },
    /// R96: one answered turn, split. Absent parts did not happen.
    Turn {
        /// Which turn.
        turn: TurnId,
        /// Caller's last new text or silence edge → turn end, ms.
        stt_final_ms: u64,
        /// Turn end → routing decision.
        route_ms: Option<u64>,
        /// Turn end → first token.
        llm_first_token_ms: Option<u64>,
        /// Turn end → model done.
        llm_total_ms: Option<u64>,
        /// First `Say` → first audio.
        tts_first_audio_ms: Option<u64>,
        /// Audio ready → allowed to play (R37).
        hold_ms: u64,
        /// Turn end → first chunk's `Play`.
        turn_to_play_ms: u64,
        /// The turn was answered by a route.
        routed: bool,
    },
}
