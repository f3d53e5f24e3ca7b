//! Recordings: grow in a local file while the call runs, then lie in files or an S3 bucket.

use std::{ops::Range, path::PathBuf};

use bolo_execution::ExecutionId;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::Error;

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub struct Recordings {
    _private: (),
}

impl Recordings {
    /// The file a running call writes its WAV to. Survives a crash.
    pub fn scratch_path(&self, id: ExecutionId) -> PathBuf {
        let _ = id;
        unreachable!()
    }
    /// Moves the scratch file to its place. Idempotent; `NotFound` without a scratch file or recording.
    pub async fn finish(&self, id: ExecutionId) -> Result<(), Error> {
        let _ = id;
        unreachable!()
    }
    /// Size in bytes.
    pub async fn size(&self, id: ExecutionId) -> Result<u64, Error> {
        let _ = id;
        unreachable!()
    }
    /// Bytes of a recording.
    pub async fn read(&self, id: ExecutionId, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let _ = (id, range);
        unreachable!()
    }
}
