//! Wire-exact fakes at the internet's edge: carriers, vendors, scripted callers with real audio, and a
//! load generator. Used by `bolo demo`, `bolo simulate` and the tests.
//!
//! | Want | Take |
//! |---|---|
//! | a carrier that dials, rings, answers and streams | [`carrier::FakeCarrier`] |
//! | a caller who speaks, listens, barges in | [`caller::CallerScript`], or live: [`caller::CallHandle`] |
//! | a language model | [`llm::FakeLlm`] |
//! | a transcriber, a synthesizer | [`deepgram::FakeDeepgram`], [`elevenlabs::FakeElevenlabs`] |
//! | other synthesizers | [`voices`] |
//! | other transcribers | [`ears`] |
//! | figures under load | [`load`] |
//!
//! Every fake listens on `127.0.0.1` (port 0 unless given), owns its tasks through its handle and
//! stops when the handle is dropped.
//!
//! **Invariant:** depends on no crate of ours and spells every wire message again: shared structs would
//! let both ends be wrong together.

pub mod assembly;
pub mod asterisk;
pub mod caller;
pub mod carrier;
pub mod clips;
mod coming;
pub mod deepgram;
mod ear;
pub mod ears;
pub mod elevenlabs;
mod error;
pub mod exotel;
pub mod g711;
pub mod hearing;
mod http;
mod jitter;
mod lag;
pub mod llm;
pub mod load;
mod network;
mod outage;
pub mod plivo;
pub mod relay;
mod server;
mod ticker;
pub mod tone;
pub mod twilio;
mod vendor;
pub mod vobiz;
pub mod voices;
pub mod wav;
mod xml;

pub use error::Error;
pub use jitter::Jitter;
pub use outage::Outage;
pub use vendor::{Begun, FakeVendor, Observer};
