//! Batches as a customer sees them: uploaded with curl, dialled by the server, counted to their end.

use std::{io::Write, time::Instant};

use bolo_simulator::caller::{CallerScript, Outcome};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    DEADLINE, Database, OURS, Server, World, agent,
    batch::{curl, schedule, upload},
};

/// Reads a batch until it stands there.
async fn until(server: &Server, batch: &str, state: &str) -> Value {
    let started = tokio::time::Instant::now();
    loop {
        let shown = curl(server, &format!("/batches/{batch}"), &[]).await;
        if shown["state"] == state {
            return shown;
        }
        assert!(
            started.elapsed() < DEADLINE,
            "{state} does not come: {shown:#}\n{}",
            server.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
    }
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn a_batch_is_uploaded_scheduled_dialled_and_complete(#[case] database: Database) {
    let world = World::start(database).await;
    let server = &world.server;
    let numbers = ["+14155550111", "+14155550112", "+14155550113"];
    for (number, outcome) in
        numbers
            .into_iter()
            .zip([Outcome::Busy, Outcome::NoAnswer, Outcome::Busy])
    {
        let script = CallerScript {
            outcome,
            ..CallerScript::default()
        };
        world.fakes.carrier.script(number, script);
    }
    let agent = server.create_agent(&agent()).await;
    let table = server.folder().join("customers.csv");
    std::fs::write(
        &table,
        format!(
            "contact_number,name\r\n{}\r\nnobody,\r\n{}\r\n{}",
            numbers[0], numbers[1], numbers[2]
        ),
    )
    .unwrap();
    let batch = upload(server, &agent, &table).await;
    schedule(server, &batch, "2099-06-04T22:40:00.000Z").await;
    let shown = curl(server, &format!("/batches/{batch}"), &[]).await;
    let printed = [
        "batch_id",
        "humanized_created_at",
        "created_at",
        "updated_at",
        "status",
        "scheduled_at",
        "from_phone_number",
        "file_name",
        "valid_contacts",
        "total_contacts",
        "execution_status",
    ];
    for field in printed {
        assert!(shown.get(field).is_some(), "{field}");
    }
    assert_eq!(shown["file_name"], "customers.csv");
    assert_eq!(
        (&shown["status"], &shown["execution_status"]),
        (&json!("scheduled"), &json!({"scheduled": 3}))
    );
    let rejected = curl(server, &format!("/batches/{batch}/rejected"), &[]).await;
    assert_eq!(
        (&rejected[0]["line"], &rejected[0]["contact_number"]),
        (&json!(3), &json!("nobody"))
    );

    schedule(server, &batch, "2024-06-04T22:40:00.000Z").await;
    let shown = until(server, &batch, "completed").await;
    assert_eq!(shown["status"], "executed");
    assert_eq!(
        shown["execution_status"],
        json!({"busy": 2, "no-answer": 1})
    );
    assert_eq!(
        (&shown["busy_count"], &shown["no_answer_count"]),
        (&json!(2), &json!(1))
    );

    let all = curl(server, &format!("/batches/{agent}/all"), &[]).await;
    assert_eq!(all, json!([shown]));
    for path in ["batch", "batches"] {
        let calls = curl(server, &format!("/{path}/{batch}/executions"), &[]).await;
        assert_eq!(calls.as_array().unwrap().len(), 3);
        for field in [
            "id",
            "conversation_time",
            "total_cost",
            "transcript",
            "createdAt",
            "updatedAt",
            "usage_breakdown",
        ] {
            assert!(calls[0].get(field).is_some(), "{field}");
        }
        assert_eq!(calls[0]["telephony_data"]["from_number"], OURS);
    }
    let refused = curl(
        server,
        &format!("/batches/{batch}/stop"),
        &["--request", "POST"],
    )
    .await;
    assert_eq!(refused["message"], "Batch is not queued or running");
    let deleted = curl(
        server,
        &format!("/batches/{batch}"),
        &["--request", "DELETE"],
    )
    .await;
    assert_eq!(
        (&deleted["message"], &deleted["state"]),
        (&json!("success"), &json!("deleted"))
    );
    assert_eq!(world.fakes.carrier.ledger().duplicates(), 0);
    world.end(&[]).await;
}

#[tokio::test]
async fn a_call_of_an_agent_that_does_not_run_yet_ends_at_once_and_says_why() {
    let world = World::start(Database::Sqlite).await;
    let mut body = agent();
    body["agent_config"]["tasks"][0]["tools_config"]["s2s"] =
        json!({"provider": "openai_realtime"});
    let id = world.server.create_agent(&body).await;
    let execution = world.server.call(&id, "+14155550111").await;
    let record = world.server.status(&execution, "error").await;
    let message = record["error_message"].as_str().unwrap();
    assert!(
        message.contains("tasks[0].tools_config.s2s: a speech-to-speech model is not supported"),
        "{message}"
    );
    world.end(&["the agent does not run"]).await;
}

/// A million lines: how long the upload takes, and what the server's memory comes to.
/// `cargo test --test it a_million_lines -- --ignored --nocapture`, with `--release` for figures.
#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_million_lines(#[case] database: Database) {
    const LINES: u64 = 1_000_000;
    let world = World::start(database).await;
    let server = &world.server;
    let agent = server.create_agent(&agent()).await;
    let table = server.folder().join("million.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&table).unwrap());
    writeln!(file, "contact_number,name,city,due").unwrap();
    for n in 0..LINES {
        writeln!(file, "+1415{n:07},Customer {n},\"Pune, India\",{n}").unwrap();
    }
    file.flush().unwrap();
    let timed = |what: &str, since: Instant| {
        eprintln!(
            "{database:?}: {what}: {:.1} s, peak {} MiB",
            since.elapsed().as_secs_f64(),
            peak_mib(server.pid())
        );
    };

    let since = Instant::now();
    let batch = upload(server, &agent, &table).await;
    timed("upload", since);
    let since = Instant::now();
    let shown = curl(server, &format!("/batches/{batch}"), &[]).await;
    timed("counts", since);
    assert_eq!(shown["execution_status"], json!({"prepared": LINES}));

    let since = Instant::now();
    schedule(server, &batch, "2099-06-04T22:40:00.000Z").await;
    timed("schedule answered", since);
    loop {
        let shown = curl(server, &format!("/batches/{batch}"), &[]).await;
        if shown["execution_status"] == json!({"scheduled": LINES}) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await; // no-sleep-ok: polling
    }
    timed("scheduled", since);
    let since = Instant::now();
    curl(
        server,
        &format!("/batches/{batch}/stop"),
        &["--request", "POST"],
    )
    .await;
    timed("stop answered", since);
    let since = Instant::now();
    let all = server.bytes(&format!("/batches/{batch}/executions")).await;
    timed(&format!("list of {} MB", all.len() / 1_000_000), since);
    assert!(peak_mib(server.pid()) < 200);
}

/// Most memory that a process has had.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024
}
