//! The crate's one error type.

use std::{io, path::PathBuf};

/// A model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there; says what to do.
    #[error("local model {model} is missing (last looked for {path:?}): {mend}")]
    Missing {
        /// Which model.
        model: String,
        /// Where it was looked for last.
        path: PathBuf,
        /// What brings it here.
        mend: String,
    },
    /// No model of this name, or no such file in it.
    #[error("there is no local model {0}: `bolo models list` names them all")]
    Unknown(String),
    /// The file is not what it should be.
    #[error(
        "{path:?} of local model {model} is damaged (SHA-256 differs): delete it and try again"
    )]
    Damaged {
        /// Which model.
        model: String,
        /// Which file.
        path: PathBuf,
    },
    /// Reading, unpacking or writing failed.
    #[error("{path:?} of a local model: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Fetching failed.
    #[error("local model {model} could not be fetched: {cause}")]
    Pull {
        /// Which model.
        model: String,
        /// In words, with the end of what the fetching program said.
        cause: String,
    },
}
