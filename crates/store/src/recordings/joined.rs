//! A recording in parts: of a call that went on at another node each has what it heard. A part is put aside in
//! the place of recordings, where whoever ends the call finds it; one that comes too late for that, because
//! its node was dead, is joined to what is stored (wire-telephony.md §6.2).
//!
//! Each part begins with the call: before a node took it there is silence. So parts are laid on each other.

use std::{
    fs,
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path as FilePath, PathBuf},
    time::Duration,
};

use bolo_execution::{ExecutionId, Status};
use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{Recordings, failed, unreadable};
use crate::{Error, Facts, Store};

/// Behind the header of a recorder's file, 16-bit samples.
const HEADER: usize = 44;
/// Where its two sizes stand, and what each leaves out of the file's length.
const SIZES: [(u64, u64); 2] = [(4, 8), (40, 44)];
/// Whoever writes a file that lies on a shared disk does so within this time.
const AT_REST: Duration = Duration::from_secs(1);

impl Recordings {
    fn parts_of(&self, id: ExecutionId) -> Path {
        self.prefix.clone().join("parts").join(id.to_string())
    }

    pub(super) async fn parts(&self, id: ExecutionId) -> Result<Vec<Path>, Error> {
        let found = self.objects.list(Some(&self.parts_of(id)));
        let found = found.map_ok(|part| part.location).try_collect();
        found.await.map_err(failed)
    }

    /// Copies the scratch file to where whoever ends the call finds it; `NotFound` without one.
    async fn put_aside(&self, id: ExecutionId) -> Result<(), Error> {
        let place = self.parts_of(id).join(format!("{}.wav", Uuid::now_v7()));
        self.upload(&self.scratch_path(id), &place).await
    }

    /// Stores the recording with the parts that other nodes put aside, as [`Recordings::finish`] does.
    pub async fn finish_joined(&self, id: ExecutionId) -> Result<(), Error> {
        let parts = self.parts(id).await?;
        self.join(id, &parts).await
    }

    /// Lays the scratch file under the recording that is stored.
    async fn join_late(&self, id: ExecutionId) -> Result<(), Error> {
        let mut parts = self.parts(id).await?;
        match self.size(id).await {
            Ok(_) => parts.push(self.place(id)),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.join(id, &parts).await
    }

    async fn join(&self, id: ExecutionId, parts: &[Path]) -> Result<(), Error> {
        if parts.is_empty() {
            return self.finish(id).await;
        }
        let scratch = self.scratch_path(id);
        let mut files = Vec::new();
        for (nth, part) in parts.iter().enumerate() {
            let file = scratch.with_extension(format!("part{nth}"));
            self.fetch(part, &file).await?;
            files.push(file);
        }
        let fetched = files.clone();
        if fs::exists(&scratch).map_err(|error| unreadable(&scratch, &error))? {
            files.push(scratch.clone());
        }
        let joined = scratch.with_extension("joined");
        let into = (joined.clone(), scratch.clone());
        let laid = tokio::task::spawn_blocking(move || {
            lay_together(&files, &into.0)?;
            fs::rename(into.0, into.1)
        });
        laid.await
            .map_err(io::Error::from)
            .flatten()
            .map_err(|error| unreadable(&joined, &error))?;
        self.finish(id).await?;
        let stored = self.place(id);
        for part in parts.iter().filter(|part| **part != stored) {
            match self.objects.delete(part).await.map_err(failed) {
                Err(Error::NotFound) => {}
                deleted => deleted?,
            }
        }
        for file in fetched {
            remove(&file).await?;
        }
        Ok(())
    }

    async fn fetch(&self, from: &Path, to: &FilePath) -> Result<(), Error> {
        let found = self.objects.get(from).await.map_err(failed)?;
        let mut bytes = found.into_stream();
        let unwritten = |error| unreadable(to, &error);
        let mut file = tokio::fs::File::create(to).await.map_err(unwritten)?;
        while let Some(chunk) = bytes.try_next().await.map_err(failed)? {
            file.write_all(&chunk).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)
    }

    /// Calls whose scratch file nobody has written to for this long.
    pub async fn left_behind(&self, quiet: Duration) -> Result<Vec<ExecutionId>, Error> {
        let bad = |error| unreadable(&self.scratch, &error);
        let mut left = Vec::new();
        let mut files = tokio::fs::read_dir(&self.scratch).await.map_err(bad)?;
        while let Some(file) = files.next_entry().await.map_err(bad)? {
            let name = file.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".wav"));
            let Some(id) = id.and_then(|id| id.parse().ok()) else {
                continue;
            };
            let written = file.metadata().await.and_then(|file| file.modified());
            // One that is gone meanwhile is not left behind; a clock that went back has time.
            let is_quiet = written.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= quiet));
            if is_quiet {
                left.push(id);
            }
        }
        Ok(left)
    }

    /// Whether nobody writes to the scratch file: on a shared disk it may be another node's by now.
    async fn is_at_rest(&self, id: ExecutionId) -> Result<bool, Error> {
        let scratch = self.scratch_path(id);
        let length = async || match tokio::fs::metadata(&scratch).await {
            Ok(file) => Ok(file.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NotFound),
            Err(error) => Err(unreadable(&scratch, &error)),
        };
        let before = length().await?;
        tokio::time::sleep(AT_REST).await;
        Ok(length().await? == before)
    }
}

impl Store {
    /// Hands in what this node has recorded of a call that goes on, or has ended, elsewhere. What can't be
    /// handed in yet stays, and nothing happens where there is nothing.
    pub async fn hand_in_recording(&self, id: ExecutionId) -> Result<(), Error> {
        let recordings = self.recordings();
        match recordings.is_at_rest(id).await {
            Ok(true) => {}
            Ok(false) | Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        let scratch = recordings.scratch_path(id);
        match self.execution_unscoped(id).await {
            Err(Error::NotFound) => remove(&scratch).await,
            Err(error) => Err(error),
            Ok(record) if record.status == Status::InProgress => {
                recordings.put_aside(id).await?;
                // Whoever ends it looks for parts after it has said so: from then on it is joined later. And
                // the call may be back here.
                let record = self.execution_unscoped(id).await?;
                let goes_on = record.status == Status::InProgress;
                match goes_on && !self.signals().is_here(id) {
                    true => remove(&scratch).await,
                    false => Ok(()),
                }
            }
            Ok(record) if record.status.is_terminal() => {
                recordings.join_late(id).await?;
                let facts = Facts {
                    has_recording: Some(true),
                    of_attempt: Some(record.attempt),
                    ..Facts::default()
                };
                self.note(id, facts, crate::now()).await.map(drop)
            }
            // Its end is being written.
            Ok(_) => Ok(()),
        }
    }
}

async fn remove(file: &FilePath) -> Result<(), Error> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unreadable(file, &error)),
        _ => Ok(()),
    }
}

/// Writes the longest file, and where it is silent what the others have there.
fn lay_together(files: &[PathBuf], into: &FilePath) -> io::Result<()> {
    const BLOCK: usize = 64 * 1024;
    let mut parts = Vec::new();
    for path in files {
        let file = fs::File::open(path)?;
        parts.push((
            file.metadata()?.len(),
            io::BufReader::with_capacity(BLOCK, file),
        ));
    }
    parts.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let mut out = io::BufWriter::with_capacity(BLOCK, fs::File::create(into)?);
    let mut parts = parts.into_iter().map(|(_, part)| part);
    let Some(mut longest) = parts.next() else {
        return Ok(());
    };
    let mut others: Vec<_> = parts.collect();
    let (mut block, mut under) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0;
    loop {
        let read = fill(&mut longest, &mut block)?;
        if read == 0 {
            break;
        }
        for other in &mut others {
            let length = fill(other, &mut under[..read])?;
            // Of a header each has the same.
            let from = HEADER.saturating_sub(at).min(length);
            let samples = block[from..length].chunks_exact_mut(2);
            for (sample, below) in samples.zip(under[from..length].chunks_exact(2)) {
                if sample == [0, 0] {
                    sample.copy_from_slice(below);
                }
            }
        }
        out.write_all(&block[..read])?;
        at += read;
    }
    // A node that died had not told the last length.
    if at >= HEADER {
        for (place, left_out) in SIZES {
            let size = u32::try_from(at as u64 - left_out).unwrap_or(u32::MAX);
            out.seek(SeekFrom::Start(place))?;
            out.write_all(&size.to_le_bytes())?;
        }
    }
    out.into_inner()?.sync_all()
}

/// Reads until the buffer is full or the file is at its end.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_silent_in_the_longest_is_taken_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, samples: &[i16]| {
            let path = folder.path().join(name);
            let mut bytes = vec![7; HEADER];
            bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
            fs::write(&path, bytes).unwrap();
            path
        };
        let first = write("first", &[1, 2, 3, 4]);
        let second = write("second", &[0, 0, 0, 9, 8, 0, 7, 6]);
        let third = write("third", &[0, 0, 0, 0, 0, 5]);
        let into = folder.path().join("joined");
        lay_together(&[first, second, third], &into).unwrap();
        let joined = fs::read(into).unwrap();
        let samples: Vec<i16> = joined[HEADER..]
            .chunks_exact(2)
            .map(|two| i16::from_le_bytes([two[0], two[1]]))
            .collect();
        assert_eq!(samples, [1, 2, 3, 9, 8, 5, 7, 6]);
        assert_eq!(joined[4..8], 52_u32.to_le_bytes());
        assert_eq!(joined[40..44], 16_u32.to_le_bytes());
        assert!(joined[8..40].iter().all(|byte| *byte == 7));
    }
}
