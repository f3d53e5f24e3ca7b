//! Golden logs: scripts of runtime.md §18 and one test for each rule or small group of rules, in
//! virtual time, through [`play`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod barge_in;
mod dead_air;
mod driver;
mod eager;
mod ends;
mod events;
mod faults;
mod golden;
mod invariants;
mod media;
mod play;
mod silence;
mod tool_speech;
mod tools;
mod transfers;
mod turns;
mod vendors;
mod voicemail;
