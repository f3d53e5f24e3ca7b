//! The threads that write recordings. They alone wait for the disk: one that hangs costs recordings, and
//! no call, timer or socket.
//!
//! A call lays its audio on a [`Reel`], which gathers half a second before somebody takes it; a thread
//! that is stuck in one reel is replaced for the others, up to a few.

use std::{
    collections::VecDeque,
    mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bolo_audio::{Error, Format, Recorder};
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::Span;

/// Threads at most. One serves hundreds of calls while the disk is well.
const MOST: usize = 4;
/// Whoever is called waits this long for more reels: one walk for many calls.
const GATHER_FOR: Duration = Duration::from_millis(50);
/// Pieces that a reel gathers before it is taken, however short they are.
const GATHER: usize = 32;
/// Pieces that may wait for a slow disk: more than ten seconds of both sides.
const LONGEST: usize = 256;

/// All of a node's writers. They end, all written, when this is dropped.
pub(crate) struct Scribes {
    room: Arc<Room>,
}

struct Room {
    desk: Mutex<Desk>,
    called: Condvar,
    /// Pieces that a reel holds at most.
    longest: usize,
}

#[derive(Default)]
struct Desk {
    reels: VecDeque<Arc<Shared>>,
    threads: usize,
    idle: usize,
    /// Somebody was called and takes whatever lies here in a moment.
    is_called: bool,
    closed: bool,
}

/// Audio on its way to a recording; dropping it completes the file.
pub(crate) struct Reel {
    shared: Arc<Shared>,
    room: Arc<Room>,
}

/// Tells when a recording is complete, and whether it is whole.
pub(crate) type Kept = oneshot::Receiver<bool>;

/// The disk does not keep up with the call.
#[derive(Debug, thiserror::Error)]
#[error("the disk is too slow")]
pub(crate) struct TooSlow;

struct Shared {
    format: Format,
    /// The call's, for what a thread has to say.
    span: Span,
    tail: Mutex<Tail>,
    /// Held by the one thread that has the reel.
    head: Mutex<Head>,
}

/// What waits to be written.
#[derive(Default)]
struct Tail {
    pieces: Vec<Piece>,
    /// Nothing follows.
    ended: bool,
    /// Lies on the desk, or somebody has it.
    taken: bool,
}

enum Piece {
    Caller(u64, Vec<u8>),
    Agent(u64, Bytes),
    Cleared(u64),
}

struct Head {
    file: File,
    told: Option<oneshot::Sender<bool>>,
}

enum File {
    /// To be made, or to be gone on with from this time on.
    Closed(PathBuf, Option<u64>),
    Open(Box<Recorder>),
    Broken,
}

impl Scribes {
    pub(crate) fn new() -> Self {
        Self::with_room_for(LONGEST)
    }

    /// Reels of so many pieces.
    pub(crate) fn with_room_for(longest: usize) -> Self {
        let room = Room {
            desk: Mutex::default(),
            called: Condvar::new(),
            longest,
        };
        Self {
            room: Arc::new(room),
        }
    }

    /// Begins a recording at `path`, or goes on with one that was cut off at `resume_at` ms.
    pub(crate) fn begin(
        &self,
        path: PathBuf,
        resume_at: Option<u64>,
        format: Format,
    ) -> (Reel, Kept) {
        let (told, kept) = oneshot::channel();
        let shared = Arc::new(Shared {
            format,
            span: Span::current(),
            tail: Mutex::default(),
            head: Mutex::new(Head {
                file: File::Closed(path, resume_at),
                told: Some(told),
            }),
        });
        let room = self.room.clone();
        // At once: after a crash there is a file to be found.
        room.take(&shared, &mut lock(&shared.tail));
        (Reel { shared, room }, kept)
    }
}

impl Drop for Scribes {
    fn drop(&mut self) {
        lock(&self.room.desk).closed = true;
        self.room.called.notify_all();
    }
}

impl Reel {
    /// A block of the caller, from `at` ms on.
    pub(crate) fn caller(&self, at: u64, block: Vec<u8>) -> Result<(), TooSlow> {
        self.lay(Piece::Caller(at, block), true)
    }

    /// Audio of the agent that plays from `at` ms on.
    pub(crate) fn agent(&self, at: u64, audio: Bytes) -> Result<(), TooSlow> {
        self.lay(Piece::Agent(at, audio), false)
    }

    /// What the agent was to say after `at` ms is not heard.
    pub(crate) fn cleared(&self, at: u64) -> Result<(), TooSlow> {
        self.lay(Piece::Cleared(at), false)
    }

    fn lay(&self, piece: Piece, is_worth_it: bool) -> Result<(), TooSlow> {
        let mut tail = lock(&self.shared.tail);
        if tail.pieces.len() >= self.room.longest {
            return Err(TooSlow);
        }
        tail.pieces.push(piece);
        if is_worth_it || tail.pieces.len() >= GATHER {
            self.room.take(&self.shared, &mut tail);
        }
        Ok(())
    }
}

impl Drop for Reel {
    fn drop(&mut self) {
        let mut tail = lock(&self.shared.tail);
        tail.ended = true;
        self.room.take(&self.shared, &mut tail);
    }
}

impl Room {
    /// Lays a reel on the desk, unless it lies there already, and calls somebody.
    fn take(self: &Arc<Self>, reel: &Arc<Shared>, tail: &mut Tail) {
        if mem::replace(&mut tail.taken, true) {
            return;
        }
        let mut desk = lock(&self.desk);
        desk.reels.push_back(reel.clone());
        if desk.is_called {
            return;
        }
        if desk.idle > 0 {
            desk.is_called = true;
            self.called.notify_one();
        } else if desk.threads < MOST {
            let room = self.clone();
            let hired = thread::Builder::new()
                .name("recordings".to_owned())
                .spawn(move || room.work());
            match hired {
                Ok(_) => desk.threads += 1,
                Err(error) => tracing::error!(%error, "no thread to write recordings"),
            }
        }
    }

    fn work(&self) {
        let _leaves = Leaves(self);
        while let Some(reel) = self.next() {
            // The order of the locks is tail, then desk.
            if reel.write() {
                lock(&self.desk).reels.push_back(reel);
            }
        }
    }

    fn next(&self) -> Option<Arc<Shared>> {
        let mut desk = lock(&self.desk);
        loop {
            if let Some(reel) = desk.reels.pop_front() {
                return Some(reel);
            }
            if desk.closed {
                return None;
            }
            desk.idle += 1;
            desk = (self.called.wait(desk)).unwrap_or_else(PoisonError::into_inner);
            if desk.is_called && !desk.closed {
                drop(desk);
                thread::sleep(GATHER_FOR);
                desk = lock(&self.desk);
            }
            desk.is_called = false;
            desk.idle -= 1;
        }
    }
}

/// Whoever leaves, in a panic too, makes room for another.
struct Leaves<'a>(&'a Room);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        lock(&self.0.desk).threads -= 1;
    }
}

impl Shared {
    /// Writes what waits. `true`: there is more meanwhile.
    fn write(&self) -> bool {
        let _call = self.span.enter();
        let mut head = lock(&self.head);
        let (pieces, ended) = {
            let mut tail = lock(&self.tail);
            (mem::take(&mut tail.pieces), tail.ended)
        };
        head.file.write(pieces, self.format);
        if ended {
            let whole = head.file.finish();
            if let Some(told) = head.told.take() {
                // Nobody may wait any more.
                let _ = told.send(whole);
            }
            return false;
        }
        let mut tail = lock(&self.tail);
        tail.taken = tail.ended || !tail.pieces.is_empty();
        tail.taken
    }
}

impl File {
    /// A file that fails is left as it is: a call without a recording is better than no call.
    fn write(&mut self, pieces: Vec<Piece>, format: Format) {
        if let Err(error) = self.try_write(pieces, format) {
            tracing::error!(%error, "the call goes on without a recording");
            *self = Self::Broken;
        }
    }

    fn try_write(&mut self, pieces: Vec<Piece>, format: Format) -> Result<(), Error> {
        if let Self::Closed(path, resume_at) = self {
            let path = mem::take(path);
            *self = Self::Open(Box::new(match *resume_at {
                Some(at) => Recorder::resume(path, at)?,
                None => Recorder::create(path)?,
            }));
        }
        let Self::Open(recorder) = self else {
            return Ok(());
        };
        for piece in pieces {
            match piece {
                Piece::Caller(at, block) => recorder.caller(at, &block, format)?,
                Piece::Agent(at, audio) => recorder.agent(at, &audio, format)?,
                Piece::Cleared(at) => recorder.agent_cleared(at),
            }
        }
        Ok(())
    }

    /// Completes the file; whether it is whole.
    fn finish(&mut self) -> bool {
        let Self::Open(recorder) = mem::replace(self, Self::Broken) else {
            return false;
        };
        let finished = recorder.finish();
        finished
            .inspect_err(|error| tracing::error!(%error, "the recording could not be completed"))
            .is_ok()
    }
}

/// What a thread that panicked left is still consistent: each lock is held for moves only.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FORMAT: Format = Format::Mulaw8k;

    #[tokio::test]
    async fn what_is_laid_on_a_reel_lies_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let scribes = Scribes::new();
        let (reel, kept) = scribes.begin(path.clone(), None, FORMAT);
        for at in [0, 500, 1000] {
            reel.agent(at, Bytes::from(vec![0x10; 800])).unwrap();
            reel.cleared(at + 50).unwrap();
            reel.caller(at, vec![0x20; 4000]).unwrap();
        }
        drop(reel);
        assert!(kept.await.unwrap());
        let file = std::fs::read(&path).unwrap();
        let samples = file[44..].as_chunks().0.iter();
        let samples: Vec<i16> = samples.copied().map(i16::from_le_bytes).collect();
        let sounds = |side: usize| {
            let side = samples.iter().skip(side).step_by(2);
            side.filter(|sample| **sample != 0).count()
        };
        assert_eq!((sounds(0), sounds(1)), (3 * 4000, 3 * 400));
    }

    #[tokio::test]
    async fn a_disk_that_is_full_costs_the_recording() {
        let scribes = Scribes::new();
        let (reel, kept) = scribes.begin("/dev/full".into(), None, FORMAT);
        reel.caller(0, vec![0x20; 4000]).unwrap();
        drop(reel);
        assert!(!kept.await.unwrap());
    }

    #[test]
    fn a_reel_does_not_grow_for_ever() {
        let scribes = Scribes::with_room_for(100);
        let (reel, kept) = scribes.begin("/dev/null".into(), None, FORMAT);
        // As if somebody were stuck in it.
        let stuck = lock(&reel.shared.head);
        let laid = (0..1000).take_while(|at| reel.cleared(*at).is_ok());
        // What somebody took before he got stuck counts no more.
        assert!((100..=200).contains(&laid.count()));
        let (other, other_kept) = scribes.begin("/dev/null".into(), None, FORMAT);
        drop(other);
        assert!(
            other_kept.blocking_recv().unwrap(),
            "somebody else writes it"
        );
        drop(stuck);
        drop(reel);
        assert!(kept.blocking_recv().unwrap());
    }
}
