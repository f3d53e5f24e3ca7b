//! What a call's script learns from its vendors.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, atomic::Ordering};

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

#[tokio::test(start_paused = true)] // R94
async fn lines_are_rendered_once_for_all_calls_and_on_one_connection() {
    let agent = Arc::new(Agent::parse(&bench::agent("Hi.", json!({}))).unwrap());
    let clips = Clips::new(1 << 20);
    for connections in [2, 1] {
        let (_cast, mut team) = bench::cast(&[]);
        let (vendor, sessions) = bench::Vendor::new();
        let _voice = bench::speaks_by_itself(sessions);
        team.synthesizers = vec![("fake", Ok((vendor.clone(), bench::voice_spec())))];
        let prepared = assemble(
            agent.clone(),
            HashMap::new(),
            &bench::record(Direction::Inbound),
            Format::Mulaw8k,
            team,
            None,
            &bolo_conversation::Rules::default(),
            &clips,
        );
        tokio::time::sleep(Duration::from_secs(1)).await; // no-sleep-ok: virtual
        assert_eq!(vendor.asked.load(Ordering::Relaxed), connections);
        assert!(clips.has(&prepared.voice.key("Hi.").unwrap()));
    }
}
