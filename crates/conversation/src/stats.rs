//! Counts kept for the record of a call (R64).

use serde::{Deserialize, Serialize};

/// Interruptions and speaking times of a call. Times in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The caller cut the agent off.
    pub user_interrupted_agent_count: u32,
    /// The caller spoke on after the agent had begun to answer, before anything was heard (R38).
    pub agent_interrupted_user_count: u32,
    /// A caller who had cut the agent off was answered.
    pub barge_in_recovery_count: u32,
    /// The agent paused for a sound that was no interruption (R51).
    pub false_interruption_count: u32,
    /// Turns of the caller.
    pub user_turns: u32,
    /// Time the agent was heard.
    pub agent_speaking_ms: u64,
    /// Time the caller made a speech-like sound.
    pub user_speaking_ms: u64,
    /// The longest utterance of the agent, as heard.
    pub longest_monologue_ms: u64,
}
