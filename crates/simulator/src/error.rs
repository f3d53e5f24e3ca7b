//! Why a fake could not do what was asked.

use std::{io, net::SocketAddr, path::PathBuf};

/// What went wrong in a fake or a caller's script.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours. Choose another.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A caller's line cannot be spoken: mend the script.
    #[error("{field}: {message}")]
    Script {
        /// Path of the field, such as `steps[2].say.clip`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A sound file cannot be used.
    #[error("{path}: {message}", path = path.display())]
    Sound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The server under test did not answer as it should.
    #[error("{0}")]
    Peer(String),
    /// No HTTP client could be built (TLS settings of this machine).
    #[error("cannot build an HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// A file or process figure could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was being read or written.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
}
