//! How long callers wait for the agent's next word when the node of their calls dies. A measurement:
//!
//! `cargo test --profile bench --workspace --test it node_death -- --ignored --nocapture`, with
//! `BOLO_BENCH_CALLS` calls (50). What is asserted is that every call goes on and remembers.

use std::time::{Duration, Instant};

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event, Timed},
    carrier::{Delays, Kind},
    llm::Reply,
};
use serde_json::json;

use crate::support::{Fakes, agent_with, cluster::Cluster};

const ANSWER: &str = "It is on its way to you. It was sent on Monday in the morning, and it comes by train and \
    then by ship, so that it will take some days until it is there. You will get a mail with the number.";

/// Calls that ring at the same time.
const AT_ONCE: usize = 5;
/// One measurement after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn calls() -> usize {
    let given = std::env::var("BOLO_BENCH_CALLS").ok();
    given.map_or(50, |text| text.parse().unwrap())
}

/// The first sound of the agent after `since`, and how long after.
async fn next_word(call: &CallHandle, since: Instant) -> Duration {
    let since_us = since.duration_since(call.began()).as_micros() as u64;
    let heard = call.waits_for("the agent's next word", |events: &[Timed]| {
        let mut after = events.iter().filter(|timed| timed.at_us > since_us);
        let word = after.find(|timed| timed.event == Event::AgentStarted)?;
        Some(Duration::from_micros(word.at_us - since_us))
    });
    heard.await.unwrap()
}

/// Waits until the agent has ended an utterance with these words.
async fn is_told(call: &CallHandle, words: &str) {
    let told = call.waits_for(words, |events: &[Timed]| {
        events.iter().find_map(|timed| match &timed.event {
            Event::Heard {
                text, done: true, ..
            } => text.ends_with(words).then_some(()),
            _ => None,
        })
    });
    told.await.unwrap();
}

async fn measure(how: &str, signal: Option<&str>) {
    let _alone = ALONE.lock().await;
    let calls = calls();
    // A carrier notices a reset within half a second.
    let delays = Delays {
        reset_ms: 500,
        webhook_ms: 20,
        upgrade_ms: 60,
        start_ms: 10,
        ..Delays::default()
    };
    let fakes = Fakes::with(Kind::Twilio, delays).await;
    for nth in 0..calls {
        fakes
            .llm
            .on(&format!("order number {nth} please"), Reply::text(ANSWER));
    }
    fakes.llm.on("thank you", Reply::text("You are welcome."));
    let mut cluster = Cluster::start(fakes, 2, &[]).await;
    // Whoever waits for the others to ring is waited for.
    let patient = agent_with(json!({ "hangup_after_silence": 600 }));
    let id = cluster.nodes[0].create_agent(&patient).await;
    let mut ringing: Vec<CallHandle> = Vec::new();
    while ringing.len() < calls {
        let wave = ringing.len()..calls.min(ringing.len() + AT_ONCE);
        let ring = |nth| cluster.ring(&id, &format!("+1415556{nth:04}"), CallerScript::default());
        let wave: Vec<CallHandle> = wave.map(ring).collect();
        for call in &wave {
            call.hears("Hello there").await.unwrap();
        }
        ringing.extend(wave);
    }
    let asked = ringing.iter().enumerate().map(|(nth, call)| async move {
        call.agent_stopped().await.unwrap();
        call.says(format!("order number {nth} please").as_str())
            .await
            .unwrap();
        call.hears("on its way").await.unwrap();
    });
    futures_util::future::join_all(asked).await;

    let died = Instant::now();
    match signal {
        Some(signal) => cluster.nodes[0].signal(signal),
        None => cluster.nodes[0].kill(),
    }
    let waited = ringing.iter().map(|call| next_word(call, died));
    let mut waited = futures_util::future::join_all(waited).await;
    waited.sort();
    let remember = ringing.iter().map(|call| async {
        is_told(call, "with the number.").await;
        call.says("thank you so much").await.unwrap();
        is_told(call, "You are welcome.").await;
        call.hangs_up().await.unwrap();
    });
    futures_util::future::join_all(remember).await;
    for (nth, call) in ringing.iter().enumerate() {
        let record = cluster.nodes[1]
            .status(&call.execution().unwrap(), "completed")
            .await;
        let transcript = record["transcript"].as_str().unwrap();
        let known = format!(
            "assistant: Hello there.\nuser: order number {nth} please\nassistant: It is on"
        );
        assert!(transcript.starts_with(&known), "{transcript}");
        assert!(
            transcript.ends_with("assistant: You are welcome."),
            "{transcript}"
        );
    }
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share).round() as usize].as_millis();
    println!(
        "{how}: {calls} calls, the agent's next word after p50 {} ms, p99 {} ms, at most {} ms; all remember",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_words_after_a_node_was_killed() {
    measure("killed", None).await;
}

#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_words_after_a_node_vanished() {
    measure("vanished", Some("STOP")).await;
}
