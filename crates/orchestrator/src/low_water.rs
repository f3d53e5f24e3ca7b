//! How much has to lie in a socket before its reader is woken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Shared by who reads messages and by the stream below, which tells the kernel at its next read (`SO_RCVLOWAT`).
/// Waking up for a frame costs more than anything that a call does with one of silence.
#[derive(Debug, Clone, Default)]
pub struct LowWater(Arc<AtomicUsize>);

impl LowWater {
    /// Bytes; the end of the stream is told whatever lies there. 0: whatever comes.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}
