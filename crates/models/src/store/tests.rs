//! Finding, unpacking, refusing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;

use super::*;
use tempfile::tempdir;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files")
}

#[test]
fn a_packed_model_is_unpacked_once_and_by_many_at_once() {
    let data = tempdir().unwrap();
    let store = Store::with(vec![files()], data.path().join("models"));
    let paths: Vec<PathBuf> = thread::scope(|scope| {
        let run = || {
            store
                .clone()
                .path("smart-turn", "smart-turn-v3.2-cpu.onnx")
                .unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    assert_eq!(fs::metadata(&paths[0]).unwrap().len(), 8_679_182);
    let left: Vec<_> = fs::read_dir(paths[0].parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no scratch file stays");

    let alone = Store::with(Vec::new(), data.path().join("models"));
    assert_eq!(
        alone
            .path("smart-turn", "smart-turn-v3.2-cpu.onnx")
            .unwrap(),
        paths[0]
    );
}

#[test]
fn a_plain_file_is_used_where_it_lies() {
    let data = tempdir().unwrap();
    let store = Store::with(vec![files()], data.path().to_owned());
    let path = store.path("pico", "en-US_ta.bin").unwrap();
    assert_eq!(path, files().join("pico").join("en-US_ta.bin"));
}

#[test]
fn a_damaged_file_is_refused() {
    let data = tempdir().unwrap();
    let folder = data.path().join("pico");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("en-US_ta.bin"), b"not a voice").unwrap();
    let store = Store::with(vec![data.path().to_owned()], data.path().join("unpacked"));
    assert!(matches!(
        store.path("pico", "en-US_ta.bin"),
        Err(Error::Damaged { .. })
    ));
    // Packed: wrong content inside a sound archive.
    let folder = data.path().join("smart-turn");
    fs::create_dir_all(&folder).unwrap();
    let packed = zstd::encode_all(&b"not a model"[..], 1).unwrap();
    fs::write(folder.join("smart-turn-v3.2-cpu.onnx.zst"), packed).unwrap();
    let refused = store.path("smart-turn", "smart-turn-v3.2-cpu.onnx");
    assert!(matches!(refused, Err(Error::Damaged { .. })));
    assert!(
        !data
            .path()
            .join("unpacked/smart-turn/smart-turn-v3.2-cpu.onnx")
            .exists()
    );
}

#[test]
fn a_missing_model_says_what_to_do() {
    let data = tempdir().unwrap();
    let store = Store::with(Vec::new(), data.path().to_owned());
    let error = |model, file| store.path(model, file).unwrap_err().to_string();
    assert!(
        error("smart-turn", "smart-turn-v3.2-cpu.onnx").contains("bolo models pull smart-turn")
    );
    assert!(error("moonshine-tiny-en", "encoder.onnx").contains("models_dir"));
    assert!(error("whisper", "x").contains("bolo models list"));
}

#[test]
fn the_list_tells_what_is_there() {
    let data = tempdir().unwrap();
    let store = Store::with(vec![files()], data.path().to_owned());
    for model in store.list() {
        let handed_on = files().join(&model.name).exists();
        assert_eq!(model.present, handed_on, "{}", model.name);
        assert_eq!(model.present, model.folder.is_some());
    }
    let empty = Store::with(Vec::new(), data.path().to_owned());
    assert!(
        empty
            .list()
            .iter()
            .all(|model| !model.present && model.bytes > 0)
    );
}

#[test]
fn every_file_has_the_promised_sum() {
    let data = tempdir().unwrap();
    let store = Store::with(vec![files()], data.path().to_owned());
    let handed_on = |model: &&Model| files().join(&model.name).exists();
    for model in catalogue::all().iter().filter(handed_on) {
        for file in &model.file {
            let path = store.path(&model.name, &file.name).unwrap();
            assert_eq!(fs::metadata(path).unwrap().len(), file.bytes);
        }
    }
}
