//! Batches as the public API document sends them: with curl.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::{OURS, Server};

/// Runs `curl`, with these arguments, as a reader of the public API document would.
pub async fn curl(server: &Server, path: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--url", &format!("{}{path}", server.base)])
        .args(["--header", &format!("Authorization: Bearer {}", server.key)])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

/// Uploads a table; the batch.
pub async fn upload(server: &Server, agent: &str, table: &Path) -> String {
    let (agent, file) = (
        format!("agent_id={agent}"),
        format!("file=@{}", table.display()),
    );
    let from = format!("from_phone_numbers={OURS}");
    let arguments = [
        "--request",
        "POST",
        "--form",
        &agent,
        "--form",
        &file,
        "--form",
        &from,
    ];
    let answer = curl(server, "/batches", &arguments).await;
    assert_eq!(answer["state"], "created", "{answer}");
    answer["batch_id"].as_str().unwrap().to_owned()
}

/// Schedules as the document prints it.
pub async fn schedule(server: &Server, batch: &str, at: &str) {
    let arguments = [
        "--request",
        "POST",
        "--header",
        "Content-Type: multipart/form-data",
        "--form",
        &format!("scheduled_at={at}"),
    ];
    let answer = curl(server, &format!("/batches/{batch}/schedule"), &arguments).await;
    assert_eq!(answer["message"], "success", "{answer}\n{}", server.log());
    assert_eq!(answer["state"], "scheduled");
}
