//! Requests to addresses that customers name: they reach the public internet and nothing else, so that a
//! webhook or a tool can't be used to look into the server's own network (runtime.md R107, lessons.md §4.3).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::dns;

/// IPv4 addresses that aren't public. Source: IANA's special-purpose address registry.
const NOT_PUBLIC_V4: [Ipv4Net; 14] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 88, 99, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved and broadcast.
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// What IANA has given out for global unicast so far …
const PUBLIC_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// … but for these: protocol assignments and Teredo, documentation, 6to4 (it embeds IPv4 addresses).
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public(address.into()),
            None => {
                PUBLIC_V6.contains(&address)
                    && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
            }
        },
    }
}

/// The address is not on the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address is not public; allow private addresses in the server's settings if it is meant"
)]
pub struct NotPublic;

/// An HTTP client for addresses that customers name. Follows no redirect, uses no proxy, and checks the
/// addresses that a name stands for at the moment it connects, so that the name can't change in between.
#[derive(Debug, Clone)]
pub struct PublicClient {
    http: reqwest::Client,
    reach: Reach,
}

/// Which addresses that are not public may be reached all the same.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Every one: for receivers in the operator's own network.
    pub all: bool,
    /// Those of these hosts, by name or literal address.
    pub hosts: Arc<[String]>,
}

impl Reach {
    /// All of them or none.
    pub fn all(all: bool) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    fn allows(&self, host: &str) -> bool {
        self.all
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
    }
}

impl PublicClient {
    /// A client of its own: connections to vendors are not shared with customers' servers.
    pub fn new(tls: &Arc<rustls::ClientConfig>, reach: Reach) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(tls))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("bolo/", env!("CARGO_PKG_VERSION")));
        Self::build(builder, reach)
    }

    /// One for models whose address an agent names: it keeps connections as that of the vendors does.
    pub fn for_models(
        tls: &Arc<rustls::ClientConfig>,
        reach: Reach,
    ) -> Result<Self, reqwest::Error> {
        Self::build(crate::http::builder(tls).no_proxy(), reach)
    }

    fn build(builder: reqwest::ClientBuilder, reach: Reach) -> Result<Self, reqwest::Error> {
        let http = builder.dns_resolver(PublicOnly(reach.clone())).build()?;
        Ok(Self { http, reach })
    }

    /// A POST to `url`.
    pub fn post(&self, url: Url) -> Result<reqwest::RequestBuilder, NotPublic> {
        self.request(reqwest::Method::POST, url)
    }

    /// A request to `url`.
    pub fn request(
        &self,
        method: reqwest::Method,
        url: Url,
    ) -> Result<reqwest::RequestBuilder, NotPublic> {
        self.to(&url).map(|http| http.request(method, url))
    }

    /// The client to ask for `url` with. A literal address never passes the resolver, so it is checked here.
    pub(crate) fn to(&self, url: &Url) -> Result<&reqwest::Client, NotPublic> {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        let is_allowed = || self.reach.allows(url.host_str().unwrap_or_default());
        if literal.is_some_and(|address| !is_public(address)) && !is_allowed() {
            return Err(NotPublic);
        }
        Ok(&self.http)
    }

    /// Whether a request failed because the name stands for no public address.
    pub fn refused(error: &reqwest::Error) -> bool {
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if inner.is::<NotPublic>() {
                return true;
            }
            cause = inner.source();
        }
        false
    }
}

/// Keeps those of a name's addresses that may be reached.
struct PublicOnly(Reach);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allows = self.0.allows(name.as_str());
        Box::pin(async move {
            // What was checked is what is connected to.
            let found = dns::addresses(name.as_str()).await?;
            let public: Vec<SocketAddr> = (found.iter())
                .filter(|address| allows || is_public(**address))
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn private_and_special_addresses_are_not_public() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    fn client(allow_private: bool) -> PublicClient {
        with(Reach::all(allow_private))
    }

    fn with(reach: Reach) -> PublicClient {
        PublicClient::new(&crate::http::tls_config(&[]).unwrap(), reach).unwrap()
    }

    #[test]
    fn literal_addresses_are_checked_before_the_request() {
        for url in [
            "http://127.0.0.1:80/",
            "http://[::1]/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(client(false).post(url.parse().unwrap()).is_err(), "{url}");
            assert!(client(true).post(url.parse().unwrap()).is_ok(), "{url}");
        }
        assert!(
            client(false)
                .post("https://1.1.1.1/".parse().unwrap())
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!(
            "http://localhost:{}/",
            listener.local_addr().unwrap().port()
        )
        .parse()
        .unwrap();
        let error = client(false)
            .post(url.clone())
            .unwrap()
            .send()
            .await
            .unwrap_err();
        assert!(PublicClient::refused(&error), "{error:?}");
        drop(listener);
        let reach = Reach {
            all: false,
            hosts: ["LocalHost".to_owned(), "127.0.0.1".to_owned()].into(),
        };
        let error = with(reach.clone())
            .post(url)
            .unwrap()
            .send()
            .await
            .unwrap_err();
        assert!(
            error.is_connect() && !PublicClient::refused(&error),
            "{error:?}"
        );
        assert!(
            with(reach.clone())
                .post("http://127.0.0.1/".parse().unwrap())
                .is_ok()
        );
        assert!(
            with(reach)
                .post("http://127.0.0.2/".parse().unwrap())
                .is_err()
        );
    }
}
