//! Stories against a small server that answers, streams, and marks like one under test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod rest;
mod server;
mod stories;
