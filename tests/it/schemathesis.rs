//! Schemathesis (PyPI) as a client who has read nothing but our OpenAPI document: generated requests, good
//! and bad, to every operation. No 5xx, no status and no shape that the document does not name.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Database, THEIRS, agent,
    server::{Server, Setup},
};

/// Requests generated for each operation; more on demand with `BOLO_SCHEMATHESIS`.
const EXAMPLES: u32 = 5;
/// Our documents have rules across fields (an agent needs a conversation task), which no schema says: a
/// request that fits the schema may still be refused, by name. And a parameter without a value counts as absent,
/// whatever its form.
const WITHOUT: &str = "positive_data_acceptance,negative_data_rejection";

async fn holds(database: Database) {
    // Whatever it asks to be called, is not.
    let roles = ("BOLO_SERVER__ROLES".to_owned(), r#"["api"]"#.to_owned());
    let server = Server::start(Setup::new(database, vec![roles]).await).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, known(&server).await).unwrap();
    let examples = std::env::var("BOLO_SCHEMATHESIS").unwrap_or_else(|_| EXAMPLES.to_string());
    let mut command = Command::new("python3");
    command
        .args([
            "-c",
            "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())",
        ])
        .arg("--config-file")
        .arg(&settings)
        .arg("run")
        .arg(format!("{}/openapi.json", server.base))
        .args(["-H", &format!("Authorization: Bearer {}", server.key)])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples, "--seed", "1"])
        .args(["--checks", "all", "--exclude-checks", WITHOUT])
        .args(["--warnings", "off", "--no-color"])
        .args(["--suppress-health-check", "all"])
        .current_dir(folder.path());
    if let Ok(modules) = std::env::var("BOLO_TEST_PYTHONPATH") {
        command.env("PYTHONPATH", modules);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    let summary = said.find("SUMMARY").unwrap_or_default();
    println!("{}", &said[summary..]);
    server.stop_cleanly(&[]).await;
}

/// Ids that are there, so that not every request ends at 404. Several agents, for some are deleted.
async fn known(server: &Server) -> String {
    let mut agents = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..20 {
        let id = server.create_agent(&agent()).await;
        let call = json!({ "agent_id": id, "recipient_phone_number": THEIRS });
        let placed: Value = server.post("/call", call).await;
        calls.push(placed["execution_id"].clone());
        agents.push(json!(id));
    }
    format!(
        "[parameters]\n\"path.agent_id\" = {}\n\"path.execution_id\" = {}\n",
        Value::Array(agents),
        Value::Array(calls)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_on_sqlite() {
    holds(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_on_postgres() {
    holds(Database::Postgres).await;
}
