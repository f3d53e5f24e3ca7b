//! Black-box tests of the running binary: stories as users, carriers and vendors live them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod after_calls;
mod batches;
mod calls;
mod carrier_ends;
mod carrier_faults;
mod chaos;
mod commands;
mod crashes;
mod documented;
mod draining;
mod eager;
mod fallbacks;
mod hung_disk;
mod ingest;
mod killed;
mod knowledge;
mod lost_answers;
mod menus;
mod models;
mod node_chaos;
mod node_death;
mod nodes;
mod numbers;
mod plivo_sdk;
mod realtime;
mod rest_load;
mod ringing;
mod schemathesis;
mod secrets;
mod simulate;
mod slow_clients;
mod support;
mod tidy;
mod tools;
mod transfers;
mod trunks;
mod twilio_sdk;
mod upgrade;
mod vendor_faults;
mod voicemail;
mod voices;
mod warm_transfers;
mod web_calls;
mod webhooks;
