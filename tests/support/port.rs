//! Ports for servers of tests. Included with `#[path]`.

#![allow(dead_code, clippy::expect_used)]

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

/// Nothing is given a port below 32768 unasked.
const FIRST: u32 = 12_000;
/// Ports that a test has for itself.
const EACH: u32 = 200;
/// Tests at once, at most.
const TESTS: u32 = 100;
/// Ports in a row, at most.
const ROW: u32 = 4;

/// A free port that stays free until the server is there, and over its restart: no connection is given it meanwhile,
/// and no test beside this one takes it.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of up to four such ports in a row.
pub fn free_ports(count: u32) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    assert!(count <= ROW, "too many ports in a row");
    // nextest's; with `cargo test` all tests at once are in one process.
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok();
    let slot: u32 = slot.and_then(|slot| slot.parse().ok()).unwrap_or(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..EACH)
        .map(|_| {
            let next = std::process::id() + NEXT.fetch_add(count, Ordering::Relaxed);
            (FIRST + slot % TESTS * EACH + next % (EACH - ROW)) as u16
        })
        .find(|first| (0..count).all(|nth| is_free(first + nth as u16)))
        .expect("no free port")
}
