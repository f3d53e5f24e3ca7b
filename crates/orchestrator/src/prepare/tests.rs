//! What a call's script learns from its vendors.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use bolo_execution::Direction;
use bolo_providers::Session;
use serde_json::json;

use super::*;
use crate::bench;

/// Judges pauses itself and hears nothing.
struct Patient;

#[async_trait]
impl Transcriber for Patient {
    fn name(&self) -> &'static str {
        "patient"
    }
    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) * 4
    }
    async fn open(&self, _: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        Err(bench::error(bolo_providers::ErrorKind::Dropped, "deaf"))
    }
}

#[tokio::test] // R29
async fn the_script_knows_how_long_its_transcriber_may_wait() {
    let agent = Arc::new(Agent::parse(&bench::agent("Hi.", json!({}))).unwrap());
    let (_cast, mut team) = bench::cast(&[]);
    let (_, spec) = team.transcribers.remove(0).1.unwrap();
    team.transcribers = vec![("patient", Ok((Arc::new(Patient), spec)))];
    let prepared = assemble(
        agent,
        HashMap::new(),
        &bench::record(Direction::Inbound),
        Format::Mulaw8k,
        team,
        None,
        &bolo_conversation::Rules::default(),
        &Clips::new(1 << 20),
    );
    assert_eq!(prepared.script.transcriber_pause_ms, 1000);
}
