//! Lines rendered before they are needed.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use bolo_agent::Agent;
use bolo_audio::Format;
use bolo_execution::Direction;
use bolo_providers::Synthesizer as _;
use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::{bench, prepare::assemble};

#[tokio::test(start_paused = true)] // R94, R186
async fn lines_are_rendered_once_for_all_calls_and_on_one_connection() {
    let agent = Arc::new(Agent::parse(&bench::agent("Hi.", json!({}))).unwrap());
    let clips = Clips::new(1 << 20);
    let mut billed = Vec::new();
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
        let lines: HashSet<String> = lines(&prepared.script).into_iter().collect();
        let characters: usize = lines.iter().map(|line| line.chars().count()).sum();
        billed.push((prepared.ahead.characters(), characters as u64));
    }
    // The first call pays for all of them, and once.
    assert_eq!(billed[0].0, billed[0].1);
    assert_eq!(billed[1].0, 0);
}

fn opener(vendor: &Arc<bench::Vendor<Speak, Spoken>>) -> Opener<Speak, Spoken> {
    let vendor = vendor.clone();
    Arc::new(move || {
        let vendor = vendor.clone();
        async move { vendor.open(&bench::voice_spec()).await }.boxed()
    })
}

fn keyed(texts: &[&str]) -> Vec<(ClipKey, String)> {
    let key = |text: &str| ClipKey::new("fake", &bench::voice_spec(), text).unwrap();
    let keyed = |text: &&str| (key(text), (*text).to_owned());
    texts.iter().map(keyed).collect()
}

#[tokio::test(start_paused = true)] // R97, R186
async fn a_line_that_fails_keeps_no_other_from_being_rendered() {
    let (vendor, mut sessions) = bench::Vendor::new();
    let _voice = tokio::spawn(async move {
        let mut broken = sessions.recv().await.unwrap();
        broken.input.recv().await;
        drop(broken);
        bench::speaks_by_itself(sessions).await
    });
    let clips = Clips::new(1 << 20);
    let lines = keyed(&["One.", "Two.", "Three."]);
    let renderer = Renderer::new(opener(&vendor));
    let characters = renderer.characters.clone();
    render(lines.clone(), renderer, &clips).await;
    let kept: Vec<bool> = lines.iter().map(|(key, _)| clips.has(key)).collect();
    assert_eq!(kept, [false, true, true]);
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 2);
    assert_eq!(
        characters.load(Ordering::Relaxed),
        14,
        "what was sent is billed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_is_down_is_not_asked_for_line_after_line() {
    let (vendor, _sessions) = bench::Vendor::new();
    vendor.refuse.store(100, Ordering::Relaxed);
    let lines = keyed(&["One.", "Two.", "Three.", "Four.", "Five."]);
    render(lines, Renderer::new(opener(&vendor)), &Clips::new(1 << 20)).await;
    assert_eq!(vendor.asked.load(Ordering::Relaxed), FAILURES as usize);
}

#[tokio::test(start_paused = true)] // R186
async fn a_line_that_the_vendor_refuses_is_not_billed() {
    let (vendor, mut sessions) = bench::Vendor::new();
    let refusing = tokio::spawn(async move {
        let mut far = sessions.recv().await.unwrap();
        far.input.recv().await;
        let refused = Err(lost(ErrorKind::Quota, "out of credit"));
        far.output.send(refused).await.unwrap();
    });
    let mut renderer = Renderer::new(opener(&vendor));
    renderer.line("One.".to_owned()).await.unwrap_err();
    refusing.await.unwrap();
    assert_eq!(renderer.characters.load(Ordering::Relaxed), 0);
}
