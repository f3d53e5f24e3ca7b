//! One HTTP server of a fake: bound, served, and stopped with its handle.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

use crate::{Error, outage::Outage};

/// Any free port of this machine.
pub(crate) const ANY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running server. Dropping it stops listening and ends idle connections; open sockets end
/// through the same `stop` token.
pub(crate) struct Server {
    pub addr: SocketAddr,
    /// The network before it.
    pub outage: Outage,
    connections: Arc<AtomicU64>,
    _stop: DropGuard,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Binds `addr` and serves `router` until dropped. `stop` is cancelled on drop: long answers
    /// and sockets of the router end on it.
    pub async fn start(
        addr: SocketAddr,
        router: Router,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|source| Error::Listen { addr, source })?;
        let addr = listener
            .local_addr()
            .map_err(|source| Error::Listen { addr, source })?;
        let connections = Arc::new(AtomicU64::new(0));
        let count = connections.clone();
        let outage = Outage::new();
        let door = outage
            .guard(listener)
            .map_err(|source| Error::Listen { addr, source })?;
        let door = door.tap_io(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let serving = axum::serve(door, router)
                .with_graceful_shutdown(async move { stopped.cancelled().await });
            if let Err(error) = serving.await {
                tracing::error!(%error, "fake server ended");
            }
        });
        Ok(Self {
            addr,
            outage,
            connections,
            _stop: stop.drop_guard(),
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Connections that clients have made so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}
