//! Bytes and samples: G.711, resampling, levels and voice activity, mixing, stereo recording.
//!
//! **Invariant:** no sockets, no clock, no crate of ours.

mod format;
pub use format::Format;
