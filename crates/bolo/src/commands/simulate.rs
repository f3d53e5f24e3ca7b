//! `bolo simulate`.

use std::process::ExitCode;

use anyhow::bail;

use crate::settings::Settings;

/// Run calls against wire-exact fakes and print figures.
#[derive(clap::Args)]
pub struct Simulate {}

impl Simulate {
    pub async fn run(self, _settings: Settings, _json: bool) -> anyhow::Result<ExitCode> {
        bail!("not written yet")
    }
}
