//! Knowledgebases: kept, claimed, searched by their account only.

use rstest::rstest;
use uuid::Uuid;

use super::{Lab, NOW, On, tenant};
use crate::{Chunk, Error, Ingest, KnowledgeSource, NewKnowledgebase};

fn pdf() -> NewKnowledgebase {
    NewKnowledgebase {
        file_name: "hours.pdf".into(),
        source: KnowledgeSource::Pdf(b"%PDF-1.4 \0\xff".to_vec()),
        chunk_size: 512,
        overlapping: 128,
        similarity_top_k: 15,
    }
}

fn chunk(text: &str, vector: &[f32]) -> Chunk {
    Chunk {
        text: text.into(),
        vector: vector.to_vec(),
    }
}

#[rstest]
#[tokio::test]
async fn a_document_is_processed_by_one_and_read_by_its_account(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let added = store
        .add_knowledgebase(lab.account, pdf(), NOW)
        .await
        .unwrap();
    assert_eq!(added.ingest, Ingest::Processing);

    let claimed = store.claim_knowledge(NOW, 1000).await.unwrap().unwrap();
    assert_eq!((claimed.id, claimed.tries), (added.id, 1));
    assert_eq!(claimed.source, pdf().source);
    assert_eq!(store.claim_knowledge(NOW + 999, 1000).await.unwrap(), None);
    let chunks = [chunk("one", &[1.0, -0.5]), chunk("two", &[0.25, 1e-9])];
    store
        .add_chunks(&claimed, 0, chunks[..1].to_vec(), NOW + 2000)
        .await
        .unwrap();
    store
        .add_chunks(&claimed, 1, chunks[1..].to_vec(), NOW + 2000)
        .await
        .unwrap();
    store
        .settle_knowledge(&claimed, Ok(()), NOW + 5)
        .await
        .unwrap();

    let (other, _) = tenant(store, "other").await;
    // Either id leads to it, in its own account.
    for id in [added.id.0, added.vector_id] {
        let found = store.knowledgebase(lab.account, id).await.unwrap();
        assert_eq!((found.ingest.clone(), found.chunks), (Ingest::Processed, 2));
        assert_eq!((found.created_at, found.updated_at), (NOW, NOW + 5));
        assert!(matches!(
            store.knowledgebase(other, id).await,
            Err(Error::NotFound)
        ));
        assert!(matches!(
            store.remove_knowledgebase(other, id).await,
            Err(Error::NotFound)
        ));
    }
    assert_eq!(
        store.knowledge_chunks(lab.account, added.id).await.unwrap(),
        chunks
    );
    let foreign = store.knowledge_chunks(other, added.id).await;
    assert!(matches!(foreign, Err(Error::NotFound)));
    assert_eq!(store.knowledgebases(lab.account).await.unwrap().len(), 1);
    assert!(store.knowledgebases(other).await.unwrap().is_empty());

    store
        .remove_knowledgebase(lab.account, added.vector_id)
        .await
        .unwrap();
    assert!(store.knowledgebases(lab.account).await.unwrap().is_empty());
    let gone = store.knowledge_chunks(lab.account, added.id).await;
    assert!(matches!(gone, Err(Error::NotFound)));
}

#[rstest]
#[tokio::test]
async fn who_died_over_it_is_followed_by_another_from_the_beginning(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let added = store
        .add_knowledgebase(lab.account, pdf(), NOW)
        .await
        .unwrap();
    let dead = store.claim_knowledge(NOW, 1000).await.unwrap().unwrap();
    store
        .add_chunks(&dead, 0, vec![chunk("half", &[1.0])], NOW + 1000)
        .await
        .unwrap();
    let next = store
        .claim_knowledge(NOW + 1000, 1000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((next.id, next.tries), (added.id, 2));
    // Should it live after all: nothing of it counts any more.
    let late = store
        .add_chunks(&dead, 1, vec![chunk("late", &[1.0])], NOW + 9000)
        .await;
    assert!(matches!(late, Err(Error::NotFound)));
    let late = store.settle_knowledge(&dead, Ok(()), NOW + 9000).await;
    assert!(matches!(late, Err(Error::NotFound)));
    store
        .add_chunks(&next, 0, vec![chunk("whole", &[1.0])], NOW + 3000)
        .await
        .unwrap();
    let reason = Err("no text\0 in it".to_owned());
    store
        .settle_knowledge(&next, reason, NOW + 1500)
        .await
        .unwrap();
    let found = store.knowledgebase(lab.account, added.id.0).await.unwrap();
    assert!(matches!(found.ingest, Ingest::Error(reason) if reason.starts_with("no text")));
    assert_eq!(store.claim_knowledge(NOW + 99_999, 1).await.unwrap(), None);

    // Removed while it is processed.
    store
        .add_knowledgebase(lab.account, pdf(), NOW)
        .await
        .unwrap();
    let claimed = store.claim_knowledge(NOW, 1000).await.unwrap().unwrap();
    store
        .remove_knowledgebase(lab.account, claimed.id.0)
        .await
        .unwrap();
    let lost = store.settle_knowledge(&claimed, Ok(()), NOW).await;
    assert!(matches!(lost, Err(Error::NotFound)));
    let nobody = bolo_execution::AccountId(Uuid::new_v4());
    let orphan = store.add_knowledgebase(nobody, pdf(), NOW).await;
    assert!(matches!(orphan, Err(Error::NotFound)));
}
