//! The key that encrypts provider keys, made on first start of a single machine.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use rand::Rng;

/// Reads `data_dir/master.key`, or makes it (32 random bytes in hex, mode 0600).
pub fn load_or_make(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("master.key");
    match std::fs::read_to_string(&path) {
        Ok(key) => return Ok(key.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error)
                .with_context(|| format!("secrets.master_key: can't read {}", path.display()));
        }
    }
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("data_dir: can't make {}", data_dir.display()))?;
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(key.as_bytes())?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(key),
        // Another process was faster: its key counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => load_or_make(data_dir),
        Err(error) => Err(error)
            .with_context(|| format!("secrets.master_key: can't write {}", path.display())),
    }
}
