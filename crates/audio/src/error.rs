//! The crate's one error type.

use std::{io, path::PathBuf};

/// Audio could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sample rate no one speaks; the format must be mended.
    #[error("sample rate {0} Hz is outside 4000 to 192000")]
    Rate(u32),
    /// The recording's file can't be written or read. The call may go on without it.
    #[error("recording {path:?}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file to resume is not one of our recordings.
    #[error("recording {0:?} is no 8 kHz stereo WAV of 16 bits")]
    NotOurs(PathBuf),
    /// A time beyond what one file holds (36 h).
    #[error("recording time {0} ms is beyond 36 hours")]
    TooLong(u64),
}
