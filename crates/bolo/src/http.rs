//! The server's door: HTTP/1.1 on a listener, with limits to how long a connection may keep it waiting. Without
//! them half a request, or none, or an answer that nobody reads holds a connection and its file descriptor for ever.
//!
//! Whoever connects wants something: the head of the first request has to be there within `Limits::client`, or half a
//! second after the server was told to stop. From then on hyper's timer runs, from each answer to the end of the next
//! head. It can't tell a head that has begun from a connection that rests, so `Limits::keep_alive` has to be longer
//! than clients and proxies keep one for its next use (nginx and AWS 60 s, clients in Go and Rust 90 s, Caddy 120 s): a
//! connection that is closed just when it is used again loses the request, and a carrier's POST is not sent twice. A
//! shorter limit for later heads would stop nobody, who could rest as well.
//!
//! While an answer is written, `Limits::client` is the time from one write to the next. The kernel takes more once a
//! third of its buffer is free: on loopback, where that is largest, clients that read 5 kB a second are served. Its
//! own limit, `TCP_USER_TIMEOUT`, is none for us: while the window is closed it does not always count from when it
//! closed (Linux 6.18: a media socket that rests 3 s, is read for 10 s and rests again is ended by a limit of 4 s).
//!
//! HTTP/2 is for the proxy that ends TLS; to what stands behind it, proxies speak HTTP/1.1.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use bolo_orchestrator::LowWater;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::low_water;

/// A process without free file descriptors waits so long for one.
const PAUSE: Duration = Duration::from_secs(1);
/// When the server stops, a first request that is on its way may take so long.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// How long a connection may keep the server waiting.
#[derive(Clone, Copy)]
pub struct Limits {
    /// From its opening to the end of its first request's head; while an answer is written, from one write to the
    /// next; and from the stop to the end of what is under way, for which the API takes up to 30 s.
    pub client: Duration,
    /// From an answer to the end of the next request's head.
    pub keep_alive: Duration,
}

/// Serves until `stop`, and then until requests that are under way are answered, or cut. Sockets are their
/// handlers' from the upgrade on, and are not waited for.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    // Made ready here, or it would be for each request.
    let router: Router = router.with_state(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, peer) = accept(&listener) => {
                connections.spawn(connection(stream, peer, router.clone(), limits, stop.clone()));
            }
            Some(ended) = connections.join_next() => tell(ended),
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let answered = async {
        while let Some(ended) = connections.join_next().await {
            tell(ended);
        }
    };
    if timeout(limits.client, answered).await.is_err() {
        let connections_cut = connections.len();
        tracing::warn!(connections_cut, "stopping without an answer to some");
        connections.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has gone already.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "can't take a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    // Else the kernel holds small audio frames back.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let asked = CancellationToken::new();
    let first = asked.clone();
    let low_water = LowWater::default();
    let stream = Peer::new(stream, limits.client, low_water.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        first.cancel();
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(low_water.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    let asks_nothing = async {
        tokio::select! {
            biased;
            () = asked.cancelled() => std::future::pending().await,
            () = sleep(limits.client) => {}
            () = async { stop.cancelled().await; sleep(LAST_LOOK).await } => {}
        }
    };
    tokio::select! {
        // First, so that a request that lies there is seen however late the server comes to look.
        biased;
        ended = served => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
        () = asks_nothing => tracing::debug!("a connection without a request"),
    }
}

fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection failed");
    }
}

/// A stream whose peer has to make room for more within a time limit, and may have to say some more before it is
/// read.
struct Peer {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the kernel takes nothing.
    full: Option<Pin<Box<Sleep>>>,
    low_water: LowWater,
    /// What the kernel was told of it: unread, unsent.
    told: (usize, usize),
}

impl Peer {
    fn new(stream: TcpStream, limit: Duration, low_water: LowWater) -> Self {
        Self {
            stream,
            limit,
            full: None,
            low_water,
            told: (0, 0),
        }
    }

    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.full = None;
            return written;
        }
        let limit = self.limit;
        let full = self.full.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(full.as_mut().poll(context));
        // Else the kernel keeps what was not sent, and offers it to the peer for minutes.
        self.stream.set_zero_linger()?;
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = self.low_water.unread();
        if std::mem::replace(&mut self.told.0, unread) != unread {
            low_water::unread(&self.stream, unread)?;
        }
        let unsent = self.low_water.unsent();
        if std::mem::replace(&mut self.told.1, unsent) != unsent {
            low_water::unsent(&self.stream, unsent)?;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
