//! Many nodes: a call outlives its node, its PostgreSQL and its Redis, and is reached from everywhere
//! (wire-telephony.md §6.2; runtime.md R199 to R203).

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event, Timed},
    carrier::{CallFaults, Kind},
    llm::Reply,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    support::{DEADLINE, Fakes, agent, cluster::Cluster, postgres::Restartable, redis::Redis},
    transfers::{SALES, with_sales},
};

/// What nodes may say while the others and their databases come and go.
const TROUBLE: [&str; 11] = [
    "Redis is away",
    "the node of a call is silent",
    "another node",
    "heartbeat",
    "calls of other nodes",
    "database",
    "terminating connection",
    "not ready",
    "call log",
    // A vendor gives up on who was stopped.
    "closed the socket",
    "no answer within",
];

const ANSWER: &str = "It ships on Monday. You will get a mail with the number of the parcel.";

async fn cluster(carrier: Kind) -> Cluster {
    let fakes = Fakes::start(carrier).await;
    teach(&fakes);
    Cluster::start(fakes, 2, &[]).await
}

fn teach(fakes: &Fakes) {
    fakes.llm.on("where is my order", Reply::text(ANSWER));
    fakes.llm.on("thank you", Reply::text("You are welcome."));
}

/// A call whose agent is in the middle of an answer.
async fn in_mid_sentence(cluster: &Cluster) -> (String, CallHandle) {
    in_mid_sentence_with(cluster, CallFaults::default()).await
}

async fn in_mid_sentence_with(cluster: &Cluster, faults: CallFaults) -> (String, CallHandle) {
    let script = CallerScript::default().with_faults(faults);
    let (execution, call) = cluster.dial(&agent(), script).await;
    call.media_opened().await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.agent_spoke().await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.agent_spoke().await.unwrap();
    // What the log does not have yet is not known elsewhere.
    let path = format!("/executions/{execution}/log");
    let started = tokio::time::Instant::now();
    while !cluster.nodes[0]
        .get(&path)
        .await
        .to_string()
        .contains(ANSWER)
    {
        assert!(started.elapsed() < DEADLINE, "{}", cluster.logs());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
    }
    (execution, call)
}

/// Waits until the agent has ended an utterance with these words.
async fn is_told(cluster: &Cluster, call: &CallHandle, words: &str) {
    let told = call.waits_for(words, |events| {
        events.iter().find_map(|timed| match &timed.event {
            Event::Heard {
                text, done: true, ..
            } => text.ends_with(words).then_some(()),
            _ => None,
        })
    });
    if let Err(missed) = told.await {
        panic!("{missed}\n{}", cluster.logs());
    }
}

/// The answer's end is heard, and another turn goes well.
async fn goes_on(cluster: &Cluster, call: &CallHandle) {
    is_told(cluster, call, "the number of the parcel.").await;
    call.says("thank you so much").await.unwrap();
    is_told(cluster, call, "You are welcome.").await;
}

/// The caller hangs up; the record has all of the call.
async fn ends(cluster: &Cluster, node: usize, execution: &str, call: &CallHandle) -> String {
    call.hangs_up().await.unwrap();
    let record = cluster.nodes[node].status(execution, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript.starts_with("assistant: Hello there.\nuser: where is my order\nassistant: "),
        "{transcript}"
    );
    assert!(
        transcript.ends_with("user: thank you so much\nassistant: You are welcome."),
        "{transcript}"
    );
    let asked = cluster.fakes.llm.requests();
    let history = asked.last().unwrap()["messages"].to_string();
    assert!(history.contains("where is my order"), "{history}");
    assert_eq!(cluster.fakes.carrier.ledger().placed(), 1);
    transcript.to_owned()
}

fn sockets(call: &CallHandle) -> usize {
    let opened = |timed: &&Timed| timed.event == Event::MediaOpened;
    call.timeline().iter().filter(opened).count()
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_call_goes_on_at_another_node_when_its_own_is_killed_in_mid_sentence(
    #[case] carrier: Kind,
) {
    let mut cluster = cluster(carrier).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (runner, other) = cluster.runner().await;
    cluster.nodes[runner].kill();
    goes_on(&cluster, &call).await;
    ends(&cluster, other, &execution, &call).await;
    assert_eq!(sockets(&call), 2);
    cluster.nodes.remove(runner);
    cluster.end(&TROUBLE).await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_node_that_was_stopped_for_a_while_leaves_its_call_to_the_other(#[case] carrier: Kind) {
    let cluster = cluster(carrier).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (runner, other) = cluster.runner().await;
    let log = async || {
        let path = format!("/executions/{execution}/log");
        let log = cluster.nodes[other].get(&path).await;
        log["data"].as_array().unwrap().len()
    };
    // Its sockets stay open, and nobody serves them.
    cluster.nodes[runner].signal("STOP");
    is_told(&cluster, &call, "the number of the parcel.").await;
    assert_eq!(sockets(&call), 2);
    let before = log().await;
    cluster.nodes[runner].signal("CONT");
    cluster.nodes[runner].says("\"end\":\"superseded\"").await;
    assert_eq!(log().await, before, "the old node wrote nothing");
    goes_on(&cluster, &call).await;
    let path = format!("/executions/{execution}");
    let record = cluster.nodes[other].get(&path).await;
    assert_eq!(record["status"], "in-progress");
    ends(&cluster, other, &execution, &call).await;
    assert_eq!(sockets(&call), 2, "it never came back to the old node");
    cluster.end(&TROUBLE).await;
}

/// A transfer that is accepted and never fetched.
#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_carrier_that_does_not_follow_is_told_again_to_ask_another_node(#[case] carrier: Kind) {
    let cluster = cluster(carrier).await;
    let faults = CallFaults {
        ignored_redirects: 1,
        ..CallFaults::default()
    };
    let (execution, call) = in_mid_sentence_with(&cluster, faults).await;
    let (runner, other) = cluster.runner().await;
    cluster.nodes[runner].signal("STOP");
    goes_on(&cluster, &call).await;
    assert_eq!(cluster.fakes.carrier.ledger().updates(call.id()).len(), 2);
    cluster.nodes[runner].signal("CONT");
    ends(&cluster, other, &execution, &call).await;
    cluster.end(&TROUBLE).await;
}

#[tokio::test]
async fn a_call_is_stopped_at_any_node() {
    let cluster = cluster(Kind::Twilio).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (runner, other) = cluster.runner().await;
    let stop = format!("/call/{execution}/stop");
    cluster.nodes[other].post(&stop, json!({})).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    cluster.nodes[runner].says("\"end\":\"api_stopped\"").await;
    cluster.end(&[]).await;
}

#[tokio::test]
async fn a_call_does_not_notice_that_redis_is_started_anew() {
    let mut redis = Redis::start();
    let database = crate::support::postgres::database().await.unwrap();
    let fakes = Fakes::start(Kind::Twilio).await;
    teach(&fakes);
    let cluster = Cluster::on(fakes, &database.url, &redis.url, 2, &[]).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (runner, other) = cluster.runner().await;
    redis.stop();
    cluster.nodes[runner].says("Redis is away").await;
    goes_on(&cluster, &call).await;
    redis.start_again();
    for node in &cluster.nodes {
        node.says("Redis is back").await;
    }
    // And the call is reached from the other node again.
    let stop = format!("/call/{execution}/stop");
    cluster.nodes[other].post(&stop, json!({})).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    cluster.nodes[runner].says("\"end\":\"api_stopped\"").await;
    cluster.end(&TROUBLE).await;
}

#[tokio::test]
async fn a_call_is_stopped_though_redis_is_away() {
    let mut redis = Redis::start();
    let database = crate::support::postgres::database().await.unwrap();
    let fakes = Fakes::start(Kind::Twilio).await;
    teach(&fakes);
    let cluster = Cluster::on(fakes, &database.url, &redis.url, 2, &[]).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (_, other) = cluster.runner().await;
    redis.stop();
    for node in &cluster.nodes {
        node.says("Redis is away").await;
    }
    let stop = format!("/call/{execution}/stop");
    cluster.nodes[other].post(&stop, json!({})).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    let ended = |record: &Value| record["status"] == "stopped" && !record["transcript"].is_null();
    cluster.nodes[other]
        .until(&execution, "the stop", ended)
        .await;
    cluster.end(&TROUBLE).await;
}

/// The other phone's answer comes to a node that can't tell the call's.
#[tokio::test]
async fn a_caller_is_handed_over_though_redis_is_away() {
    let mut redis = Redis::start();
    let database = crate::support::postgres::database().await.unwrap();
    let fakes = Fakes::start(Kind::Twilio).await;
    fakes.llm.on("sales please", Reply::call("sales", "{}"));
    let cluster = Cluster::on(fakes, &database.url, &redis.url, 2, &[]).await;
    let script = CallerScript::default();
    let (execution, call) = cluster.dial(&with_sales(), script).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    let (_, other) = cluster.runner().await;
    redis.stop();
    for node in &cluster.nodes {
        node.says("Redis is away").await;
    }
    let port = cluster.nodes[other].setup().public_port;
    cluster.balancer.prefer(port);
    call.says("sales please").await.unwrap();
    let sales = cluster.fakes.carrier.dialled(SALES).await.unwrap();
    let record = cluster.nodes[other].status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    // And the two still talk.
    assert_eq!(call.status(), "in-progress");
    sales.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    cluster.end(&TROUBLE).await;
}

#[tokio::test]
async fn a_call_goes_on_while_postgresql_is_started_anew() {
    let mut postgres = Restartable::start();
    let redis = crate::support::redis::shared();
    let fakes = Fakes::start(Kind::Twilio).await;
    teach(&fakes);
    let cluster = Cluster::on(fakes, &postgres.url, &redis, 2, &[]).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    postgres.stop();
    is_told(&cluster, &call, "the number of the parcel.").await;
    postgres.start_again();
    goes_on(&cluster, &call).await;
    let transcript = ends(&cluster, 0, &execution, &call).await;
    assert_eq!(
        transcript,
        format!(
            "assistant: Hello there.\nuser: where is my order\nassistant: {ANSWER}\n\
             user: thank you so much\nassistant: You are welcome."
        )
    );
    assert_eq!(sockets(&call), 1);
    cluster.end(&TROUBLE).await;
}

#[tokio::test]
async fn a_node_that_drains_finishes_its_calls_while_another_takes_the_new_ones() {
    let cluster = cluster(Kind::Twilio).await;
    let id = cluster.nodes[0].create_agent(&agent()).await;
    let first = cluster.ring(&id, "+14155550177", CallerScript::default());
    first.hears("Hello there").await.unwrap();
    let (runner, _) = cluster.runner().await;
    cluster.nodes[runner].signal("TERM");
    cluster.nodes[runner].says("stopping: no new calls").await;
    cluster.balancer.knows(1).await;
    let second = cluster.ring(&id, "+14155550188", CallerScript::default());
    second.hears("Hello there").await.unwrap();
    for call in [first, second] {
        call.says("where is my order").await.unwrap();
        call.hears("the number of the parcel").await.unwrap();
        assert_eq!(sockets(&call), 1);
        call.hangs_up().await.unwrap();
    }
    cluster.end(&[]).await;
}

#[tokio::test]
async fn a_full_node_sends_callers_to_another_and_full_nodes_sound_busy() {
    let fakes = Fakes::start(Kind::Twilio).await;
    let cluster = Cluster::start(fakes, 2, &[("BOLO_LIMITS__MAX_CALLS", "1")]).await;
    let id = cluster.nodes[0].create_agent(&agent()).await;
    let mut calls = Vec::new();
    for from in ["+14155550171", "+14155550172"] {
        let call = cluster.ring(&id, from, CallerScript::default());
        call.hears("Hello there").await.unwrap();
        calls.push(call);
    }
    for node in &cluster.nodes {
        let ready = node.send("GET", "/ready", None, None).await;
        assert_eq!((ready.status, &ready.body["status"]), (503, &json!("full")));
    }
    // Where none is ready the balancer asks whoever answers. Until the nodes have told each other that they are
    // full, a caller is let in and finds no node.
    let started = tokio::time::Instant::now();
    loop {
        let third = cluster.ring(&id, "+14155550173", CallerScript::default());
        let end = third.ended().await.unwrap();
        if end == "busy" {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "{end}");
    }
    for call in calls {
        call.hangs_up().await.unwrap();
    }
    cluster
        .end(&["as many calls as", "the media socket failed too often"])
        .await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_call_that_outlasts_its_nodes_drain_goes_on_at_another(#[case] carrier: Kind) {
    let fakes = Fakes::start(carrier).await;
    teach(&fakes);
    let recordings = tempfile::tempdir().unwrap();
    let place = format!("file://{}", recordings.path().display());
    let settings = [
        ("BOLO_LIMITS__DRAIN_S", "1"),
        ("BOLO_RECORDINGS__URL", &*place),
    ];
    let cluster = Cluster::start(fakes, 2, &settings).await;
    let (execution, call) = in_mid_sentence(&cluster).await;
    let (runner, other) = cluster.runner().await;
    cluster.nodes[runner].signal("TERM");
    cluster.nodes[runner]
        .says("other nodes take the calls")
        .await;
    goes_on(&cluster, &call).await;
    ends(&cluster, other, &execution, &call).await;
    assert_eq!(sockets(&call), 2);
    // What the first node recorded is in it too.
    let (_, agent) = cluster.nodes[other].recording(&execution).await;
    assert!(agent[..3 * 8000].iter().any(|sample| *sample != 0));
    cluster.nodes[runner].says("\"end\":\"superseded\"").await;
    cluster.end(&TROUBLE).await;
}

#[tokio::test]
async fn nodes_count_the_requests_of_a_key_together() {
    let limit = ("BOLO_LIMITS__REQUESTS_PER_MINUTE", "6");
    let cluster = Cluster::start(Fakes::start(Kind::Twilio).await, 2, &[limit]).await;
    let ask = async |node: usize| {
        let node = &cluster.nodes[node];
        node.send("GET", "/dispositions", Some(&node.key), None)
            .await
    };
    for nth in 0..6 {
        assert_eq!(ask(nth % 2).await.status, 200);
    }
    for node in 0..2 {
        let refused = ask(node).await;
        assert_eq!(refused.status, 429, "{}", refused.body);
    }
    cluster.end(&[]).await;
}
