//! Bytes and samples: G.711, resampling, voice activity, stereo recording.
//!
//! **Invariant:** no sockets, no clock, no crate of ours. Time is counted in samples or given.

mod convert;
mod error;
mod format;
pub mod g711;
mod recorder;
mod resampler;
mod vad;
mod wav;
mod wav_file;

pub use convert::{Converter, pcm_bytes, samples};
pub use error::Error;
pub use format::Format;
pub use recorder::{Recorder, Recording};
pub use resampler::Resampler;
pub use vad::{Edge, Vad, VadSettings};
pub use wav_file::wav_file;
