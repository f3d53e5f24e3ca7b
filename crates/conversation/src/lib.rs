//! The call machine, without I/O: facts in ([`Input`]), decisions out ([`Output`]), told the time
//! ([`At`]), never reading it. Turn-taking, barge-in, what was heard, silence and hang-up live here
//! and nowhere else. Rules are those of runtime.md; tests cite their numbers.
//!
//! **Invariant:** no tokio, no clock, no socket, no randomness, no `HashMap` iteration; audio bytes
//! never enter. The same script and inputs give the same outputs, byte for byte.
//!
//! Where to look: `machine` (the dispatch), `listen` (what the caller does), `commit` (his turns),
//! `answer` (the model), `speak` (the agent's voice), `queue` (what is heard when), `interrupt` (barge-in),
//! `tools` and `transfer`, `guess` (answers made ahead), `silence`, `ending`, `faults`, `media`, `keypad`; the
//! rest are parts that know no call.

mod answer;
mod clean;
mod commit;
mod ending;
mod faults;
mod guess;
mod history;
mod input;
mod interrupt;
mod journal;
mod keypad;
mod listen;
mod machine;
mod media;
mod output;
mod phrases;
mod pieces;
mod playout;
mod prompt;
mod queue;
mod rules;
mod script;
mod silence;
mod speak;
mod state;
mod stats;
mod timers;
mod tool_lines;
mod tool_script;
mod tools;
mod transfer;
mod turn;
mod utterance;
mod voicemail;
mod words;

#[cfg(test)]
mod tests;

pub use input::{
    AnswerId, At, Fault, FaultKind, Finish, Input, TokenUse, ToolCall, ToolOutcome,
    TransferOutcome, TurnEndWhy, TurnId, Word,
};
pub use machine::Conversation;
pub use output::{Clip, JudgeKind, Kind, Message, Metric, Output, Role, Tool, ToolChoice};
pub use phrases::{Lines, Phrases};
pub use rules::{FirstChunk, Rules};
pub use script::{CallFacts, Ending, Names, OnlineCheck, RouteScript, Script, apology};
pub use state::End;
pub use stats::Stats;
pub use tool_script::ToolScript;
pub use voicemail::VoicemailScript;
