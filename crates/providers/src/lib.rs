//! Speech and language vendors behind four small traits: [`Transcriber`], [`Llm`], [`Synthesizer`],
//! [`Embedder`]; one module a vendor. `local` needs no key. Source: wire-providers.md.
//!
//! **Invariant:** decides nothing about a call; a dropped session or stream ends the work here and at
//! the vendor. Wire names of a vendor stop here.

mod alarm;
mod dns;
pub mod embedder;
mod error;
pub mod http;
pub mod llm;
pub mod local;
mod proxy;
mod public_net;
mod session;
mod socket;
pub mod synthesizer;
#[cfg(test)]
mod testing;
pub mod transcriber;
mod vendors;
mod voices;

/// Named by every spec of speech.
pub use bolo_audio::Format;
pub use embedder::Embedder;
pub use error::{Error, ErrorKind};
pub use llm::{Ask, AskMessage, AskTool, Called, Delta, Llm, Sent, ToolChoice};
pub use public_net::{NotPublic, PublicClient, Reach, is_public};
pub use session::Session;
pub use synthesizer::{Speak, Spoken, Synthesizer, SynthesizerLimits, SynthesizerSpec};
pub use transcriber::{Hear, Heard, HeardEnd, Transcriber, TranscriberSpec};
pub use vendors::{Keys, VendorSettings, Vendors};
pub use voices::Voice;
