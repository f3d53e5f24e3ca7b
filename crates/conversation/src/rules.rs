//! `runtime.*` of the server's configuration, with the defaults of runtime.md §17. An agent may
//! override any of them under `task_config.bolo`.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::phrases::{self, Lines, Phrases};

/// Settings of the machine. Times in ms unless the name ends in `_s`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Messages sent to the model at most (R85). Default 100.
    pub history_messages: usize,
    /// Interrupt phrases, fillers, backchannel and farewells by language code (R47, R48). The lists of
    /// `en` count in every language. Shared by all calls that follow them.
    pub phrases: Arc<BTreeMap<String, Phrases>>,
    /// Lines the agent says when the model can't, by language code (R97, R192). `en` is the fallback.
    pub lines: Arc<BTreeMap<String, Lines>>,
    /// Continuous voice over the agent that pauses it (R49). Default 400.
    pub pause_ms: u64,
    /// Pause and wait when a sound may be no interruption (R49). Default true.
    pub resume_false_interruption: bool,
    /// Silence after which a paused agent goes on (R51). Default 1000.
    pub false_interruption_ms: u64,
    /// The longest pause (R51). Default 2500.
    pub pause_max_ms: u64,
    /// How long words spoken over the agent are remembered (R45, R53). Default 1500.
    pub overlap_ms: u64,
    /// How long a voice without text holds back an answer (R40). Default 1500.
    pub gate_release_ms: u64,
    /// No new text for this long ends a turn while the caller is silent (R29). Default 1200.
    pub stt_stall_ms: u64,
    /// The same while he makes a sound (R29). Default 5000.
    pub stt_stall_speaking_ms: u64,
    /// Asks to the model per caller turn before the hold is waited for (R42). Default 3.
    pub max_asks: u32,
    /// A turn longer than this is not answered before the hold is over (R42), s. Default 10.
    pub spec_max_s: u64,
    /// The caller's line returns the agent's own words within this time (R23). Default 800.
    pub echo_ms: u64,
    /// After the goodbye's estimated end the call is hung up without its mark (R9), s. Default 2.
    pub goodbye_grace_s: u64,
    /// Audio ahead of the playout clock in the carrier (R69). Default 400.
    pub lead_ms: u64,
    /// The same on web calls (R69). Default 200.
    pub web_lead_ms: u64,
    /// Latency of the line to the caller before the first mark came (R68). Default 250.
    pub link_ms: u64,
    /// A mark that is later than this after its chunk's end is missing (R73). Default 2000.
    pub mark_timeout_ms: u64,
    /// The first piece of an answer for the synthesizer (R88).
    pub first_chunk: FirstChunk,
    /// No sound of an answer for this long after the turn: a short acknowledgement, where the agent
    /// uses fillers (R97). Default 1200.
    pub filler_first_ms: u64,
    /// Nothing heard since the caller's own last sound for this long: "one moment", always (R97). Default 2200:
    /// nobody is left in silence for more than 2.5 s.
    pub filler_sure_ms: u64,
    /// "One moment" once more (R97). Default 10000.
    pub filler_repeat_ms: u64,
    /// The caller hears nothing of a tool that runs for this long: "one moment", where the tool has no line
    /// of its own (R102). Default 700.
    pub tool_line_ms: u64,
    /// Answers of one turn that may call tools (R110). Default 5.
    pub max_tool_rounds: u32,
    /// A transfer must be answered within this time (R114), s. Default 45.
    pub transfer_s: u64,
    /// Whoever is called by a warm transfer may take so long to press the key (R115), s. Default 20.
    pub warm_s: u64,
    /// What the model answers waits so long for the routes (R122). Default 60.
    pub route_budget_ms: u64,
    /// The judge must answer within this time, else no (R155), s. Default 3.
    pub judge_s: u64,
    /// Keys gather until none came for this long (R162), s. Default 4.
    pub dtmf_s: u64,
    /// The model's first token must come within this time (R194), thrice where the agent wants much thought, s.
    /// Default 5.
    pub llm_first_token_s: u64,
    /// The next one within this time (R194), s. Default 8.
    pub llm_between_s: u64,
    /// The whole answer within this time (R194), s. Default 30.
    pub llm_total_s: u64,
    /// A model silent for so long is asked a second time, the first to speak wins; 0: never.
    pub llm_hedge_ms: u64,
    /// Voice of the caller while the transcriber is gone that earns a line (R193). Default 1000.
    pub deaf_voice_ms: u64,
    /// A detached caller who comes back later than this hears a line (R199). Default 1500.
    pub fault_line_ms: u64,
    /// A lost media socket must come back within this time (R199), s. Default 5.
    pub media_reattach_s: u64,
    /// No caller audio for this long counts as a lost socket (R200), s. Default 10.
    pub media_frozen_s: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            history_messages: 100,
            phrases: Arc::new(phrases::built_in_phrases()),
            lines: Arc::new(phrases::built_in_lines()),
            pause_ms: 400,
            resume_false_interruption: true,
            false_interruption_ms: 1000,
            pause_max_ms: 2500,
            overlap_ms: 1500,
            gate_release_ms: 1500,
            stt_stall_ms: 1200,
            stt_stall_speaking_ms: 5000,
            max_asks: 3,
            spec_max_s: 10,
            echo_ms: 800,
            goodbye_grace_s: 2,
            lead_ms: 400,
            web_lead_ms: 200,
            link_ms: 250,
            mark_timeout_ms: 2000,
            first_chunk: FirstChunk::default(),
            filler_first_ms: 1200,
            filler_sure_ms: 2200,
            filler_repeat_ms: 10_000,
            tool_line_ms: 700,
            max_tool_rounds: 5,
            transfer_s: 45,
            warm_s: 20,
            route_budget_ms: 60,
            judge_s: 3,
            dtmf_s: 4,
            llm_first_token_s: 5,
            llm_between_s: 8,
            llm_total_s: 30,
            llm_hedge_ms: 0,
            deaf_voice_ms: 1000,
            fault_line_ms: 1500,
            media_reattach_s: 5,
            media_frozen_s: 10,
        }
    }
}

/// When the first piece of an answer goes to the synthesizer: by the first that holds (R88).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstChunk {
    /// A clause ends and the piece has this many characters. Default 12.
    pub clause_chars: usize,
    /// A blank after this many characters. Default 40.
    pub blank_chars: usize,
    /// Time since the first token. Default 250.
    pub wait_ms: u64,
}

impl Default for FirstChunk {
    fn default() -> Self {
        Self {
            clause_chars: 12,
            blank_chars: 40,
            wait_ms: 250,
        }
    }
}

impl Rules {
    /// These rules with an agent's `task_config.bolo` over them; objects are merged, all else replaced.
    /// The error names the key and what is wrong with it.
    pub fn with(&self, overrides: &Map<String, Value>) -> Result<Self, String> {
        let mut rules = self.clone();
        for (key, value) in overrides {
            rules = rules
                .with_one(key, value)
                .map_err(|fault| format!("{key}: {fault}"))?;
        }
        Ok(rules)
    }

    /// As [`Rules::with`], but a key that doesn't fit is left out.
    pub(crate) fn with_what_fits(&self, overrides: &Map<String, Value>) -> Self {
        overrides.iter().fold(self.clone(), |rules, (key, value)| {
            rules.with_one(key, value).unwrap_or(rules)
        })
    }

    fn with_one(&self, key: &str, value: &Value) -> Result<Self, String> {
        let mut rules = serde_json::to_value(self).map_err(|fault| fault.to_string())?;
        let mut overlay = Map::new();
        overlay.insert(key.to_owned(), value.clone());
        merge(&mut rules, &Value::Object(overlay));
        serde_json::from_value(rules).map_err(|fault| fault.to_string())
    }
}

fn merge(into: &mut Value, over: &Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_agent_overrides_single_settings_and_parts_of_objects() {
        let rules = Rules::default()
            .with(&object(
                json!({"pause_ms": 600, "first_chunk": {"wait_ms": 100}}),
            ))
            .unwrap();
        assert_eq!(rules.pause_ms, 600);
        assert_eq!(
            rules.first_chunk,
            FirstChunk {
                wait_ms: 100,
                ..FirstChunk::default()
            }
        );
        assert_eq!(rules.phrases, Rules::default().phrases);
    }

    #[test]
    fn a_wrong_override_is_named_and_the_others_still_count() {
        let overrides = object(json!({"pause_ms": "soon", "echo_ms": 500, "unknown": 1}));
        let fault = Rules::default().with(&overrides).unwrap_err();
        assert!(fault.starts_with("pause_ms: "), "{fault}");
        let rules = Rules::default().with_what_fits(&overrides);
        assert_eq!((rules.pause_ms, rules.echo_ms), (400, 500));
    }

    #[test]
    fn the_configuration_file_may_name_a_few_settings_only() {
        let rules: Rules = serde_json::from_value(json!({"lead_ms": 300})).unwrap();
        assert_eq!(
            rules,
            Rules {
                lead_ms: 300,
                ..Rules::default()
            }
        );
        assert!(serde_json::from_value::<Rules>(json!({"lead": 300})).is_err());
    }
}
