//! What can happen to a fake's connections below its protocol: refused, dead, reset. Not the fake misbehaves
//! but the network before it, so that every vendor can meet it in any phase of a call.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Connections that wait to be taken, as the standard library has it.
const BACKLOG: u32 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Nobody listens.
    Refusing,
    /// Connections are made and live, no byte comes through.
    Dead,
}

/// The network before a fake. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Outage {
    state: Arc<watch::Sender<State>>,
    cut: Arc<Mutex<CancellationToken>>,
    /// The next message is cut in the middle.
    halve: Arc<AtomicBool>,
}

impl Outage {
    pub(crate) fn new() -> Self {
        Self {
            state: Arc::new(watch::channel(State::Up).0),
            cut: Arc::default(),
            halve: Arc::default(),
        }
    }

    /// The next that is sent is cut in the middle, and the connection lost with it.
    pub fn cut_in_a_message(&self) {
        self.halve.store(true, Ordering::Relaxed);
    }

    /// Every connection that there is gets a reset.
    pub fn cut(&self) {
        std::mem::take(&mut *self.lock()).cancel();
    }

    /// New connections are refused, as if nobody listened; those that there are live on.
    pub fn refuse(&self) {
        self.state.send_replace(State::Refusing);
    }

    /// From now on no byte comes through, on old connections and on new ones, which are made all the same.
    pub fn freeze(&self) {
        self.state.send_replace(State::Dead);
    }

    /// All is well again. What was frozen is cut, as nobody knows what of it was lost.
    pub fn end(&self) {
        if self.state.send_replace(State::Up) == State::Dead {
            self.cut();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CancellationToken> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes connections for `listener`, as this network lets them through.
    pub(crate) fn guard(&self, listener: TcpListener) -> io::Result<Door> {
        Ok(Door {
            addr: listener.local_addr()?,
            place: Place::Open(listener),
            outage: self.clone(),
            state: self.state.subscribe(),
        })
    }
}

/// The address is ours in either case: another could take a port that is given up.
enum Place {
    Open(TcpListener),
    Shut(TcpSocket),
    /// The system did not give the address back.
    Lost,
}

/// A listener that can refuse.
pub(crate) struct Door {
    addr: SocketAddr,
    place: Place,
    outage: Outage,
    state: watch::Receiver<State>,
}

impl Door {
    fn open(&mut self) -> io::Result<()> {
        self.place = match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Open(listener) => Place::Open(listener),
            Place::Shut(socket) => Place::Open(socket.listen(BACKLOG)?),
            Place::Lost => Place::Open(reserve(self.addr)?.listen(BACKLOG)?),
        };
        Ok(())
    }

    fn shut(&mut self) -> io::Result<()> {
        if let Place::Open(listener) = std::mem::replace(&mut self.place, Place::Lost) {
            drop(listener);
        }
        self.place = Place::Shut(reserve(self.addr)?);
        Ok(())
    }

    /// Brings the listener to what the network is like now, then waits for a connection or for news.
    async fn step(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let state = *self.state.borrow_and_update();
        match state {
            State::Refusing if matches!(self.place, Place::Shut(_)) => {}
            State::Refusing => self.shut()?,
            State::Up | State::Dead => self.open()?,
        }
        match &self.place {
            Place::Open(listener) if state == State::Up => tokio::select! {
                taken = listener.accept() => taken.map(Some),
                _ = self.state.changed() => Ok(None),
            },
            _ => {
                // The sender is in `outage`, which `self` holds.
                let _changed = self.state.changed().await;
                Ok(None)
            }
        }
    }
}

fn reserve(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

impl Listener for Door {
    type Io = Cord;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Cord, SocketAddr) {
        loop {
            match self.step().await {
                Ok(Some((stream, addr))) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "no TCP_NODELAY");
                    }
                    let cut = self.outage.lock().clone();
                    let cord = Cord {
                        stream,
                        state: self.state.clone(),
                        cut: Box::pin(cut.cancelled_owned()),
                        is_cut: false,
                        halve: self.outage.halve.clone(),
                    };
                    return (cord, addr);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

/// One connection through the network.
pub(crate) struct Cord {
    stream: TcpStream,
    state: watch::Receiver<State>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_cut: bool,
    halve: Arc<AtomicBool>,
}

impl Cord {
    /// Ready with an error once it is cut, pending while it is dead.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_cut && self.cut.as_mut().poll(cx).is_ready() {
            self.is_cut = true;
            // The last handle of it is dropped soon: that is when the reset is sent.
            self.stream.set_zero_linger()?;
        }
        if self.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // Dead is followed by a cut, which wakes.
        match *self.state.borrow() {
            State::Dead => Poll::Pending,
            State::Up | State::Refusing => Poll::Ready(Ok(())),
        }
    }
}

/// Passes what `check` says unless all is well.
macro_rules! checked {
    ($cord:expr, $cx:expr) => {
        match $cord.check($cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}

impl AsyncRead for Cord {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        checked!(self, cx);
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Cord {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        checked!(self, cx);
        let half = bytes.len() / 2;
        if half == 0 || !self.halve.load(Ordering::Relaxed) {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..half]));
        self.halve.store(false, Ordering::Relaxed);
        self.is_cut = true;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        checked!(self, cx);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        checked!(self, cx);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        checked!(self, cx);
        if self.halve.load(Ordering::Relaxed)
            && let Some(first) = bytes.iter().find(|bytes| bytes.len() > 1)
        {
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    /// An echo behind the network; its address.
    async fn echo(outage: &Outage) -> SocketAddr {
        let listener = TcpListener::bind(crate::server::ANY).await.unwrap();
        let mut door = outage.guard(listener).unwrap();
        let addr = door.addr;
        tokio::spawn(async move {
            loop {
                let (cord, _) = door.accept().await;
                let (mut read, mut write) = tokio::io::split(cord);
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        addr
    }

    async fn says(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_u8(7).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn connections_are_refused_die_and_are_reset_as_told() {
        let outage = Outage::new();
        let addr = echo(&outage).await;
        let mut old = TcpStream::connect(addr).await.unwrap();
        assert_eq!(says(&mut old).await.unwrap(), 7);

        outage.refuse();
        // The door takes the news a moment later.
        let is_refused = |tried: &io::Result<TcpStream>| matches!(tried, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
        while !is_refused(&TcpStream::connect(addr).await) {
            tokio::task::yield_now().await;
        }
        assert_eq!(says(&mut old).await.unwrap(), 7);
        outage.cut();
        let reset = says(&mut old).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);

        outage.end();
        let mut new = loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(says(&mut new).await.unwrap(), 7);
        outage.freeze();
        let mut late = TcpStream::connect(addr).await.unwrap();
        let brief = Duration::from_millis(50);
        assert!(timeout(brief, says(&mut new)).await.is_err());
        assert!(timeout(brief, says(&mut late)).await.is_err());
        outage.end();
        assert!(new.read_u8().await.is_err());
    }
}
