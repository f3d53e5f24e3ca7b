//! Transcriber and synthesizer of an agent. Source: agent-config.md §4, §5.

mod local;
mod synthesizer;
mod transcriber;

pub use synthesizer::{Synthesizer, SynthesizerVendor};
pub use transcriber::{Detector, Flux, Transcriber, TranscriberVendor};
