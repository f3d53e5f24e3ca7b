//! The HTTP client and the TLS configuration that all vendors share; made once by the binary.
//! Source: wire-providers.md §10.2, §10.3.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

/// DNS, TCP and TLS together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A connection whose other end has not acknowledged what was sent for so long is dead: one kept to a model that
/// went silently must fail while there is still time to ask again within the turn. Voices over HTTP share it.
#[cfg(target_os = "linux")]
const DEAD: Duration = Duration::from_millis(1500);

/// The same of a carrier's: what became of a dial that was cut off is not known, so a bad moment of the network is waited
/// out, as long as the request itself may take some more.
#[cfg(target_os = "linux")]
const CARRIER_DEAD: Duration = Duration::from_secs(10);

/// TLS with ring, sessions resumed from memory. It trusts the roots of webpki and the operator's `own`; fails where one
/// of these is no certificate.
pub fn tls_config(own: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in own {
        roots.add(certificate.clone())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// HTTP/1.1 only: to drop a stream must close it at the vendor at once, and HTTP/2 pins cancelled
/// streams. Follows no redirect, so that no key is carried to another host.
pub fn client(tls: &Arc<ClientConfig>) -> Result<reqwest::Client, reqwest::Error> {
    builder(tls).dns_resolver(crate::dns::Cached).build()
}

/// The same for what carriers are asked over REST.
pub fn carrier_client(tls: &Arc<ClientConfig>) -> Result<reqwest::Client, reqwest::Error> {
    let client = builder(tls).dns_resolver(crate::dns::Cached);
    #[cfg(target_os = "linux")]
    let client = client.tcp_user_timeout(CARRIER_DEAD);
    client.build()
}

/// The first without a resolver.
pub(crate) fn builder(tls: &Arc<ClientConfig>) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(tls))
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(200)
        // A connection opened while the phone rings must last until the first question. The large
        // vendors keep theirs longer; what dies earlier is seen, or asked again (llm/server.rs).
        .pool_idle_timeout(Duration::from_secs(75))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("bolo/", env!("CARGO_PKG_VERSION")));
    #[cfg(target_os = "linux")]
    let client = client.tcp_user_timeout(DEAD);
    client
}

/// Seconds, a fraction of them or an HTTP date; `retry-after-ms` goes first (wire-providers.md §3.3).
pub(crate) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let wait = at.signed_duration_since(chrono::Utc::now());
    Some(wait.to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn wait(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        retry_after(&headers)
    }

    /// Takes nothing more for a while, as a network does that has a bad moment.
    #[cfg(target_os = "linux")]
    const STALL: Duration = Duration::from_secs(4);

    /// What becomes of a request that meets it.
    #[cfg(target_os = "linux")]
    async fn asked(client: reqwest::Client) -> Result<reqwest::Response, reqwest::Error> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // More than all buffers between the two hold.
        let body = vec![b'x'; 32 << 20];
        let mut left = body.len();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::time::sleep(STALL).await; // no-sleep-ok: the stall is what is tested
            let mut piece = vec![0; 1 << 20];
            while left > 0 {
                match socket.read(&mut piece).await {
                    Ok(count @ 1..) => left = left.saturating_sub(count),
                    _ => return,
                }
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            socket.write_all(answer).await.unwrap();
        };
        let request = client.post(url).body(body).send();
        tokio::join!(request, server).0
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_carrier_has_more_patience_than_a_voice() {
        let tls = tls_config(&[]).unwrap();
        let (vendor, carrier) = (client(&tls).unwrap(), carrier_client(&tls).unwrap());
        let (vendor, carrier) = tokio::join!(asked(vendor), asked(carrier));
        assert!(vendor.is_err(), "{vendor:?}");
        assert!(carrier.is_ok(), "{carrier:?}");
    }

    #[test]
    fn every_way_to_say_when() {
        assert_eq!(wait(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(
            wait(&[("retry-after", " 0.5 ")]),
            Some(Duration::from_millis(500))
        );
        let both = [("retry-after", "9"), ("retry-after-ms", "120")];
        assert_eq!(wait(&both), Some(Duration::from_millis(120)));
        assert_eq!(
            wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]),
            Some(Duration::ZERO)
        );
        assert!(
            wait(&[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")]).unwrap()
                > Duration::from_secs(60)
        );
        for nonsense in ["soon", "-1", "", "NaN"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }
}
