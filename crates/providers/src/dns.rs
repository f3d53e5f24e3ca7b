//! Names and their addresses, kept for a moment: one cache for all that this process connects to, so that no
//! connection waits for the same name again (wire-providers.md §10.2). The system's resolver tells no time to
//! live, so a short one is taken; while it fails, what was known a little longer ago serves.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use url::Host;

/// A name that takes longer to resolve counts as unknown (R107).
const LIMIT: Duration = Duration::from_secs(5);
/// Not asked again for so long.
const FRESH: Duration = Duration::from_secs(30);
/// Of use for so long where the resolver fails.
const STALE: Duration = Duration::from_secs(300);
/// An address has so long to answer before the next is tried beside it (RFC 8305; wire-providers.md §10.3).
const HEAD_START: Duration = Duration::from_millis(100);
/// Customers name hosts too; more are not kept.
const MOST: usize = 1024;

static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

pub(crate) type Addresses = Arc<[IpAddr]>;

/// The addresses of a name, as known or as the system's resolver tells them.
pub(crate) async fn addresses(name: &str) -> io::Result<Addresses> {
    let ask = async {
        let found = timeout(LIMIT, tokio::net::lookup_host((name, 0)));
        let found = found.await.map_err(io::Error::from)??;
        Ok(found.map(|address| address.ip()).collect())
    };
    CACHE.get(name, ask).await
}

/// A connection to the first of a host's addresses that takes one. Who gives up waiting calls [`forget`].
pub(crate) async fn connect(host: &Host<&str>, port: u16) -> io::Result<TcpStream> {
    let name = match host {
        Host::Ipv4(address) => return TcpStream::connect((*address, port)).await,
        Host::Ipv6(address) => return TcpStream::connect((*address, port)).await,
        Host::Domain(name) => name,
    };
    let found = addresses(name).await?;
    let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    let connected = first(&found, TcpStream::connect::<SocketAddr>).await;
    if connected.is_err() {
        forget(host);
    }
    connected
}

/// The host may have moved: its name is resolved anew.
pub(crate) fn forget(host: &Host<&str>) {
    if let Host::Domain(name) = host {
        CACHE.forget(name);
    }
}

/// The first connection that stands. An address that does not answer holds the next one up for [`HEAD_START`],
/// one that refuses not at all.
async fn first<C, T>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> C) -> io::Result<T>
where
    C: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter();
    let mut tries = FuturesUnordered::new();
    let mut next_at = Instant::now();
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    loop {
        tokio::select! {
            biased;
            Some(tried) = tries.next() => match tried {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    refused = error;
                    next_at = Instant::now();
                }
            },
            () = sleep_until(next_at), if waiting.len() > 0 => {
                tries.extend(waiting.next().map(|address| connect(*address)));
                next_at = Instant::now() + HEAD_START;
            }
            else => return Err(refused),
        }
    }
}

/// For HTTP clients.
pub(crate) struct Cached;

impl Resolve for Cached {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = addresses(name.as_str()).await?;
            let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[derive(Default)]
struct Cache(Mutex<HashMap<String, Known>>);

struct Known {
    addresses: Addresses,
    since: Instant,
}

impl Cache {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(
        &self,
        name: &str,
        ask: impl Future<Output = io::Result<Vec<IpAddr>>>,
    ) -> io::Result<Addresses> {
        let younger_than = |age: Duration| {
            let known = self.known();
            let known = known.get(name).filter(|known| known.since.elapsed() < age);
            known.map(|known| known.addresses.clone())
        };
        if let Some(addresses) = younger_than(FRESH) {
            return Ok(addresses);
        }
        match ask.await {
            Ok(found) => {
                let addresses: Addresses = found.into();
                self.keep(name, addresses.clone());
                Ok(addresses)
            }
            Err(error) => younger_than(STALE).ok_or(error),
        }
    }

    fn keep(&self, name: &str, addresses: Addresses) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, known| known.since.elapsed() < FRESH);
        }
        if known.len() < MOST {
            let since = Instant::now();
            known.insert(name.to_owned(), Known { addresses, since });
        }
    }

    fn forget(&self, name: &str) {
        self.known().remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::time::advance;

    use super::*;

    /// What the cache answers while the resolver answers this.
    async fn asked(cache: &Cache, name: &str, told: Option<[u8; 4]>) -> Option<IpAddr> {
        let ask = async {
            told.map(|ip| vec![IpAddr::from(ip)])
                .ok_or(io::ErrorKind::Other.into())
        };
        let found = cache.get(name, ask).await;
        found.ok().map(|found| found[0])
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_once_in_a_while_and_outlives_a_resolver_that_fails() {
        let cache = Cache::default();
        let (old, new) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        assert_eq!(asked(&cache, "a", None).await, None);
        assert_eq!(asked(&cache, "a", Some(old)).await, Some(old.into()));
        advance(FRESH - Duration::from_secs(1)).await;
        assert_eq!(asked(&cache, "a", Some(new)).await, Some(old.into()));
        assert_eq!(asked(&cache, "b", Some(new)).await, Some(new.into()));
        advance(Duration::from_secs(1)).await;
        assert_eq!(asked(&cache, "a", None).await, Some(old.into()), "it fails");
        assert_eq!(asked(&cache, "a", Some(new)).await, Some(new.into()));
        cache.forget("a");
        assert_eq!(asked(&cache, "a", Some(old)).await, Some(old.into()));
        advance(STALE).await;
        assert_eq!(asked(&cache, "a", None).await, None, "too old");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_names_are_kept_than_there_is_room_for() {
        let cache = Cache::default();
        for number in 0..=MOST {
            asked(&cache, &number.to_string(), Some([192, 0, 2, 1])).await;
        }
        assert_eq!(cache.known().len(), MOST);
        advance(FRESH).await;
        asked(&cache, "another", Some([192, 0, 2, 1])).await;
        assert_eq!(cache.known().len(), 1);
    }

    /// How long it takes to reach the first of these: `None` never answers, `false` refuses.
    async fn reached(fates: &[Option<bool>]) -> (io::Result<usize>, Duration) {
        let addresses: Vec<SocketAddr> = (0..fates.len())
            .map(|port| SocketAddr::from(([192, 0, 2, 1], port as u16)))
            .collect();
        let begun = Instant::now();
        let found = first(&addresses, |address| async move {
            let at = usize::from(address.port());
            match fates[at] {
                Some(true) => Ok(at),
                Some(false) => Err(io::ErrorKind::ConnectionRefused.into()),
                None => std::future::pending().await,
            }
        });
        (found.await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_holds_the_next_up_for_a_moment_only() {
        let (found, took) = reached(&[Some(true), Some(true)]).await;
        assert_eq!((found.unwrap(), took), (0, Duration::ZERO));
        let (found, took) = reached(&[Some(false), Some(true)]).await;
        assert_eq!((found.unwrap(), took), (1, Duration::ZERO));
        let (found, took) = reached(&[None, None, Some(true)]).await;
        assert_eq!((found.unwrap(), took), (2, 2 * HEAD_START));
        let (found, _) = reached(&[Some(false), Some(false)]).await;
        assert_eq!(found.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
