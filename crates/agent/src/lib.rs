//! The document a customer sends: parsed once into types that can't be wrong, its submitted form
//! kept verbatim. Every fault of a document is reported at once, by its path. Source of the shape:
//! agent-config.md; of the defaults: its **D** column.
//!
//! **Invariant:** knows no vendor's wire and no database.

mod diff;
mod disposition;
mod document;
mod extraction;
mod fallbacks;
mod fault;
mod graph;
mod ingest;
mod ivr;
mod kinds;
mod knowledge;
mod llm;
mod outline;
mod patch;
mod place;
mod post_call;
mod sip_trunk;
mod speech;
mod task;
mod task_config;
mod template;
mod text;
mod tool_params;
mod tools;
mod variables;

pub use diff::{Difference, diff};
pub use disposition::{Disposition, ObjectiveOption, Subjective};
pub use document::{Agent, Guardrails, WEBHOOK_STATUSES};
pub use extraction::ExtractionTemplate;
pub use fallbacks::Fallbacks;
pub use fault::{Fault, Faults};
pub use ingest::IngestSource;
pub use ivr::{Ivr, IvrKind, IvrStep, Keyed};
pub use knowledge::Knowledge;
pub use llm::{LlmAgent, LlmConfig, Route, Routes};
pub use outline::Outline;
pub use patch::patch;
pub use post_call::PostCallTask;
pub use sip_trunk::SipTrunk;
pub use speech::{Detector, Flux, Synthesizer, SynthesizerVendor, Transcriber, TranscriberVendor};
pub use task::{ConversationTask, EndCallTool, Room, TaskConfig, Voicemail};
pub use template::{JsonTemplate, NotJson, UrlTemplate, Values, percent_encoded, plain};
pub use text::LocalText;
pub use tools::{
    Answers, Controller, Method, Request, SUMMARY, Secret, Tool, ToolAction, ToolWebhook, Transfer,
};
pub use variables::{Variables, fill};

#[cfg(test)]
mod tests;
