//! A request with a key has effect once, also when it comes twice at the same time.

use rstest::rstest;
use serde_json::{Value, json};

use super::{Lab, NOW, On};
use crate::{BatchUpload, Error, Filter, Once, Recalled, once::REMEMBERED_MS};

fn answer(record: &bolo_execution::Record) -> Value {
    json!({ "id": record.id.to_string() })
}

#[rstest]
#[tokio::test]
async fn a_key_is_remembered_with_its_answer_for_a_day(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let once = Once::new(lab.account, "POST /call", "k-1", b"body");
    assert_eq!(store.recall(&once, NOW).await.unwrap(), Recalled::New);
    let (record, _) = store
        .create_execution_once(lab.call(), &once, answer, NOW)
        .await
        .unwrap();
    let kept = Recalled::Answer(json!({ "id": record.id.to_string() }));
    assert_eq!(store.recall(&once, NOW + 1).await.unwrap(), kept);

    let other = Once::new(lab.account, "POST /call", "k-1", b"another body");
    assert_eq!(store.recall(&other, NOW).await.unwrap(), Recalled::Other);
    let elsewhere = Once::new(lab.account, "POST /batches", "k-1", b"body");
    assert_eq!(store.recall(&elsewhere, NOW).await.unwrap(), Recalled::New);
    let (stranger, _) = super::tenant(store, "stranger").await;
    let theirs = Once::new(stranger, "POST /call", "k-1", b"body");
    assert_eq!(store.recall(&theirs, NOW).await.unwrap(), Recalled::New);

    // The same request at the same time: the second finds the first's row and makes nothing.
    let again = store.create_execution_once(lab.call(), &once, answer, NOW);
    assert!(matches!(again.await, Err(Error::Conflict(_))));
    let calls = store
        .executions(lab.account, &Filter::default(), 1, 20)
        .await
        .unwrap();
    assert_eq!(calls.total, 1);

    // A day later the key is new, whether it was swept or not.
    let tomorrow = NOW + REMEMBERED_MS;
    assert_eq!(store.recall(&once, tomorrow).await.unwrap(), Recalled::New);
    store
        .create_execution_once(lab.call(), &once, answer, tomorrow)
        .await
        .unwrap();
    store.forget_keys(tomorrow).await.unwrap();
    assert_ne!(store.recall(&once, tomorrow).await.unwrap(), Recalled::New);
    store.forget_keys(tomorrow + REMEMBERED_MS).await.unwrap();
    assert_eq!(store.recall(&once, tomorrow).await.unwrap(), Recalled::New);
}

#[rstest]
#[tokio::test]
async fn a_key_of_a_batch_is_kept_with_the_batch_or_not_at_all(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let once = Once::new(lab.account, "POST /batches", "k-1", b"body");
    let (first, second) = (lab.upload().await, lab.upload().await);
    let answer = |upload: &BatchUpload| json!({ "id": upload.id().to_string() });
    // Nothing is known of a key whose batch is not there: a crash leaves it new.
    assert_eq!(store.recall(&once, NOW).await.unwrap(), Recalled::New);
    let told = answer(&first);
    let made = first.finish(0, Some((&once, &told)), NOW).await.unwrap();
    assert_eq!(
        store.recall(&once, NOW).await.unwrap(),
        Recalled::Answer(told.clone())
    );
    let late = second.finish(0, Some((&once, &answer(&second))), NOW).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    second.discard(NOW).await.unwrap();
    let batches = store.batches(lab.account, lab.agent).await.unwrap();
    assert_eq!(
        batches.iter().map(|batch| batch.id).collect::<Vec<_>>(),
        [made]
    );
    assert_eq!(
        store.recall(&once, NOW).await.unwrap(),
        Recalled::Answer(told)
    );
}
