//! The client side of the fakes: one HTTP client, one way to open a socket.

use std::{io, net::SocketAddr, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use tokio_util::task::AbortOnDropHandle;

use crate::{Error, network};

/// A client's socket, plain or TLS.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// rustls is built without a default provider, so the process must name one before the first
/// client. A second call changes nothing.
fn install_crypto() {
    // Err means that one is installed already, which is what we want.
    let _already = rustls::crypto::ring::default_provider().install_default();
}

/// A client that follows no redirects, as webhooks senders don't. Timeouts are set per request. Certificate roots
/// are the program's own: a bare machine has none.
pub(crate) fn client() -> Result<reqwest::Client, Error> {
    install_crypto();
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(64)
        .tcp_nodelay(true)
        .build()
        .map_err(Error::Client)
}

/// Settings of every socket: tungstenite zeroes its whole read buffer before each read, so a small
/// one halves the cost of 20 ms frames (lessons.md §6).
pub(crate) fn socket_config(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(0)
}

/// Opens `url` (`ws://` or `wss://`) with extra headers. The error is the handshake's.
pub(crate) async fn open_socket(
    url: &str,
    headers: &[(&'static str, String)],
    read_buffer: usize,
    limit: Duration,
) -> Result<Socket, tungstenite::Error> {
    let (socket, _line) =
        open_through(url, headers, read_buffer, limit, Duration::ZERO, None).await?;
    Ok(socket)
}

/// The same through a network that takes `delay` each way; the socket ends with the line. `window`: bytes that wait
/// to be read at most, where there is no such network.
pub(crate) async fn open_through(
    url: &str,
    headers: &[(&'static str, String)],
    read_buffer: usize,
    limit: Duration,
    delay: Duration,
    window: Option<u32>,
) -> Result<(Socket, Option<AbortOnDropHandle<()>>), tungstenite::Error> {
    install_crypto();
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| other(error.to_string()))?;
        request.headers_mut().insert(*name, value);
    }
    let uri = request.uri();
    let host = uri
        .host()
        .ok_or_else(|| other(format!("no host in {url}")))?
        .trim_matches(['[', ']'])
        .to_owned();
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("wss") {
            443
        } else {
            80
        });
    let opening = async {
        let host = (host.as_str(), port);
        let (stream, line) = match delay.is_zero() {
            true => (connect(host, window).await?, None),
            false => {
                let (stream, line) = network::connect(host, delay).await?;
                (stream, Some(line))
            }
        };
        stream.set_nodelay(true)?;
        let config = Some(socket_config(read_buffer));
        let (socket, _response) =
            Box::pin(client_async_tls_with_config(request, stream, config, None)).await?;
        Ok((socket, line))
    };
    match tokio::time::timeout(limit, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

async fn connect(host: (&str, u16), window: Option<u32>) -> io::Result<TcpStream> {
    let Some(window) = window else {
        return TcpStream::connect(host).await;
    };
    let mut addresses = tokio::net::lookup_host(host).await?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Before it is connected: the other end is told.
    socket.set_recv_buffer_size(window)?;
    socket.connect(address).await
}

fn other(message: String) -> tungstenite::Error {
    io::Error::other(message).into()
}

/// Ends the TCP connection with a reset instead of a close frame.
pub(crate) fn reset(socket: Socket) {
    if let MaybeTlsStream::Plain(stream) = socket.get_ref()
        && let Err(error) = stream.set_zero_linger()
    {
        tracing::debug!(%error, "could not arrange a reset; closing instead");
    }
    drop(socket);
}
