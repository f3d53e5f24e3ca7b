//! The way to a vendor's socket: straight, or through the proxy that the environment names for its address
//! (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, as curl reads them). HTTP clients look for themselves.
//! Source: wire-providers.md §10.3; RFC 9110 §9.3.6 (CONNECT).

use std::{io, sync::LazyLock};

use hyper_util::{
    client::{
        legacy::connect::proxy::Tunnel,
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tower::{Service, service_fn};
use url::{Host, Url};

use crate::dns;

static RULES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

/// A connection to `host`, for a `ws` or `wss` address. Who gives up waiting calls [`dns::forget`].
pub(crate) async fn connect(scheme: &str, host: &Host<&str>, port: u16) -> io::Result<TcpStream> {
    let scheme = match scheme {
        "wss" => "https",
        _ => "http",
    };
    let target: Uri = format!("{scheme}://{host}:{port}/")
        .parse()
        .map_err(io::Error::other)?;
    match RULES.intercept(&target) {
        None => dns::connect(host, port).await,
        Some(proxy) => through(&proxy, target).await.inspect_err(|error| {
            tracing::warn!(
                proxy = proxy.uri().host(),
                ?error,
                "no way through the proxy"
            );
        }),
    }
}

async fn through(proxy: &Intercept, target: Uri) -> io::Result<TcpStream> {
    let address = Url::parse(&proxy.uri().to_string()).map_err(|_| unusable())?;
    if address.scheme() != "http" {
        return Err(unusable());
    }
    let connector = service_fn(move |_: Uri| {
        let address = address.clone();
        async move {
            let place = address.host().zip(address.port_or_known_default());
            let (host, port) = place.ok_or_else(unusable)?;
            dns::connect(&host, port).await.map(TokioIo::new)
        }
    });
    let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(user) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(user.clone());
    }
    let stream = tunnel.call(target).await.map_err(io::Error::other)?;
    Ok(stream.into_inner())
}

fn unusable() -> io::Error {
    let why = "the proxy's address must be http://host:port";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

#[cfg(test)]
mod tests;
