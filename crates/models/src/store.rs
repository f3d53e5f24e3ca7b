//! Where model files are found, and unpacked to.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use sha2::{Digest, Sha256};

use crate::{
    Error,
    catalogue::{self, Model, ModelFile},
    pull::{Progress, Pull, pull},
};

/// Where model files are looked for and unpacked to. Cheap to clone; clones share what they checked.
#[derive(Debug, Clone)]
pub struct Store {
    folders: Vec<PathBuf>,
    pub(crate) unpack_to: PathBuf,
    checked: Arc<Mutex<HashSet<PathBuf>>>,
}

/// A model as `bolo models list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `moonshine-tiny-en`.
    pub name: String,
    /// What for, in words.
    pub purpose: String,
    /// `MIT`, …
    pub licence: String,
    /// Of all its files, unpacked.
    pub bytes: u64,
    /// Every file is there, packed or not. Sums are checked when a file is first used.
    pub present: bool,
    /// `bolo models pull` can fetch it.
    pub fetchable: bool,
    /// The folder of its first file.
    pub folder: Option<PathBuf>,
    /// Where its files came from, in words.
    pub sources: Vec<&'static str>,
}

impl Store {
    /// Looks in `models_dir`, `<exe>/models`, the source tree's `crates/models/files`, then the user's
    /// cache; unpacks once into `unpack_to`.
    pub fn new(models_dir: Option<PathBuf>, unpack_to: PathBuf) -> Self {
        let beside_program = std::env::current_exe()
            .ok()
            .and_then(|program| Some(program.parent()?.join("models")));
        let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("files");
        let folders = models_dir
            .into_iter()
            .chain(beside_program)
            .chain([source_tree])
            .chain(user_cache())
            .chain([unpack_to.clone()])
            .collect();
        Self::with(folders, unpack_to)
    }

    /// Looks in these folders only.
    pub(crate) fn with(folders: Vec<PathBuf>, unpack_to: PathBuf) -> Self {
        Self {
            folders,
            unpack_to,
            checked: Arc::default(),
        }
    }

    /// Path of a model file, unpacked and checked: `("moonshine-tiny-en", "encoder.onnx")`. Reads and
    /// hashes the whole file the first time, so not for a runtime thread.
    pub fn path(&self, model: &str, file: &str) -> Result<PathBuf, Error> {
        let unknown = || Error::Unknown(format!("{model}/{file}"));
        let listed = catalogue::find(model).ok_or_else(unknown)?;
        let wanted = listed
            .file
            .iter()
            .find(|known| known.name == file)
            .ok_or_else(unknown)?;
        let unpacked = self.unpacked(listed, wanted);
        if unpacked.exists() {
            return self.check(listed, wanted, unpacked);
        }
        for folder in &self.folders {
            let plain = folder.join(model).join(file);
            if plain.exists() {
                return self.check(listed, wanted, plain);
            }
            let packed = folder.join(model).join(format!("{file}.zst"));
            if wanted.packed && packed.exists() {
                return self.unpack(listed, wanted, &packed);
            }
        }
        Err(self.missing(listed, wanted))
    }

    fn missing(&self, model: &Model, file: &ModelFile) -> Error {
        Error::Missing {
            model: model.name.clone(),
            path: self.unpacked(model, file),
            mend: if model.fetchable() {
                format!("run `bolo models pull {}`", model.name)
            } else {
                "copy the folder `models` of a release, or `crates/models/files` of the source, to \
                 `models` beside the program, or set `models_dir` to it"
                    .to_owned()
            },
        }
    }

    /// Every model there is.
    pub fn list(&self) -> Vec<Listed> {
        catalogue::all()
            .iter()
            .map(|model| Listed {
                name: model.name.clone(),
                purpose: model.purpose.clone(),
                licence: model.licence.clone(),
                bytes: model.file.iter().map(|file| file.bytes).sum(),
                present: model
                    .file
                    .iter()
                    .all(|file| self.folder(model, file).is_some()),
                fetchable: model.fetchable(),
                folder: model.file.first().and_then(|file| self.folder(model, file)),
                sources: {
                    let mut sources: Vec<&str> =
                        model.file.iter().map(|file| file.source.as_str()).collect();
                    sources.dedup();
                    sources
                },
            })
            .collect()
    }

    /// Whether every file of a model is there; the error says what to do.
    pub fn check_present(&self, model: &str) -> Result<(), Error> {
        let listed = catalogue::find(model).ok_or_else(|| Error::Unknown(model.to_owned()))?;
        match listed
            .file
            .iter()
            .find(|file| self.folder(listed, file).is_none())
        {
            None => Ok(()),
            Some(file) => Err(self.missing(listed, file)),
        }
    }

    /// Fetches what is missing of a model; `tell` gets every step. Blocks, maybe for minutes: for a thread
    /// of a runtime that may block. Returns the folder.
    pub fn pull(
        &self,
        model: &str,
        how: &Pull,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf, Error> {
        let listed = catalogue::find(model).ok_or_else(|| Error::Unknown(model.to_owned()))?;
        pull(self, listed, how, tell)
    }

    /// The folder that holds a file, packed or not.
    pub(crate) fn folder(&self, model: &Model, file: &ModelFile) -> Option<PathBuf> {
        let packed = format!("{}.zst", file.name);
        self.folders
            .iter()
            .map(|folder| folder.join(&model.name))
            .find(|folder| folder.join(&file.name).exists() || folder.join(&packed).exists())
    }

    fn unpacked(&self, model: &Model, file: &ModelFile) -> PathBuf {
        self.unpack_to.join(&model.name).join(&file.name)
    }

    /// Hashes a file once a process.
    fn check(&self, model: &Model, file: &ModelFile, path: PathBuf) -> Result<PathBuf, Error> {
        if self
            .checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&path)
        {
            return Ok(path);
        }
        let sum = File::open(&path).and_then(|mut open| copy_hashing(&mut open, &mut io::sink()));
        match sum {
            Ok(sum) if sum == file.sha256 => {
                self.checked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(path.clone());
                Ok(path)
            }
            Ok(_) => Err(Error::Damaged {
                model: model.name.clone(),
                path,
            }),
            Err(cause) => Err(Error::File { path, cause }),
        }
    }

    /// Unpacks beside the target and renames, so that no one ever sees half a file; two at once do the
    /// same work twice and end with the same file.
    fn unpack(&self, model: &Model, file: &ModelFile, packed: &Path) -> Result<PathBuf, Error> {
        let target = self.unpacked(model, file);
        tracing::info!(
            model = model.name,
            file = file.name,
            "unpacking a local model"
        );
        let read = File::open(packed)
            .and_then(zstd::Decoder::new)
            .map_err(|cause| Error::File {
                path: packed.to_owned(),
                cause,
            })?;
        // One byte more than promised is enough to know that the file is wrong.
        self.install(model, file, &mut read.take(file.bytes + 1), packed, target)
    }

    /// Writes what `from` gives to `target` if its sum is right. `origin` is for the error.
    pub(crate) fn install(
        &self,
        model: &Model,
        file: &ModelFile,
        from: &mut dyn Read,
        origin: &Path,
        target: PathBuf,
    ) -> Result<PathBuf, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let scratch = target.with_file_name(format!(".{}.{}.{number}", file.name, process::id()));
        let failed = |cause| Error::File {
            path: target.clone(),
            cause,
        };
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let written = File::create(&scratch).and_then(|mut open| {
            let sum = copy_hashing(from, &mut open)?;
            open.sync_all()?;
            Ok(sum)
        });
        let result = match written {
            Ok(sum) if sum == file.sha256 => fs::rename(&scratch, &target).map_err(failed),
            Ok(_) => Err(Error::Damaged {
                model: model.name.clone(),
                path: origin.to_owned(),
            }),
            Err(cause) => Err(failed(cause)),
        };
        if result.is_err() {
            // Nothing more can be done about a scratch file that won't go.
            let _ = fs::remove_file(&scratch);
        }
        result?;
        self.checked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(target.clone());
        Ok(target)
    }
}

/// `$XDG_CACHE_HOME/bolo/models` or `~/.cache/bolo/models`.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("bolo").join("models"))
}

/// Copies and returns the SHA-256 in lower case hex.
pub(crate) fn copy_hashing(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                to.write_all(&buffer[..read])?;
            }
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests;
