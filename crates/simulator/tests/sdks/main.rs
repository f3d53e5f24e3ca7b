//! The vendors' own SDKs (PyPI, pinned in `tests/sdks.txt`) as judges of our fakes: what an SDK sends must be
//! understood, and what it reads must be what the fake said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ears;
mod models;
mod transcribers;
mod voices;

use std::process::Command;

use serde_json::Value;

/// Runs a script of this folder; `tests/run` installs what it needs.
async fn python(script: &'static str, arguments: Vec<String>) -> Value {
    let run = move || {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdks/");
        let mut command = Command::new("python3");
        command.arg(format!("{folder}{script}")).args(arguments);
        if let Ok(path) = std::env::var("BOLO_TEST_PYTHONPATH") {
            command.env("PYTHONPATH", path);
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the SDK failed; `tests/run` installs those of tests/sdks.txt: {errors}"
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}
