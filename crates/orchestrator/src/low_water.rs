//! How much has to lie in a socket before its reader is woken, and how much its writer may leave there.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Shared by who reads and writes messages and by the stream below, which tells the kernel at its next read.
#[derive(Debug, Clone, Default)]
pub struct LowWater(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    unread: AtomicUsize,
    unsent: AtomicUsize,
}

impl LowWater {
    /// Bytes (`SO_RCVLOWAT`); the end of the stream is told whatever lies there. 0: whatever comes. Waking up for a
    /// frame costs more than anything that a call does with one of silence.
    pub fn unread(&self) -> usize {
        self.0.unread.load(Ordering::Relaxed)
    }

    /// Bytes that the kernel takes of us before the peer makes room for them (`TCP_NOTSENT_LOWAT`). 0: megabytes,
    /// as it does by itself.
    pub fn unsent(&self) -> usize {
        self.0.unsent.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unread(&self, bytes: usize) {
        self.0.unread.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_unsent(&self, bytes: usize) {
        self.0.unsent.store(bytes, Ordering::Relaxed);
    }
}
