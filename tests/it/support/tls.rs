//! What stands between a server and the vendors in an operator's own network: TLS with a certificate that only he vouches
//! for, and a proxy that alone knows the way.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use rustls::{HandshakeKind, ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// A certificate for some names, and the sessions of those who were spoken to with it.
pub struct Identity {
    pem: String,
    config: Arc<ServerConfig>,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

impl Identity {
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        Self {
            pem: own.cert.pem(),
            config: Arc::new(config),
            handshakes: Arc::default(),
        }
    }

    /// Writes it to a file; its path.
    pub fn write(&self, folder: &Path) -> String {
        let file = folder.join("own.pem");
        std::fs::write(&file, &self.pem).unwrap();
        file.display().to_string()
    }

    /// Handshakes so far: in full, and with an earlier session.
    pub fn handshakes(&self) -> (usize, usize) {
        let all = self.handshakes.lock().unwrap();
        let resumed = all.iter().filter(|kind| **kind == HandshakeKind::Resumed);
        let resumed = resumed.count();
        (all.len() - resumed, resumed)
    }

    /// TLS before the server at `plain`.
    pub async fn before(&self, plain: &str) -> Front {
        let plain: Url = plain.parse().unwrap();
        let target = SocketAddr::new(
            plain.host_str().unwrap().parse().unwrap(),
            plain.port().unwrap(),
        );
        let acceptor = TlsAcceptor::from(self.config.clone());
        let handshakes = self.handshakes.clone();
        let (address, serving) = serve(move |stream| {
            let (acceptor, handshakes) = (acceptor.clone(), handshakes.clone());
            async move {
                // Who does not trust the certificate leaves.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let kind = stream.get_ref().1.handshake_kind().unwrap();
                handshakes.lock().unwrap().push(kind);
                let mut server = TcpStream::connect(target).await.unwrap();
                // Ends as either end does.
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            }
        })
        .await;
        Front {
            address,
            plain,
            _serving: serving,
        }
    }
}

/// See [`Identity::before`]; ends when dropped.
pub struct Front {
    pub address: SocketAddr,
    plain: Url,
    _serving: AbortOnDropHandle<()>,
}

impl Front {
    /// The server's address under this name and port.
    pub fn at(&self, host: &str, port: u16) -> String {
        let scheme = match self.plain.scheme() {
            "ws" => "wss",
            _ => "https",
        };
        let path = self.plain.path().trim_end_matches('/');
        format!("{scheme}://{host}:{port}{path}")
    }

    /// The server's address here.
    pub fn here(&self) -> String {
        self.at(&self.address.ip().to_string(), self.address.port())
    }
}

/// A proxy (CONNECT) that knows some names; ends when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// `ways`: what is asked for, and where it is. Wants this in `Proxy-Authorization`.
    pub async fn start(ways: HashMap<String, SocketAddr>, authorization: &'static str) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (ways, seen) = (Arc::new(ways), asked.clone());
        let (address, serving) = serve(move |stream| {
            let (ways, seen) = (ways.clone(), seen.clone());
            async move {
                let mut stream = BufReader::new(stream);
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    match line.trim() {
                        "" => break,
                        line => head.push(line.to_owned()),
                    }
                }
                let target = head[0].split(' ').nth(1).unwrap().to_owned();
                let allowed = format!("proxy-authorization: {authorization}");
                let is_allowed = head.iter().any(|line| line.eq_ignore_ascii_case(&allowed));
                seen.lock().unwrap().push(target.clone());
                let way = ways.get(&target).filter(|_| is_allowed);
                let Some(way) = way else {
                    let refusal =
                        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                    // Who asked may have left.
                    let _ = stream.write_all(refusal).await;
                    return;
                };
                let mut server = TcpStream::connect(*way).await.unwrap();
                if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                    // Ends as either end does.
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                }
            }
        })
        .await;
        Self {
            address,
            asked,
            _serving: serving,
        }
    }

    /// What it was asked for, each once.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

/// Serves each connection by a task.
async fn serve<F>(
    talk: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, AbortOnDropHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut talks = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            talks.spawn(talk(stream));
            while talks.try_join_next().is_some() {}
        }
    });
    (address, AbortOnDropHandle::new(serving))
}
