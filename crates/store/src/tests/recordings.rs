//! Recordings in files.

use bolo_execution::{Change, ExecutionId};
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

/// A recorder's file with these samples.
fn wav(samples: &[i16]) -> Vec<u8> {
    let mut file = vec![1; 44];
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// The samples of a call's recording, as it is stored.
async fn samples(store: &Store, id: ExecutionId) -> Vec<i16> {
    let file = all(store.recordings(), id, None).await;
    let samples = file[44..].chunks_exact(2);
    samples
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}

#[tokio::test]
async fn parts_that_several_nodes_recorded_are_one_recording_whenever_they_come() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    // Another node has a disk of its own, and the same place for recordings.
    let mut settings = lab.settings(super::MASTER, "other");
    settings.scratch = lab.folder.path().join("other");
    let other = Store::open(settings).await.unwrap();
    let mut settings = lab.settings(super::MASTER, "dead");
    settings.scratch = lab.folder.path().join("dead");
    let dead = Store::open(settings).await.unwrap();

    let id = lab.talking().await.id;
    let write = |store: &Store, samples: &[i16]| {
        std::fs::write(store.recordings().scratch_path(id), wav(samples)).unwrap();
    };
    write(&dead, &[1, 2]);
    write(&lab.store, &[0, 0, 3, 4]);
    lab.store.hand_in_recording(id).await.unwrap();
    assert!(!lab.store.recordings().scratch_path(id).exists());
    lab.store.hand_in_recording(id).await.unwrap();
    write(&other, &[0, 0, 0, 0, 5, 6]);
    assert_eq!(
        other
            .recordings()
            .left_behind(std::time::Duration::ZERO)
            .await
            .unwrap(),
        [id]
    );
    let change = async |change| {
        let changed = lab
            .store
            .change(id, change, crate::Facts::default(), super::NOW);
        changed.await.unwrap();
    };
    change(Change::MediaEnded).await;
    // While its end is written, nobody else touches it.
    dead.hand_in_recording(id).await.unwrap();
    assert!(dead.recordings().scratch_path(id).exists());
    other.recordings().finish_joined(id).await.unwrap();
    change(Change::Recorded).await;
    assert_eq!(samples(&lab.store, id).await, [0, 0, 3, 4, 5, 6]);
    dead.hand_in_recording(id).await.unwrap();
    assert_eq!(samples(&lab.store, id).await, [1, 2, 3, 4, 5, 6]);
    assert!(
        lab.store
            .execution_unscoped(id)
            .await
            .unwrap()
            .has_recording
    );
    // Nothing is left anywhere.
    for store in [&lab.store, &other, &dead] {
        let files = std::fs::read_dir(store.recordings().scratch_path(id).parent().unwrap());
        assert_eq!(files.unwrap().count(), 0);
    }
    let parts = lab
        .folder
        .path()
        .join("recordings/parts")
        .join(id.to_string());
    assert!(std::fs::read_dir(parts).map_or(0, Iterator::count) == 0);
}
