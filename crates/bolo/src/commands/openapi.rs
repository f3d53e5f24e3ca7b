//! `bolo openapi`.

use std::process::ExitCode;

use anyhow::Context;

/// Prints the document that `/openapi.json` serves.
pub fn run() -> anyhow::Result<ExitCode> {
    println!(
        "{}",
        bolo_api::openapi()
            .to_pretty_json()
            .context("the OpenAPI document can't be written")?
    );
    Ok(ExitCode::SUCCESS)
}
