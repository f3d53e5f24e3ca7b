//! Schemathesis (PyPI) as a client who has read nothing but our OpenAPI document: generated requests, good
//! and bad, to every operation. No 5xx, no status and no shape that the document does not name; what it forbids
//! is refused, and what it allows is taken.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Database, THEIRS, agent,
    server::{Server, Setup},
};

/// Requests generated for each operation; more on demand with `BOLO_SCHEMATHESIS`.
const EXAMPLES: u32 = 5;
/// Operations that may refuse what fits their schema, for what no schema says. (That a thing is unknown, 404, or
/// a key used before, 409, needs no word.)
const REFUSING: &[(&str, &[&str])] = &[
    (
        "Which fields an agent's tasks need depends on their types and vendors",
        &[
            "POST /agent",
            "POST /v2/agent",
            "PUT /agent/{agent_id}",
            "PUT /v2/agent/{agent_id}",
            "PATCH /agent/{agent_id}",
            "PATCH /v2/agent/{agent_id}",
        ],
    ),
    (
        "Which fields a disposition needs depends on what it asks for",
        &[
            "POST /dispositions",
            "POST /dispositions/bulk",
            "PUT /dispositions/{disposition_id}",
        ],
    ),
    (
        "Which fields a trunk needs depends on how it logs in",
        &[
            "POST /sip-trunks/trunks",
            "PATCH /sip-trunks/trunks/{trunk_id}",
        ],
    ),
    (
        "Files: a schema says nothing of what is in them, nor of names of parts that no form can hold",
        &[
            "POST /batches",
            "POST /knowledgebase",
            "POST /violations/submit",
        ],
    ),
    (
        "The batch is named by the body or by the query",
        &["POST /batches/schedule"],
    ),
    (
        "The end of a span is behind its beginning, and not far",
        &[
            "GET /sub-accounts/all/usage",
            "GET /sub-accounts/{sub_account_id}/usage",
        ],
    ),
    (
        "What the account has already, and how much it may have",
        &[
            "POST /phone-numbers",
            "POST /sip-trunks/trunks/{trunk_id}/numbers",
            "POST /sub-accounts",
            "POST /sub-accounts/create",
            "PATCH /sub-accounts/{sub_account_id}",
        ],
    ),
    (
        "Carriers and vendors: the account has no keys of them, and each has its own settings",
        &[
            "GET /phone-numbers/search",
            "POST /phone-numbers/buy",
            "POST /user/tts_sample",
        ],
    ),
    (
        "No pattern tells all hosts that there can be",
        &["POST /user/custom-model", "POST /user/model/custom"],
    ),
];

async fn holds(database: Database) {
    // Whatever it asks to be called, is not.
    let roles = ("BOLO_SERVER__ROLES".to_owned(), r#"["api"]"#.to_owned());
    let server = Server::start(Setup::new(database, vec![roles]).await).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, known(&server).await + &refusing()).unwrap();
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
        .args(["--checks", "all"])
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

fn refusing() -> String {
    let one = |(why, operations): &(&str, &[&str])| {
        format!(
            "\n# {why}.\n[[operations]]\ninclude-name = {}\nchecks.positive_data_acceptance.expected-statuses \
             = [\"2xx\", \"400\", \"403\", \"404\", \"409\", \"422\"]\n",
            json!(operations)
        )
    };
    REFUSING.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_on_sqlite() {
    holds(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_on_postgres() {
    holds(Database::Postgres).await;
}
