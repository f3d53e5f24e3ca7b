//! The bounded queue between the calls of a process and the writer of their logs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bolo_execution::ExecutionId;
use tokio::sync::{Notify, mpsc, oneshot};

use super::callbacks::Told;
use crate::Error;

/// Lines that may wait: some seconds of a full node while the database stalls.
const LINES: usize = 32_768;
/// Bytes that may wait.
const BYTES: usize = 64 << 20;
const FLUSH: Duration = Duration::from_secs(10);

/// A call that writes, or of which somebody else does.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: ExecutionId,
    /// Another node owns the call: what we write is not wanted.
    refused: AtomicBool,
}

impl Call {
    pub(crate) fn new(id: ExecutionId) -> Self {
        Self {
            id,
            refused: AtomicBool::new(false),
        }
    }

    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.refused.load(Ordering::Acquire) {
            return Err(Error::TakenOver);
        }
        Ok(())
    }
}

pub(crate) enum Line {
    Event(String),
    Entry(String),
    /// The transcript so far, and when.
    Transcript(String, i64),
    /// An entry by somebody else, whoever owns the call.
    Outside(Told),
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Event(text) | Self::Entry(text) | Self::Transcript(text, _) => text.len(),
            Self::Outside(told) => told.line.len(),
        }
    }
}

pub(crate) enum Message {
    Line(Arc<Call>, Line),
    /// Answered when everything before it is committed.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug, Clone)]
pub(crate) struct Queue {
    messages: mpsc::Sender<Message>,
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
    hurry: Arc<Notify>,
}

/// The writer's end.
pub(crate) struct Waiting {
    pub(crate) messages: mpsc::Receiver<Message>,
    /// Somebody waits for a commit, or the queue is half full: gather no longer than the pause between two commits.
    /// Lines wake nobody.
    pub(crate) hurry: Arc<Notify>,
    bytes: Arc<AtomicUsize>,
}

impl Waiting {
    /// Lines of so many bytes are committed or lost: there is room again.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

pub(crate) fn queue() -> (Queue, Waiting) {
    bounded(LINES, BYTES)
}

fn bounded(lines: usize, most_bytes: usize) -> (Queue, Waiting) {
    let (sender, receiver) = mpsc::channel(lines);
    let (bytes, hurry) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let waiting = Waiting {
        messages: receiver,
        hurry: hurry.clone(),
        bytes: bytes.clone(),
    };
    let queue = Queue {
        messages: sender,
        bytes,
        most_bytes,
        hurry,
    };
    (queue, waiting)
}

impl Queue {
    /// Returns when nobody takes lines any more.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }

    pub(crate) fn push(&self, call: &Arc<Call>, line: Line) -> Result<(), Error> {
        call.check()?;
        let size = line.len();
        let full = || Error::Unavailable("the call log does not keep up with the calls".into());
        let waiting = self.bytes.fetch_add(size, Ordering::AcqRel) + size;
        if waiting > self.most_bytes {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            return Err(full());
        }
        let sent = self.messages.try_send(Message::Line(call.clone(), line));
        sent.map_err(|error| {
            self.bytes.fetch_sub(size, Ordering::AcqRel);
            match error {
                mpsc::error::TrySendError::Full(_) => full(),
                mpsc::error::TrySendError::Closed(_) => closed(),
            }
        })?;
        let half_full = self.messages.capacity() < self.messages.max_capacity() / 2;
        if half_full || waiting > self.most_bytes / 2 {
            self.hurry.notify_one();
        }
        Ok(())
    }

    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(crate) async fn flush(&self, call: &Call) -> Result<(), Error> {
        self.written().await?;
        call.check()
    }

    /// All that was pushed before is committed.
    pub(crate) async fn written(&self) -> Result<(), Error> {
        let (done, committed) = oneshot::channel();
        let flushed = async {
            self.messages
                .send(Message::Flush(done))
                .await
                .map_err(|_| closed())?;
            self.hurry.notify_one();
            committed.await.map_err(|_| closed())
        };
        tokio::time::timeout(FLUSH, flushed)
            .await
            .map_err(|_| Error::Unavailable("the call log was not committed in time".into()))?
    }
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing_and_takes_again() {
        let call = Arc::new(Call::new(ExecutionId::new()));
        let push = |queue: &Queue, text: &str| queue.push(&call, Line::Event(text.into()));

        let (queue, mut waiting) = bounded(2, 1000);
        push(&queue, "a").unwrap();
        push(&queue, "b").unwrap();
        assert!(
            matches!(push(&queue, "c"), Err(Error::Unavailable(_))),
            "bounded in lines"
        );
        waiting.messages.recv().await.unwrap();
        push(&queue, "d").unwrap();

        let (queue, mut waiting) = bounded(100, 10);
        push(&queue, "12345678").unwrap();
        assert!(
            matches!(push(&queue, "123"), Err(Error::Unavailable(_))),
            "bounded in bytes"
        );
        push(&queue, "12").unwrap();
        waiting.messages.recv().await.unwrap();
        assert!(push(&queue, "1").is_err(), "taken is not yet written");
        waiting.release(8);
        push(&queue, "12345678").unwrap();
    }
}
