//! Recordings: grow in a local file while the call runs, then lie in files or an S3 bucket.

mod joined;

use std::{
    fs,
    io::{self, ErrorKind},
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use bolo_execution::{AccountId, ExecutionId};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, WriteMultipart,
    aws::AmazonS3Builder,
    client::{HttpClient, HttpConnector},
    local::LocalFileSystem,
    path::Path,
};
use tokio::{io::AsyncReadExt, sync::Semaphore};
use url::Url;
use uuid::Uuid;

use crate::Error;

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub struct Recordings {
    scratch: PathBuf,
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where the objects are files.
    folder: Option<PathBuf>,
    uploads: Arc<Semaphore>,
}

/// Size of an uploaded part, bytes: S3 takes no smaller ones but the last.
const PART: usize = 5 << 20;
/// Parts of one upload on their way at once.
const PARTS: usize = 2;
/// Uploads at once: each holds some parts in memory, and many calls may end together.
const UPLOADS: usize = 4;
const CHUNK: usize = 256 << 10;
/// DNS, TCP and TLS to S3 together.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// S3 says nothing for so long, be it while a part is sent to it: asked again. A part takes as long on 0.7 Mbit/s.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

impl Recordings {
    /// `url` is `file:///…` or `s3://bucket/prefix`; S3 takes its keys, region and endpoint from the
    /// usual `AWS_…` environment variables.
    pub(crate) async fn open(
        url: &str,
        scratch: &FilePath,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, Error> {
        let bad = |why: &str| Error::Unavailable(format!("recordings.url: {why}"));
        make_folder(scratch).await?;
        let url = Url::parse(url).map_err(|_| bad("must be file:///… or s3://bucket/prefix"))?;
        type Place = (Arc<dyn ObjectStore>, Path, Option<PathBuf>);
        let (objects, prefix, folder): Place = match url.scheme() {
            "file" => {
                let folder = url
                    .to_file_path()
                    .map_err(|()| bad("must name a folder by its whole path"))?;
                make_folder(&folder).await?;
                // Synced, see `rename`.
                let files = LocalFileSystem::new_with_prefix(&folder)
                    .map_err(failed)?
                    .with_fsync(true);
                (Arc::new(files), Path::default(), Some(folder))
            }
            "s3" => {
                let bucket = url.host_str().ok_or_else(|| bad("names no bucket"))?;
                let prefix =
                    Path::from_url_path(url.path()).map_err(|_| bad("has an unusable prefix"))?;
                let tls = tls.ok_or_else(|| bad("s3 needs TLS"))?;
                let bucket = AmazonS3Builder::from_env().with_bucket_name(bucket);
                (connected(bucket, tls)?, prefix, None)
            }
            other => return Err(bad(&format!("scheme {other:?} is not file or s3"))),
        };
        Ok(Self {
            scratch: scratch.to_owned(),
            objects,
            prefix,
            folder,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
        })
    }

    /// The file a running call writes its WAV to. Survives a crash.
    pub fn scratch_path(&self, id: ExecutionId) -> PathBuf {
        self.scratch.join(format!("{id}.wav"))
    }

    fn place(&self, id: ExecutionId) -> Path {
        self.prefix.clone().join(format!("{id}.wav"))
    }

    /// Moves the scratch file to its place. Idempotent; `NotFound` without a scratch file or recording.
    pub async fn finish(&self, id: ExecutionId) -> Result<(), Error> {
        let scratch = self.scratch_path(id);
        if let Some(folder) = &self.folder {
            let place = folder.join(format!("{id}.wav"));
            let (from, folder) = (scratch.clone(), folder.clone());
            let moved = tokio::task::spawn_blocking(move || rename(&from, &place, &folder));
            match moved.await.map_err(io::Error::from).flatten() {
                Ok(()) => return Ok(()),
                // Looked for at its place, or on another disk: copied, below.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::CrossesDevices
                    ) => {}
                Err(error) => return Err(unreadable(&scratch, &error)),
            }
        }
        match self.upload(&scratch, &self.place(id)).await {
            Ok(()) => {}
            Err(Error::NotFound) => return self.size(id).await.map(|_| ()),
            Err(error) => return Err(error),
        }
        match tokio::fs::remove_file(&scratch).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unreadable(&scratch, &error)),
            _ => Ok(()),
        }
    }

    /// Copies a local file; `NotFound` without one.
    async fn upload(&self, from: &FilePath, place: &Path) -> Result<(), Error> {
        // Never closed.
        let _turn = self.uploads.acquire().await;
        let mut file = match tokio::fs::File::open(from).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::NotFound),
            Err(error) => return Err(unreadable(from, &error)),
        };
        let upload = self.objects.put_multipart(place).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match file.read(&mut chunk).await {
                Ok(read) => read,
                Err(error) => {
                    // What has been uploaded is of no use; the first fault is the one to tell.
                    let _ = upload.abort().await;
                    return Err(unreadable(from, &error));
                }
            };
            if read == 0 {
                break;
            }
            upload.wait_for_capacity(PARTS).await.map_err(failed)?;
            upload.write(&chunk[..read]);
        }
        upload.finish().await.map_err(failed)?;
        Ok(())
    }

    /// Size in bytes.
    pub async fn size(&self, id: ExecutionId) -> Result<u64, Error> {
        Ok(self
            .objects
            .head(&self.place(id))
            .await
            .map_err(failed)?
            .size)
    }

    /// Removes a recording, finished or not, with all its parts. Idempotent.
    pub async fn remove(&self, id: ExecutionId) -> Result<(), Error> {
        let scratch = self.scratch_path(id);
        match tokio::fs::remove_file(&scratch).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(unreadable(&scratch, &error));
            }
            _ => {}
        }
        let parts = self.parts(id).await?;
        for place in parts.iter().chain([&self.place(id)]) {
            match self.objects.delete(place).await.map_err(failed) {
                Err(Error::NotFound) => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Keeps a file that an account sent for one of its documents; where it lies, below the place of
    /// recordings.
    pub async fn keep_evidence(
        &self,
        account: AccountId,
        document: Uuid,
        name: &str,
        bytes: Bytes,
    ) -> Result<String, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = name.chars().filter(|c| plain(*c)).take(100).collect();
        let name = name.trim_start_matches('.');
        let name = if name.is_empty() { "evidence" } else { name };
        let place = format!("{account}/violations/{document}/{name}");
        let path = place
            .split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part));
        self.objects
            .put(&path, bytes.into())
            .await
            .map_err(failed)?;
        Ok(place)
    }

    /// Removes all that [`Recordings::keep_evidence`] kept of an account.
    pub async fn remove_evidence(&self, account: AccountId) -> Result<(), Error> {
        let folder = self.prefix.clone().join(account.to_string());
        let mut found = self.objects.list(Some(&folder));
        while let Some(file) = found.try_next().await.map_err(failed)? {
            self.objects.delete(&file.location).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Bytes of a recording, streamed; of a range the part that there is.
    pub async fn read(
        &self,
        id: ExecutionId,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let mut options = GetOptions::default();
        if let Some(range) = range {
            let size = self.size(id).await?;
            if range.start >= range.end.min(size) {
                return Ok(futures_util::stream::empty().boxed());
            }
            options.range = Some((range.start..range.end.min(size)).into());
        }
        let found = self
            .objects
            .get_opts(&self.place(id), options)
            .await
            .map_err(failed)?;
        Ok(found.into_stream().map_err(failed).boxed())
    }
}

/// Synced: a call counts as completed only when its recording is stored.
fn rename(from: &FilePath, to: &FilePath, folder: &FilePath) -> io::Result<()> {
    fs::File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    fs::File::open(folder)?.sync_all()
}

async fn make_folder(path: &FilePath) -> Result<(), Error> {
    tokio::fs::create_dir_all(path)
        .await
        .map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &FilePath, error: &std::io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", path.display()))
}

fn failed(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound,
        error => Error::Unavailable(format!("recordings: {error}")),
    }
}

fn connected(
    bucket: AmazonS3Builder,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Arc<dyn ObjectStore>, Error> {
    Ok(Arc::new(
        bucket
            .with_http_connector(Connector(tls))
            .build()
            .map_err(failed)?,
    ))
}

/// S3 over the process's TLS, with the roots in the binary: a bare machine has no certificates.
#[derive(Debug)]
struct Connector(Arc<rustls::ClientConfig>);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.0))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(ANSWER_LIMIT)
            .build();
        match client {
            Ok(client) => Ok(HttpClient::new(client)),
            Err(error) => Err(object_store::Error::Generic {
                store: "S3",
                source: error.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
