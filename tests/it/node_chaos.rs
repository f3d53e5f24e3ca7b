//! Many nodes, and everything dies: one node is killed each 1 to 5 s, others are stopped for a while, PostgreSQL and
//! Redis restart, the network between a node and either of them fails in every way it can, dials have an outcome that
//! nobody was told, a batch is stopped in its midst. Afterwards every call has ended, was dialled at most once an
//! attempt, its customer was told of each step in order, and counts add up.
//!
//! A short form for every day. The long one: `cargo test -p bolo-server --test it node_chaos -- --ignored
//! --nocapture`, with `BOLO_CHAOS_CALLS` (10000) and `BOLO_CHAOS_SEED`.

mod network;
mod troubles;
mod two_batches;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bolo_simulator::{
    caller::{CallerScript, Outcome, Step},
    carrier::{self, Delays, DialFault, FakeCarrier, Kind, Number},
    deepgram, elevenlabs, llm,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, Fakes, OURS, agent, cluster::Cluster, postgres::Restartable, receiver::Receiver,
    redis::Redis,
};
use network::Network;
use troubles::Troubles;
use two_batches::TwoBatches;

const NODES: usize = 3;

struct Chaos {
    /// Half of them one by one, half in two batches.
    calls: usize,
    dials_per_second: &'static str,
    seed: u64,
    /// For how long things die, at least.
    trouble: Duration,
    /// As often are PostgreSQL and Redis restarted, at least.
    restarts: usize,
    /// For how long the rest may take.
    rest: Duration,
}

fn number(nth: usize) -> String {
    format!("+1415{:07}", 2_000_000 + nth)
}

/// What callees do: some talk for a moment, most never get that far.
fn script(rng: &mut StdRng) -> CallerScript {
    match rng.random_range(0..4) {
        0 => CallerScript::new([Step::WaitForAgent { silence_ms: 200 }, Step::HangUp {}]),
        1 => CallerScript::fails(Outcome::Busy),
        2 => CallerScript::fails(Outcome::Invalid),
        _ => CallerScript::fails(Outcome::Congestion),
    }
}

/// Ways to be told nothing although the call is placed.
fn ambiguous(rng: &mut StdRng) -> DialFault {
    match rng.random_range(0..3) {
        0 => DialFault::ErrorAfterPlacing {},
        1 => DialFault::ResetAfterPlacing {},
        _ => DialFault::TruncatedJson {},
    }
}

async fn fakes() -> Fakes {
    let options = carrier::Options {
        deadline: DEADLINE,
        delays: Delays::default(),
        numbers: vec![Number::new(OURS)],
        record: false,
        ..Default::default()
    };
    Fakes {
        carrier: FakeCarrier::start(Kind::Twilio, options).await.unwrap(),
        deepgram: deepgram::FakeDeepgram::start(Default::default())
            .await
            .unwrap(),
        elevenlabs: elevenlabs::FakeElevenlabs::start(Default::default())
            .await
            .unwrap(),
        llm: llm::FakeLlm::start(Default::default()).await.unwrap(),
    }
}

async fn run(chaos: Chaos) {
    let began = Instant::now();
    let mut rng = StdRng::seed_from_u64(chaos.seed);
    let (postgres, redis) = (Restartable::start(), Redis::start());
    let customer = Receiver::start(200, "").await;
    let network = Network::between(NODES, &postgres.url, &redis.url).await;
    let mut cluster = Cluster::on(
        fakes().await,
        &postgres.url,
        &redis.url,
        0,
        &[
            ("BOLO_LIMITS__DIALS_PER_SECOND", chaos.dials_per_second),
            ("BOLO_LIMITS__ORPHAN_S", "5"),
            ("BOLO_TELEPHONY__LOOKUP_S", "5"),
        ],
    )
    .await;
    for node in 0..NODES {
        let [postgres, redis] = network.addresses(node);
        cluster
            .add_node_with(&[("DATABASE_URL", &postgres), ("REDIS_URL", &redis)])
            .await;
    }
    let setup = cluster.nodes[0].setup();
    setup.run(&["account", "set", "default", "--concurrency", "200"]);
    let mut agent = agent();
    agent["agent_config"]["webhook_url"] = customer.base.clone().into();
    let agent = cluster.nodes[0].create_agent(&agent).await;
    let mut doubtful = 0;
    let numbers: Vec<String> = (0..chaos.calls).map(number).collect();
    for (nth, number) in numbers.iter().enumerate() {
        cluster.fakes.carrier.script(number, script(&mut rng));
        if nth % 10 == 0 {
            doubtful += 1;
            let fault = ambiguous(&mut rng);
            cluster.fakes.carrier.fail_dials_to(number, [fault]);
        }
    }
    let (alone, in_batches) = numbers.split_at(chaos.calls / 2);
    let mut executions = BTreeMap::new();
    for number in alone {
        let soon = chrono::Utc::now() + spread(&chaos, &mut rng);
        let body = json!({"agent_id": agent, "recipient_phone_number": number, "scheduled_at": soon.to_rfc3339()});
        let placed = cluster.nodes[0].post("/call", body).await;
        executions.insert(
            placed["execution_id"].as_str().unwrap().to_owned(),
            number.clone(),
        );
    }
    let mut batches = TwoBatches::start(&cluster.nodes[0], &agent, in_batches).await;
    executions.extend(batches.executions(&cluster.nodes[0]).await);
    let (carrier, key) = (&cluster.fakes.carrier, cluster.nodes[0].key.clone());
    let troubles = Troubles::of(std::mem::take(&mut cluster.nodes), &network, &chaos);
    let (struck, broken, ()) = tokio::join!(
        troubles.strike(postgres, redis),
        network.fail_now_and_then(chaos.seed),
        batches.stop_in_its_midst(carrier, &cluster.balancer.base, &key),
    );
    // The servers are held until the end.
    let (told, nodes, _postgres, _redis) = struck;
    cluster.nodes = nodes;
    let (ends, faults) = settle(&chaos, &cluster, &executions).await;
    let overtook = judge(&cluster, &customer, &executions).await;
    let (dialled, on_their_way) = batches.judge(&cluster.nodes[0], carrier, &ends).await;
    let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
    for status in ends.values() {
        *statuses.entry(status).or_default() += 1;
    }
    println!(
        "chaos: seed {}, {} calls, {doubtful} with a dial of unknown outcome; {} nodes killed, {} stopped, \
         PostgreSQL {} and Redis {} times restarted, the network failed {broken:?}; {statuses:?}, {faults:?}; {} dialled, \
         none twice; of the stopped batch {dialled}, {on_their_way} of them on their way when it stopped; \
         {} webhooks, {overtook} before an earlier one that was a minute late; {:.0} s",
        chaos.seed,
        chaos.calls,
        told.kills,
        told.stops,
        told.postgres,
        told.redis,
        cluster.fakes.carrier.ledger().placed(),
        customer.requests().len(),
        began.elapsed().as_secs_f64(),
    );
    // Nodes that were killed have said what they could; how the others end is the other stories' to judge.
    drop(cluster);
}

/// Calls fall due while things die.
fn spread(chaos: &Chaos, rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(0..chaos.trouble.as_millis() as u64))
}

/// Waits until every call has ended; how each ended, and what went wrong with those that did in error.
async fn settle(
    chaos: &Chaos,
    cluster: &Cluster,
    executions: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, BTreeMap<String, usize>) {
    let until = Instant::now() + chaos.rest;
    let mut open: BTreeSet<&String> = executions.keys().collect();
    let (mut ends, mut faults) = (BTreeMap::new(), BTreeMap::new());
    while !open.is_empty() {
        let mut ended = Vec::new();
        for id in &open {
            let node = &cluster.nodes[0];
            let path = format!("/executions/{id}");
            // A database that was just started anew may not answer at once.
            let record = node.send("GET", &path, Some(&node.key), None).await.body;
            let status = record["status"].as_str().unwrap_or("queued");
            let waits = [
                "scheduled",
                "queued",
                "initiated",
                "ringing",
                "in-progress",
                "call-disconnected",
            ];
            if !waits.contains(&status) {
                ends.insert(id.to_string(), status.to_owned());
                if status == "error" {
                    let why = record["error_message"].as_str().unwrap_or_default();
                    *faults.entry(why.to_owned()).or_default() += 1;
                }
                ended.push(*id);
            } else if Instant::now() > until {
                panic!(
                    "seed {}: never ended: {record:#}\n{}",
                    chaos.seed,
                    cluster.logs()
                );
            }
        }
        for id in ended {
            open.remove(id);
        }
        tokio::time::sleep(Duration::from_millis(200)).await; // no-sleep-ok: polling a condition under a deadline
    }
    (ends, faults)
}

/// A node that dies, or does not hear that it has claimed a webhook, keeps it from others for 30 s.
const WEBHOOKS_LATE: Duration = Duration::from_secs(120);

/// A step that nobody could deliver for a minute is overtaken by the next one (api.md §21). Less a little, for nodes
/// go by the database's clock.
const OVERTAKEN_MS: i64 = 55_000;

/// A webhook as it came first.
struct Told {
    sequence: u64,
    event: String,
    /// How long after what it tells of.
    late_ms: i64,
}

/// At most one dial an attempt; webhooks of each call at least once and in order, to the last. Tells how many overtook
/// another.
async fn judge(
    cluster: &Cluster,
    customer: &Receiver,
    executions: &BTreeMap<String, String>,
) -> usize {
    let ledger = cluster.fakes.carrier.ledger();
    assert_eq!(ledger.duplicates(), 0);
    let mut dialled: BTreeMap<String, usize> = BTreeMap::new();
    for dial in ledger
        .dials()
        .into_iter()
        .filter(|dial| dial.call.is_some())
    {
        *dialled.entry(dial.to).or_default() += 1;
    }
    assert!(dialled.values().all(|placed| *placed == 1), "{dialled:?}");
    let complete = |told: &BTreeMap<String, Vec<Told>>| {
        executions.keys().all(|id| {
            let steps = told.get(id).map_or(&[][..], Vec::as_slice);
            let last = steps.iter().map(|step| step.sequence).max();
            last == Some(steps.len() as u64) && steps.iter().any(|step| is_last(&step.event))
        })
    };
    let until = Instant::now() + WEBHOOKS_LATE;
    let told = loop {
        let told = first_told(customer);
        if complete(&told) {
            break told;
        }
        assert!(Instant::now() < until, "customers do not hear of all steps");
        tokio::time::sleep(Duration::from_millis(100)).await; // no-sleep-ok: polling a condition under a deadline
    };
    let mut overtook = 0;
    for (id, steps) in told {
        for (nth, step) in steps.iter().enumerate() {
            let before = steps[..nth].iter();
            let known = before.filter(|told| told.sequence < step.sequence).count();
            if known as u64 + 1 < step.sequence {
                let (event, late_ms) = (&step.event, step.late_ms);
                assert!(late_ms > OVERTAKEN_MS, "{id}: {event} after {late_ms} ms");
                overtook += 1;
            }
        }
    }
    overtook
}

fn is_last(event: &str) -> bool {
    matches!(
        event,
        "completed" | "busy" | "no-answer" | "failed" | "canceled" | "stopped" | "error"
    )
}

/// Of each call its webhooks in the order in which they came first.
fn first_told(customer: &Receiver) -> BTreeMap<String, Vec<Told>> {
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for asked in customer.requests() {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        let happened = chrono::DateTime::parse_from_rfc3339(&text("updated_at")).unwrap();
        let step = Told {
            sequence: body["sequence"].as_u64().unwrap(),
            event: text("event"),
            late_ms: asked.at_ms - happened.timestamp_millis(),
        };
        let steps = told.entry(text("id")).or_default();
        if steps.iter().all(|known| known.sequence != step.sequence) {
            steps.push(step);
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_or_doubled_whatever_dies() {
    run(Chaos {
        calls: 80,
        dials_per_second: "8",
        seed: 7,
        trouble: Duration::from_secs(15),
        restarts: 1,
        rest: Duration::from_secs(180),
    })
    .await;
}

#[ignore = "takes long"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_many_is_lost_or_doubled_whatever_dies() {
    let given = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let calls = given("BOLO_CHAOS_CALLS", 10_000);
    run(Chaos {
        calls: calls as usize,
        dials_per_second: "60",
        seed: given("BOLO_CHAOS_SEED", chrono::Utc::now().timestamp() as u64),
        trouble: Duration::from_secs((calls / 40).max(30)),
        restarts: 10,
        rest: Duration::from_secs(600),
    })
    .await;
}
