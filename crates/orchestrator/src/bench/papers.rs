//! Logs and records in memory, a row and an agent.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bolo_conversation::Input;
use bolo_execution::{AccountId, AgentId, Direction, Entry, ExecutionId, Record};
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    desk::Records,
    journal::{Journal, Unwritten},
};

/// Both logs, in memory.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) events: Mutex<Vec<String>>,
    pub(crate) entries: Mutex<Vec<Entry>>,
    /// Takes nothing any more.
    pub(crate) full: AtomicBool,
}

impl Notebook {
    /// Inputs of the event log that fit.
    pub(crate) fn inputs(&self, fits: impl Fn(&Input) -> bool) -> Vec<(u64, Input)> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let input: Input = serde_json::from_value(line.get("input")?.clone()).unwrap();
                Some((line["at"].as_u64().unwrap(), input))
            })
            .filter(|(_, input)| fits(input))
            .collect()
    }
}

impl Journal for Arc<Notebook> {
    fn event(&self, line: String) -> Result<(), Unwritten> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Unwritten::Failed("full".into()));
        }
        self.events.lock().unwrap().push(line);
        Ok(())
    }
    fn entry(&self, entry: Entry) -> Result<(), Unwritten> {
        self.entries.lock().unwrap().push(entry);
        Ok(())
    }
    fn hurry(&self) {}
}

/// A record in memory: what was asked of it, in order.
#[derive(Default)]
pub(crate) struct Paper {
    pub(crate) lines: Mutex<Vec<String>>,
    /// Another node has the call.
    pub(crate) taken_over: AtomicBool,
}

impl Paper {
    fn write(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Records for Paper {
    fn answered(&self) -> BoxFuture<'_, bool> {
        self.write("answered".into());
        std::future::ready(true).boxed()
    }
    fn note(&self, transcript: String) -> BoxFuture<'_, ()> {
        self.write(format!("note {transcript}"));
        std::future::ready(()).boxed()
    }
    fn transfer(&self, leg: crate::desk::Leg) -> BoxFuture<'_, bool> {
        self.write(format!("transfer {}", leg.to.as_str()));
        std::future::ready(true).boxed()
    }
    fn hand_over(&self) -> BoxFuture<'_, bool> {
        std::future::ready(true).boxed()
    }

    fn ending(&self) -> BoxFuture<'_, ()> {
        self.write("ending".into());
        std::future::ready(()).boxed()
    }
    fn hang_up(&self) -> BoxFuture<'_, bool> {
        self.write("hang up".into());
        std::future::ready(true).boxed()
    }
    fn is_ours(&self) -> BoxFuture<'_, bool> {
        std::future::ready(!self.taken_over.load(Ordering::Relaxed)).boxed()
    }
}

/// A call's row.
pub(crate) fn record(direction: Direction) -> Record {
    let value = serde_json::json!({
        "id": ExecutionId::new(), "account": AccountId::new(), "agent": AgentId::new(), "agent_version": 1,
        "batch": null, "status": "in-progress", "direction": direction, "provider": "twilio",
        "to": "+14155550100", "from": "+14155550199", "user_data": {"name": "Ada"}, "voice_id": null,
        "retry_config": null, "bypass_guardrails": false, "created_at": 0, "updated_at": 0, "due_at": 0,
        "attempt": 1, "carrier_call_id": "CA1", "initiated_at": 0, "ringing_at": null, "answered_at": null,
        "ended_at": null, "hangup": null, "error_message": null, "transcript": null,
        "answered_by_voice_mail": false, "usage": null, "cost": null, "latency": null, "has_recording": false, "history": [],
        "post_call_step": null, "extraction_webhook_status": null,
        "summary": null, "extracted": null, "transfer": null
    });
    serde_json::from_value(value).unwrap()
}

/// An agent's document; `config` is laid over its `task_config`.
pub(crate) fn agent(welcome: &str, config: serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "agent_config": {
            "agent_name": "Alfred", "agent_welcome_message": welcome,
            "tasks": [{
                "task_type": "conversation",
                "toolchain": {"execution": "parallel", "pipelines": [["transcriber", "llm", "synthesizer"]]},
                "tools_config": {
                    "llm_agent": {"agent_type": "simple_llm_agent", "agent_flow_type": "streaming",
                        "llm_config": {"provider": "openai", "model": "gpt-4.1-mini"}},
                    "synthesizer": {"provider": "local", "provider_config": {"voice": "en-US", "language": "en"}},
                    "transcriber": {"provider": "local", "language": "en"},
                    "input": {"provider": "twilio", "format": "wav"}, "output": {"provider": "twilio", "format": "wav"}
                },
                "task_config": config
            }]
        },
        "agent_prompts": {"task_1": {"system_prompt": "You are Alfred."}}
    })
}
