//! Recordings in files.

use bolo_execution::ExecutionId;
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Lab, On};
use crate::{Error, Recordings, Store};

async fn all(
    recordings: &Recordings,
    id: ExecutionId,
    range: Option<std::ops::Range<u64>>,
) -> Vec<u8> {
    let parts: Vec<Bytes> = recordings
        .read(id, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    parts.concat()
}

#[tokio::test]
async fn a_recording_moves_from_scratch_to_its_place_and_is_read_in_parts() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let recordings = lab.store.recordings();
    let id = ExecutionId::new();
    for result in [
        recordings.finish(id).await,
        recordings.size(id).await.map(|_| ()),
    ] {
        assert!(matches!(result, Err(Error::NotFound)));
    }
    assert!(matches!(
        recordings.read(id, None).await.map(|_| ()),
        Err(Error::NotFound)
    ));

    // Larger than a part of an upload.
    let wav: Vec<u8> = (0..12_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(recordings.scratch_path(id), &wav).unwrap();
    recordings.finish(id).await.unwrap();
    assert!(!recordings.scratch_path(id).exists());
    recordings.finish(id).await.unwrap();
    assert_eq!(recordings.size(id).await.unwrap(), 12_000_000);
    assert!(all(recordings, id, None).await == wav);
    assert_eq!(
        all(recordings, id, Some(5_000_000..5_000_003)).await,
        wav[5_000_000..5_000_003]
    );
    assert_eq!(
        all(recordings, id, Some(11_999_999..u64::MAX)).await,
        wav[11_999_999..]
    );
    assert!(
        all(recordings, id, Some(12_000_000..12_000_001))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_crash_between_upload_and_removal_only_repeats_the_upload() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let recordings = lab.store.recordings();
    let id = ExecutionId::new();
    for text in ["short", "the whole of it"] {
        std::fs::write(recordings.scratch_path(id), text).unwrap();
        recordings.finish(id).await.unwrap();
    }
    assert_eq!(all(recordings, id, None).await, b"the whole of it");
}

#[tokio::test]
async fn a_bad_address_is_refused_by_the_settings_name() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    for bad in ["recordings", "ftp://host/x", "file://host/x", "s3:///x"] {
        let mut settings = lab.settings("a master key for tests", "node-1");
        settings.recordings_url = bad.into();
        let error = Store::open(settings).await.err().unwrap().to_string();
        assert!(error.starts_with("recordings"), "{bad}: {error}");
    }
}
