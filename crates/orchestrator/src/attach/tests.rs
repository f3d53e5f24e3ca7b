//! Calls over a real database: from a socket to a complete record, and across a node's death.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use bolo_agent::Agent;
use bolo_conversation::Rules;
use bolo_execution::{AccountId, AgentId, Change, Direction, HangupBy};
use bolo_providers::{ErrorKind, Heard, HeardEnd, PublicClient, Reach, Vendors};
use bolo_store::{Command, Facts, MasterKeys, NewExecution, Store};
use bolo_telephony::{Carriers, MediaCommand};
use serde_json::json;

use super::*;
use crate::{
    Calls, Prices, Settings,
    bench::{self, Cast, Peer},
    faults::NoLlm,
    prepare::assemble,
};

/// A node of its own on a database that may outlive it.
struct Node {
    calls: Calls,
    account: AccountId,
    agent: AgentId,
    body: serde_json::Value,
}

impl Node {
    async fn start(folder: &Path, welcome: &str, config: serde_json::Value) -> Self {
        let store = Store::open(bolo_store::Settings {
            database_url: format!("sqlite://{}/bolo.db", folder.display()),
            recordings_url: format!("file://{}/recordings", folder.display()),
            scratch: folder.join("scratch"),
            master_keys: MasterKeys(vec!["a master key for tests".into()]),
            recordings_public_url: "https://bolo.example.com/recordings".into(),
            node: "node-1".into(),
            redis_url: None,
            tls: None,
        })
        .await
        .unwrap();
        store.migrate().await.unwrap();
        let account = match store.account_named("default").await {
            Ok(account) => account,
            Err(_) => store
                .create_account("default", "owner@example.com", now())
                .await
                .unwrap(),
        };
        let body = bench::agent(welcome, config);
        let agent = store.create_agent(account.id, &body, now()).await.unwrap();
        let tls = bolo_providers::http::tls_config(&[]).unwrap();
        let http = bolo_providers::http::client(&tls).unwrap();
        let models = bolo_models::Store::new(None, folder.join("models"));
        let of_agents = PublicClient::for_models(&tls, Reach::default()).unwrap();
        let vendors = Vendors::new(Default::default(), models, 1, http.clone(), of_agents, tls);
        let settings = Settings {
            rules: Rules::default(),
            prices: Prices::shipped().unwrap(),
            clip_cache_bytes: 1 << 20,
            max_calls: 2,
            public: crate::bench::public(),
        };
        let calls = Calls::new(
            store,
            vendors,
            Carriers::new(Default::default(), http),
            settings,
        );
        Self {
            calls,
            account: account.id,
            agent: agent.id,
            body,
        }
    }

    fn store(&self) -> &Store {
        &self.calls.inner.store
    }

    /// An inbound call that was just answered.
    async fn rings(&self, carrier_id: &str) -> Record {
        let new = NewExecution {
            account: self.account,
            agent: self.agent,
            agent_version: 1,
            direction: Direction::Inbound,
            provider: "websocket".into(),
            to: "+14155550100".into(),
            from: "+14155550199".into(),
            status: Status::Initiated,
            due_at: now(),
            user_data: Default::default(),
            voice_id: None,
            retry_config: None,
            bypass_guardrails: false,
            carrier_call_id: Some(carrier_id.into()),
            webhook: None,
            error_message: None,
        };
        self.store().create_execution(new, now()).await.unwrap().0
    }

    /// Prepares a call with vendors that the test plays.
    fn prepare(&self, record: &Record, answers: &[&str]) -> Cast {
        let (cast, team) = bench::cast(answers);
        self.prepare_with(record, team);
        cast
    }

    fn prepare_with(&self, record: &Record, team: crate::prepare::Team) {
        let inner = &self.calls.inner;
        let agent = Arc::new(Agent::parse(&self.body).unwrap());
        let format = Format::Mulaw8k;
        let rules = &inner.settings.rules;
        let prepared = assemble(
            agent,
            Default::default(),
            record,
            format,
            team,
            None,
            rules,
            &inner.clips,
        );
        inner.waiting.put(record.id, prepared);
    }

    /// A media socket arrives.
    fn connects(&self, id: ExecutionId) -> (Peer, tokio::task::JoinHandle<()>) {
        let (socket, peer) = bench::socket();
        let inner = self.calls.inner.clone();
        let attached = tokio::spawn(async move { attach(&inner, id, socket).await });
        peer.says("start");
        (peer, attached)
    }

    async fn record(&self, id: ExecutionId) -> Record {
        self.store().execution_unscoped(id).await.unwrap()
    }

    /// The record once it says that the call talks: written beside the call's first words.
    async fn talks(&self, id: ExecutionId) {
        while self.record(id).await.status != Status::InProgress {
            tokio::task::yield_now().await;
        }
    }
}

/// Frames go on until something comes that fits.
async fn listens(peer: &mut Peer, fits: impl Fn(&MediaCommand) -> bool) {
    let mut seen = peer.seen.len();
    loop {
        peer.frame(0xFF);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            peer.look(),
            "the call closed its socket: {:?}",
            peer.names()
        );
        if peer.seen[seen..].iter().any(|(_, command)| fits(command)) {
            return;
        }
        seen = peer.seen.len();
    }
}

fn mark(name: &'static str) -> impl Fn(&MediaCommand) -> bool {
    move |command| matches!(command, MediaCommand::Mark(mark) if mark == name)
}

#[tokio::test]
async fn a_call_becomes_a_complete_record() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "Hi.", json!({})).await;
    let record = node.rings("CA1").await;
    let mut cast = node.prepare(&record, &["Sure"]);
    let (mut peer, attached) = node.connects(record.id);
    listens(&mut peer, mark("1:end")).await;
    assert_eq!(node.calls.live(), 1);
    node.talks(record.id).await;
    let far = cast.hears.recv().await.unwrap();
    let end = Heard::TurnEnd {
        text: "book me a table".into(),
        why: HeardEnd::SpeechFinal,
    };
    far.output.send(Ok(end)).await.unwrap();
    listens(&mut peer, mark("2:end")).await;
    // Half a second, so that all of it was heard.
    for _ in 0..25 {
        peer.frame(0xFF);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    peer.says("stop");
    drop(far);
    attached.await.unwrap();
    assert_eq!(node.calls.live(), 0);

    let record = node.record(record.id).await;
    assert_eq!(record.status, Status::Completed);
    assert_eq!(
        record.transcript.as_deref(),
        Some("assistant: Hi.\nuser: book me a table\nassistant: Sure")
    );
    let hangup = record.hangup.unwrap();
    assert_eq!(
        (hangup.by, hangup.reason.as_str(), hangup.code),
        (HangupBy::Caller, "Normal Hangup", 4000)
    );
    let usage = record.usage.unwrap();
    assert_eq!(usage.llm_model["gpt-4.1-mini"].input, 100);
    assert_eq!(usage.transcriber_model, "fake:ears");
    assert_eq!(record.cost.unwrap().llm, 0.0044);
    assert!(record.has_recording && record.error_message.is_none());
    assert_eq!(record.latency.unwrap()["turns"][0]["routed"], false);
    assert!(node.store().recordings().size(record.id).await.unwrap() > 44 + 8000 * 4);
    let lines = node.store().events(node.account, record.id).await.unwrap();
    let replayed = crate::replay(&lines).unwrap();
    assert_eq!(Some(replayed.transcript), record.transcript);
    let log = node
        .store()
        .log_lines(node.account, record.id)
        .await
        .unwrap();
    assert!(
        log.iter().any(|line| line.entry.data == "call_ended"),
        "{log:?}"
    );
}

#[tokio::test]
async fn an_agent_in_a_room_is_in_it_from_the_beginning_and_the_room_is_no_speech() {
    let folder = tempfile::tempdir().unwrap();
    let room = json!({"ambient_noise": true, "ambient_noise_track": "call-center"});
    let node = Node::start(folder.path(), "", room).await;
    let record = node.rings("CA1").await;
    let _cast = node.prepare(&record, &[]);
    let (mut peer, attached) = node.connects(record.id);
    let sounds = |command: &MediaCommand| matches!(command, MediaCommand::Audio(audio) if audio.iter().any(|code| *code != 0xFF));
    listens(&mut peer, sounds).await;
    peer.says("stop");
    attached.await.unwrap();
    let latency = node.record(record.id).await.latency.unwrap();
    assert_eq!(latency["time_to_first_audio"], serde_json::Value::Null);
}

#[test]
fn a_call_whose_node_died_goes_on_from_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (account, agent, id) = first.block_on(async {
        let node = Node::start(folder.path(), "Hi.", json!({})).await;
        let record = node.rings("CA1").await;
        let mut cast = node.prepare(&record, &["Your table is booked."]);
        let (mut peer, _) = node.connects(record.id);
        listens(&mut peer, mark("1:end")).await;
        let far = cast.hears.recv().await.unwrap();
        let end = Heard::TurnEnd {
            text: "book me a table".into(),
            why: HeardEnd::SpeechFinal,
        };
        far.output.send(Ok(end)).await.unwrap();
        listens(&mut peer, |command| {
            matches!(command, MediaCommand::Audio(_))
        })
        .await;
        let play = "\"play\":{\"answer\":2";
        let written = |lines: &Vec<String>| lines.iter().any(|line| line.contains(play));
        while !written(&node.store().events(node.account, record.id).await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::mem::forget(cast);
        (node.account, node.agent, record.id)
    });
    // The process is gone, with everything in it.
    first.shutdown_timeout(Duration::ZERO);

    runtime().block_on(async {
        let mut node = Node::start(folder.path(), "Hi.", json!({})).await;
        (node.account, node.agent) = (account, agent);
        let record = node.record(id).await;
        assert_eq!(record.status, Status::InProgress);
        let _cast = node.prepare(&record, &[]);
        let (mut peer, attached) = node.connects(id);
        // It says that the line is back, and then what the caller had not heard.
        listens(
            &mut peer,
            |command| matches!(command, MediaCommand::Mark(mark) if mark.ends_with(":end")),
        )
        .await;
        listens(
            &mut peer,
            |command| matches!(command, MediaCommand::Mark(mark) if mark.ends_with(":end")),
        )
        .await;
        node.store()
            .signals()
            .send(id, Command::CarrierEnded(None))
            .await;
        attached.await.unwrap();
        let record = node.record(id).await;
        assert_eq!(record.status, Status::Completed);
        let transcript = record.transcript.unwrap();
        assert!(
            transcript.starts_with("assistant: Hi.\nuser: book me a table\nassistant: "),
            "{transcript}"
        );
        assert_eq!(
            record.usage.unwrap().llm_model["gpt-4.1-mini"].input,
            100,
            "what was used before counts"
        );
        crate::replay(&node.store().events(account, id).await.unwrap()).unwrap();
    });
}

#[tokio::test]
async fn a_vendor_that_fails_before_anything_is_heard_makes_the_call_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", json!({})).await;
    let record = node.rings("CA1").await;
    let (mut cast, mut team) = bench::cast(&[]);
    team.llm = Arc::new(NoLlm(bench::error(
        ErrorKind::Auth,
        "authentication failed",
    )));
    team.synthesizers = vec![(
        "fake",
        Err(bench::error(ErrorKind::Auth, "authentication failed")),
    )];
    node.prepare_with(&record, team);
    let (mut peer, attached) = node.connects(record.id);
    let far = cast.hears.recv().await.unwrap();
    let mut said = 0;
    while !attached.is_finished() {
        peer.frame(0xFF);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if said < 50 {
            said += 1;
            if said % 10 == 5 {
                let end = Heard::TurnEnd {
                    text: format!("are you there {said}"),
                    why: HeardEnd::SpeechFinal,
                };
                let _ = far.output.send(Ok(end)).await;
            }
        }
    }
    let record = node.record(record.id).await;
    assert_eq!(record.status, Status::Error);
    assert!(
        record
            .error_message
            .as_deref()
            .unwrap()
            .contains("authentication failed"),
        "{record:?}"
    );
    assert_eq!(record.hangup.unwrap().by, HangupBy::Error);
    assert!(
        record.latency.is_some(),
        "what is known is noted all the same"
    );
}

#[tokio::test]
async fn a_stopped_call_stays_stopped_and_its_record_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(
        folder.path(),
        "A welcome that goes on for some time.",
        json!({}),
    )
    .await;
    let record = node.rings("CA1").await;
    let _cast = node.prepare(&record, &[]);
    let (mut peer, attached) = node.connects(record.id);
    listens(&mut peer, |command| {
        matches!(command, MediaCommand::Audio(_))
    })
    .await;
    node.store()
        .change(record.id, Change::StopAsked, Facts::default(), now())
        .await
        .unwrap();
    assert!(node.store().signals().send(record.id, Command::Stop).await);
    attached.await.unwrap();
    let record = node.record(record.id).await;
    assert_eq!(record.status, Status::Stopped);
    assert_eq!(record.hangup.unwrap().reason, "api_stopped");
    assert!(record.has_recording && record.usage.is_some());
}

#[tokio::test]
async fn a_second_socket_of_a_live_call_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", json!({})).await;
    let record = node.rings("CA1").await;
    let _cast = node.prepare(&record, &[]);
    let (mut first, attached) = node.connects(record.id);
    while !node.store().signals().is_live(record.id).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut second, handed_over) = node.connects(record.id);
    handed_over.await.unwrap();
    while first.look() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(node.calls.live(), 1);
    second.frame(0xFF);
    second.says("stop");
    attached.await.unwrap();
    assert_eq!(node.record(record.id).await.status, Status::Completed);
}

#[tokio::test]
async fn no_call_is_run_that_is_over_or_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", json!({})).await;
    let over = node.rings("CA0").await;
    node.store()
        .change(over.id, Change::StopAsked, Facts::default(), now())
        .await
        .unwrap();
    let (mut peer, attached) = node.connects(over.id);
    attached.await.unwrap();
    assert!(!peer.look(), "closed");

    let mut running = Vec::new();
    for carrier_id in ["CA1", "CA2"] {
        let record = node.rings(carrier_id).await;
        let cast = node.prepare(&record, &[]);
        let (peer, attached) = node.connects(record.id);
        while !node.store().signals().is_live(record.id).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.push((peer, attached, cast));
    }
    let third = node.rings("CA3").await;
    let (mut peer, attached) = node.connects(third.id);
    attached.await.unwrap();
    assert!(!peer.look(), "two calls are as many as this node may run");
    assert_eq!(node.record(third.id).await.status, Status::Initiated);
    for (peer, attached, _cast) in running {
        peer.says("stop");
        attached.await.unwrap();
    }
    assert_eq!(node.calls.live(), 0);
}

#[tokio::test]
async fn a_drain_lets_calls_end_and_takes_no_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), "", json!({})).await;
    let record = node.rings("CA1").await;
    let _cast = node.prepare(&record, &[]);
    let (peer, attached) = node.connects(record.id);
    while !node.store().signals().is_live(record.id).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calls = node.calls.clone();
    let drained = tokio::spawn(async move { calls.drain(Duration::from_secs(60)).await });
    while !node.calls.inner.draining.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let other = node.rings("CA2").await;
    let (mut turned_away, refused) = node.connects(other.id);
    refused.await.unwrap();
    assert!(!turned_away.look());
    assert!(!drained.is_finished());
    peer.says("stop");
    attached.await.unwrap();
    drained.await.unwrap();
    assert_eq!(node.record(record.id).await.status, Status::Completed);
}
