//! A connection to a speech vendor that mends itself: opened ahead, watched, opened again after a
//! fault with growing waits (R193, R195).

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bolo_conversation::Fault;
use bolo_providers::{Error, ErrorKind, Session};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{sync::mpsc::error::TrySendError, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::faults::fault;

/// A try to connect may take this long (wire-providers.md §10.4).
const CONNECT: Duration = Duration::from_secs(3);

/// Makes the connections of a line. A function that makes one is a line of one vendor.
pub(crate) trait Open<I, O>: Send + Sync {
    /// Makes one.
    fn open(&self) -> BoxFuture<'static, Result<Session<I, O>, Error>>;

    /// The vendor has let the last one in and now refuses it; whether the next will be another vendor's.
    fn refused(&self, _error: &Error) -> bool {
        false
    }
}

impl<I, O, F> Open<I, O> for F
where
    F: Fn() -> BoxFuture<'static, Result<Session<I, O>, Error>> + Send + Sync,
{
    fn open(&self) -> BoxFuture<'static, Result<Session<I, O>, Error>> {
        self()
    }
}

/// See [`Open`].
pub(crate) type Opener<I, O> = Arc<dyn Open<I, O>>;

/// A connection on its way.
pub(crate) type Opening<I, O> = AbortOnDropHandle<Result<(Session<I, O>, Duration), Error>>;

/// What a line tells.
#[derive(Debug)]
pub(crate) enum LineNews<O> {
    /// The vendor said something.
    Out(O),
    /// Connected: for the first time, or again.
    Up,
    /// Not connected; tries go on.
    Down(Fault),
    /// Not connected, and no try is left. [`Line::revive`] starts anew.
    Lost(Fault),
    /// The vendor has answered everything after [`Line::finish`].
    Ended,
}

enum State<I, O> {
    Open(Session<I, O>),
    Opening(Opening<I, O>),
    Finishing(Session<I, O>),
    Shut,
}

/// See the module.
pub(crate) struct Line<I, O> {
    role: &'static str,
    open: Opener<I, O>,
    waits: &'static [u64],
    state: State<I, O>,
    tries: usize,
    told_down: bool,
    /// Nobody has polled what it waits for now.
    is_unasked: bool,
    /// How long the first connection took.
    pub(crate) connect: Option<Duration>,
}

/// Starts connecting after `wait`.
pub(crate) fn open_after<I: Send + 'static, O: Send + 'static>(
    open: &Opener<I, O>,
    wait: Duration,
) -> Opening<I, O> {
    let open = open.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let begun = Instant::now();
        match tokio::time::timeout(CONNECT, open.open()).await {
            Ok(session) => session.map(|session| (session, begun.elapsed())),
            Err(_) => Err(Error {
                kind: ErrorKind::Timeout,
                vendor: "vendor",
                role: "connection",
                cause: format!("no answer within {} ms", CONNECT.as_millis()),
                retry_after: None,
            }),
        }
    }))
}

impl<I: Send + 'static, O: Send + 'static> Line<I, O> {
    /// A line that goes on with a connection already on its way. `waits` in ms before each try.
    pub(crate) fn new(
        role: &'static str,
        open: Opener<I, O>,
        waits: &'static [u64],
        first: Opening<I, O>,
    ) -> Self {
        Self {
            role,
            open,
            waits,
            state: State::Opening(first),
            tries: 0,
            told_down: false,
            is_unasked: true,
            connect: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it is to be polled though it woke nobody: it waits for something else than when it was polled.
    pub(crate) fn is_unasked(&self) -> bool {
        self.is_unasked
    }

    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.state, State::Shut)
    }

    /// Hands a message over, or gives it back: not connected, or the vendor is slow.
    pub(crate) fn try_send(&mut self, message: I) -> Result<(), I> {
        match &self.state {
            State::Open(session) => {
                session
                    .input
                    .try_send(message)
                    .map_err(|refused| match refused {
                        TrySendError::Full(message) | TrySendError::Closed(message) => message,
                    })
            }
            _ => Err(message),
        }
    }

    /// Tries again though all tries had failed.
    pub(crate) fn revive(&mut self) {
        if self.is_shut() {
            self.tries = 0;
            self.told_down = true;
            self.is_unasked = true;
            self.state = State::Opening(open_after(&self.open, Duration::ZERO));
        }
    }

    /// Drops the connection, which is believed dead, and opens another.
    pub(crate) fn reopen(&mut self) {
        metrics::counter!(crate::figures::VENDOR_DOWN, "role" => self.role).increment(1);
        self.tries = 0;
        self.told_down = true;
        self.is_unasked = true;
        self.state = State::Opening(open_after(&self.open, Duration::ZERO));
    }

    /// Gives up for good.
    pub(crate) fn shut(&mut self) {
        self.state = State::Shut;
    }

    /// No more input: the vendor may finish what it has. `false` when there is nothing to wait for.
    pub(crate) fn finish(&mut self, last: Option<I>) -> bool {
        match std::mem::replace(&mut self.state, State::Shut) {
            State::Open(session) => {
                if let Some(last) = last {
                    // A full channel means the vendor is far behind: closing the input says the same.
                    let _ = session.input.try_send(last);
                }
                self.state = State::Finishing(session);
                true
            }
            _ => false,
        }
    }

    /// The next news. Pending for ever once shut.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LineNews<O>> {
        self.is_unasked = false;
        loop {
            match &mut self.state {
                State::Open(session) => {
                    return Poll::Ready(match ready!(session.output.poll_recv(cx)) {
                        Some(Ok(out)) => LineNews::Out(out),
                        Some(Err(error)) => self.broke(error),
                        None => self.broke(dropped(self.role)),
                    });
                }
                State::Finishing(session) => {
                    return Poll::Ready(match ready!(session.output.poll_recv(cx)) {
                        Some(Ok(out)) => LineNews::Out(out),
                        Some(Err(_)) | None => {
                            self.state = State::Shut;
                            LineNews::Ended
                        }
                    });
                }
                State::Opening(opening) => {
                    let error = match ready!(opening.poll_unpin(cx)) {
                        Ok(Ok((session, took))) => {
                            self.connect.get_or_insert(took);
                            self.tries = 0;
                            self.told_down = false;
                            self.state = State::Open(session);
                            return Poll::Ready(LineNews::Up);
                        }
                        Ok(Err(error)) => error,
                        Err(_) => dropped(self.role),
                    };
                    self.tries += 1;
                    let Some(&wait) = self.waits.get(self.tries).filter(|_| !hopeless(error.kind))
                    else {
                        self.state = State::Shut;
                        return Poll::Ready(LineNews::Lost(fault(&error)));
                    };
                    self.state =
                        State::Opening(open_after(&self.open, Duration::from_millis(wait)));
                    if !std::mem::replace(&mut self.told_down, true) {
                        return Poll::Ready(LineNews::Down(fault(&error)));
                    }
                }
                State::Shut => return Poll::Pending,
            }
        }
    }

    fn broke(&mut self, error: Error) -> LineNews<O> {
        metrics::counter!(crate::figures::VENDOR_DOWN, "role" => self.role).increment(1);
        // Vendors of speech tell many a wrong key or used-up quota only after the connection stands.
        if hopeless(error.kind) && !self.open.refused(&error) {
            self.state = State::Shut;
            return LineNews::Lost(fault(&error));
        }
        self.tries = 0;
        self.told_down = true;
        let wait = self.waits.first().copied().unwrap_or_default();
        self.state = State::Opening(open_after(&self.open, Duration::from_millis(wait)));
        LineNews::Down(fault(&error))
    }
}

/// Asking again is of no use.
pub(crate) fn hopeless(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Auth | ErrorKind::Quota | ErrorKind::BadRequest | ErrorKind::NotFound
    )
}

fn dropped(role: &'static str) -> Error {
    Error {
        kind: ErrorKind::Dropped,
        vendor: "vendor",
        role,
        cause: "connection lost".into(),
        retry_after: None,
    }
}
