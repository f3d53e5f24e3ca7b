//! The pools, and the one error of this crate.

/// What a caller of the store can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row changed meanwhile or exists already: read again.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// No such row in this account.
    #[error("not found")]
    NotFound,
    /// The status does not allow it.
    #[error(transparent)]
    Illegal(#[from] bolo_execution::Illegal),
    /// The database or the object store failed: try later.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored can't be read: a fault of ours.
    #[error("stored data is unreadable: {0}")]
    Corrupt(String),
}
