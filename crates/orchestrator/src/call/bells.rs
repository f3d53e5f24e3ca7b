//! Which of a call's sources have something new. One task waits for all of them, and a frame of the caller
//! comes fifty times a second: only those that rang are looked into. The order among them stays the call's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Whom a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Stop,
    News,
    Commands,
    Ears,
    Mouth,
    Sockets,
    Socket,
    Timer,
}

impl Source {
    const ALL: [Self; 8] = [
        Self::Stop,
        Self::News,
        Self::Commands,
        Self::Ears,
        Self::Mouth,
        Self::Sockets,
        Self::Socket,
        Self::Timer,
    ];

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// See the module.
pub(crate) struct Bells {
    board: Arc<Board>,
    wakers: [Waker; Source::ALL.len()],
    /// Those that rang and are not yet known to have nothing more.
    open: u32,
}

#[derive(Default)]
struct Board {
    rang: AtomicU32,
    call: AtomicWaker,
}

/// What a source is given to wake.
struct Bell {
    board: Arc<Board>,
    bit: u32,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.board.rang.fetch_or(self.bit, Ordering::Release);
        self.board.call.wake();
    }
}

impl Bells {
    /// All of them are to be looked into once.
    pub(crate) fn new() -> Self {
        let board = Arc::new(Board::default());
        let bell = |source: Source| {
            let board = board.clone();
            let bit = source.bit();
            Waker::from(Arc::new(Bell { board, bit }))
        };
        Self {
            wakers: Source::ALL.map(bell),
            board,
            open: u32::MAX,
        }
    }

    /// Notes who rang; whoever rings from here on wakes the call.
    pub(crate) fn listen(&mut self, cx: &Context<'_>) {
        self.board.call.register(cx.waker());
        self.open |= self.board.rang.swap(0, Ordering::Acquire);
    }

    /// Whether a source is to be looked into.
    pub(crate) fn is_open(&self, source: Source) -> bool {
        self.open & source.bit() != 0
    }

    /// To be looked into, though it did not ring.
    pub(crate) fn open(&mut self, source: Source) {
        self.open |= source.bit();
    }

    /// It had nothing more, and rings when it has.
    pub(crate) fn shut(&mut self, source: Source) {
        self.open &= !source.bit();
    }

    /// What the source is to wake.
    pub(crate) fn waker(&self, source: Source) -> Waker {
        self.wakers[source as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    #[test]
    fn a_source_is_open_from_its_ring_until_it_has_nothing_more() {
        let mut bells = Bells::new();
        let call = noop_waker();
        let cx = Context::from_waker(&call);
        for source in Source::ALL {
            assert!(bells.is_open(source), "at first");
            bells.shut(source);
        }
        bells.listen(&cx);
        assert!(Source::ALL.iter().all(|source| !bells.is_open(*source)));
        // It rings while it is looked into: what it has is not missed.
        bells.waker(Source::Ears).wake();
        bells.shut(Source::Ears);
        bells.listen(&cx);
        let open = Source::ALL.map(|source| (source, bells.is_open(source)));
        assert!(
            open.iter()
                .all(|(source, open)| *open == (*source == Source::Ears))
        );
    }
}
