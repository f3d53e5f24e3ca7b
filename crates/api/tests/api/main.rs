//! The HTTP surface over a real store: requests as clients send them, answers as they read them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agents;
mod audit;
mod batches;
mod bolo;
mod callbacks;
mod calls;
mod contract;
mod dispositions;
mod documents;
mod engines;
mod errors;
mod executions;
mod idempotency;
mod inbound;
mod model;
mod operations;
mod providers;
mod rates;
mod recordings;
mod schedules;
mod sockets;
mod spellings;
mod strict_clients;
mod sub_accounts;
mod system;
mod tenancy;
mod tenant;
mod twilio;
mod violations;
mod webhooks;

#[path = "../../../../tests/support/port.rs"]
mod port;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
#[path = "../../../../tests/support/redis.rs"]
mod redis;
