//! What the tests of this crate run calls with: a media socket without a network, vendors that the test
//! plays itself, logs and records in memory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod papers;
mod socket;
mod vendors;

use bolo_providers::{PublicClient, Reach};

pub(crate) use papers::{Notebook, Paper, agent, record};
pub(crate) use socket::{Peer, socket};
pub(crate) use vendors::{Cast, Far, Vendor, cast, error, speaks_by_itself, voice_spec};

/// A client that reaches this machine.
pub(crate) fn public() -> PublicClient {
    PublicClient::new(
        &bolo_providers::http::tls_config(&[]).unwrap(),
        Reach::all(true),
    )
    .unwrap()
}
