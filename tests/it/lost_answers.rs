//! PostgreSQL did what it was asked, or not, and nobody heard: nothing is done twice, and nothing is given up.

use std::time::Duration;

use bolo_simulator::caller::{CallerScript, Outcome};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::{
    DEADLINE, Database, THEIRS, World, agent,
    link::{Fault, Link},
    postgres,
    receiver::Receiver,
};

/// A server whose way to PostgreSQL may fail.
async fn world() -> (World, Link, postgres::Database) {
    let database = postgres::database().await.expect("PostgreSQL is left out");
    let link = Link::to(&database.url).await;
    let settings = [
        ("DATABASE_URL", link.url.as_str()),
        (
            "BOLO_SECRETS__MASTER_KEY",
            "0123456789abcdef0123456789abcdef",
        ),
        ("BOLO_TELEPHONY__LOOKUP_S", "5"),
    ];
    let world = World::with(Database::Sqlite, &settings).await;
    let busy = CallerScript::fails(Outcome::Busy);
    world.fakes.carrier.script(THEIRS, busy);
    (world, link, database)
}

/// A call in a moment; its execution's id.
async fn soon(world: &World, agent: &Value, moment: Duration) -> String {
    let agent = world.server.create_agent(agent).await;
    let at = (chrono::Utc::now() + moment).to_rfc3339();
    let body = json!({"agent_id": agent, "recipient_phone_number": THEIRS, "scheduled_at": at});
    let placed = world.server.post("/call", body).await;
    placed["execution_id"].as_str().unwrap().to_owned()
}

/// How the call ended, whatever the API says meanwhile.
async fn end(world: &World, execution: &str) -> Value {
    let (path, key) = (format!("/executions/{execution}"), &world.server.key);
    let until = tokio::time::Instant::now() + DEADLINE;
    loop {
        let record = world.server.send("GET", &path, Some(key), None).await.body;
        if ["busy", "error"]
            .map(Value::from)
            .contains(&record["status"])
        {
            return record;
        }
        let in_time = tokio::time::Instant::now() < until;
        assert!(in_time, "no end: {record:#}\n{}", world.server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // no-sleep-ok: polling a condition under a deadline
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_to_dial_that_was_written_unheard_is_taken_back_and_the_call_dialled_once() {
    let (world, mut link, database) = world().await;
    link.lose_answer_to("SET dialing_since = $4");
    let execution = soon(&world, &agent(), Duration::from_secs(2)).await;
    let mut rows = PgConnection::connect(&database.url).await.unwrap();
    let written = async {
        let attempt = "SELECT attempt FROM executions WHERE id = $1";
        let mut attempt = async || {
            let asked = sqlx::query_scalar::<_, i64>(attempt).bind(&execution);
            asked.fetch_one(&mut rows).await.unwrap()
        };
        while attempt().await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
        }
    };
    tokio::time::timeout(DEADLINE, written).await.unwrap();
    link.heal();
    let record = end(&world, &execution).await;
    assert_eq!(record["status"], "busy", "{}", world.server.log());
    assert_eq!(world.fakes.carrier.ledger().placed(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_could_not_be_written_down_at_once_is_not_repeated() {
    let (world, mut link, _database) = world().await;
    let customer = Receiver::start(200, "").await;
    customer.hold();
    let mut agent = agent();
    agent["agent_config"]["webhook_url"] = customer.base.clone().into();
    let execution = soon(&world, &agent, Duration::from_secs(6)).await;
    customer.requests_reach(1).await;
    link.fail(Fault::Refuse, Duration::from_secs(3));
    customer.release();
    end(&world, &execution).await;
    // What stands between the first and the last is as quick as carrier and worker were.
    let mut told: Vec<Value> = Vec::new();
    while told.last().is_none_or(|last| last["status"] != "busy") {
        customer.requests_reach(told.len() + 1).await;
        let asked = customer.requests();
        told = (asked
            .iter()
            .map(|asked| serde_json::from_str(&asked.body).unwrap()))
        .collect();
    }
    let sequences: Vec<Value> = told.iter().map(|told| told["sequence"].clone()).collect();
    let expected: Vec<usize> = (1..=told.len()).collect();
    assert_eq!(sequences, expected, "{told:#?}");
}
