//! The server is killed again and again while it places calls: none is lost, none is dialled twice
//! (lessons.md §4.2). `BOLO_CHAOS_CALLS=1000` makes a long run of it.

use std::{collections::BTreeMap, time::Duration};

use bolo_simulator::{
    caller::{CallerScript, Outcome},
    carrier::Ledger,
};

use crate::support::{Database, World, agent};

/// Calls of the short form.
const CALLS: usize = 24;
/// A kill after so many dials: in the long form some dozens of kills.
const DIALS_A_LIFE: usize = 6;

/// Longer than any claim, look-up or orphan waits.
const PATIENCE: Duration = Duration::from_secs(180);

const TERMINAL: [&str; 7] = [
    "completed",
    "busy",
    "no-answer",
    "failed",
    "stopped",
    "error",
    "canceled",
];

#[tokio::test]
async fn however_often_the_server_dies_no_call_is_lost_or_dialled_twice() {
    let calls = std::env::var("BOLO_CHAOS_CALLS").map_or(CALLS, |text| text.parse().unwrap());
    let more = [
        ("BOLO_LIMITS__DIALS_PER_SECOND", "20"),
        ("BOLO_LIMITS__ORPHAN_S", "1"),
    ];
    let mut world = World::with(Database::Sqlite, &more).await;
    world
        .server
        .setup()
        .run(&["account", "set", "default", "--concurrency", "50"]);
    let carrier = &world.fakes.carrier;
    let agent = world.server.create_agent(&agent()).await;
    let mut executions = Vec::with_capacity(calls);
    for n in 0..calls {
        let number = format!("+1415556{n:04}");
        let script = match n % 3 {
            0 => CallerScript::fails(Outcome::Busy),
            1 => CallerScript::fails(Outcome::NoAnswer),
            _ => CallerScript::default().then_hang_up(),
        };
        carrier.script(&number, script);
        executions.push(world.server.call(&agent, &number).await);
    }
    let (mut lives, mut next) = (1, DIALS_A_LIFE);
    while next < calls {
        // The carrier has just taken a call, and its reply is on the way.
        let enough = |ledger: &Ledger| (ledger.placed() >= next).then_some(());
        if world.fakes.carrier.ledger_shows(enough).await.is_none() {
            break; // what is left waits for its outcome to be looked up
        }
        world.server.kill();
        let World { server, fakes } = world;
        world = World {
            server: server.start_again().await,
            fakes,
        };
        lives += 1;
        next += DIALS_A_LIFE;
    }
    let mut statuses = BTreeMap::<String, usize>::new();
    for execution in &executions {
        *statuses.entry(end_of(&world, execution).await).or_default() += 1;
    }
    let ledger = world.fakes.carrier.ledger();
    println!(
        "{calls} calls, {lives} lives, {} placed, {} twice, {statuses:?}",
        ledger.placed(),
        ledger.duplicates()
    );
    // No call of these is ever tried again, so each is placed at most once, whatever its attempt.
    let mut placed: Vec<String> = ledger
        .dials()
        .into_iter()
        .filter(|dial| dial.call.is_some())
        .filter_map(|dial| dial.execution)
        .collect();
    placed.sort();
    let count = placed.len();
    placed.dedup();
    assert_eq!((placed.len(), ledger.duplicates()), (count, 0));
    assert_eq!(statuses.values().sum::<usize>(), calls);
    assert!(lives > 2, "{lives}");
}

/// The status that a call comes to.
async fn end_of(world: &World, execution: &str) -> String {
    let started = tokio::time::Instant::now();
    loop {
        let record = world.server.get(&format!("/executions/{execution}")).await;
        let status = record["status"].as_str().unwrap();
        if TERMINAL.contains(&status) {
            // Of those that failed, why.
            return match record["error_message"].as_str() {
                Some(why) if status == "error" => format!("error: {why}"),
                _ => status.to_owned(),
            };
        }
        assert!(started.elapsed() < PATIENCE, "{record:#}");
        tokio::time::sleep(Duration::from_millis(50)).await; // no-sleep-ok: polling a condition under a deadline
    }
}
