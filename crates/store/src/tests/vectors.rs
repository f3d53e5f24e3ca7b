//! The database compares vectors: the same passages as by looking at all of them, whoever wrote the chunks.

use std::time::{Duration, Instant};

use bolo_execution::{AccountId, KnowledgebaseId};
use rstest::rstest;
use sqlx::AssertSqlSafe;

use super::{Lab, NOW, On, tenant};
use crate::{Chunk, Db, KnowledgeSource, NewKnowledgebase, Store};

/// On a server with pgvector; says so where there is none.
async fn lab() -> Option<Lab> {
    let lab = Lab::on(On::Postgres).await?;
    let there: bool = scalar(
        &lab.store,
        "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')",
    )
    .await;
    if !there {
        eprintln!(
            "left out: this PostgreSQL has no pgvector (Debian: postgresql-VERSION-pgvector)"
        );
    }
    there.then_some(lab)
}

async fn scalar<T>(store: &Store, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let Db::Postgres(pool) = store.db() else {
        unreachable!()
    };
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn execute(store: &Store, sql: &str) {
    let Db::Postgres(pool) = store.db() else {
        unreachable!()
    };
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

/// The same sequence each time.
struct Random(u32);

impl Random {
    fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..dimensions).map(|_| next()).collect()
    }
}

/// A processed knowledgebase of these vectors; its chunks are called by their numbers.
async fn made(store: &Store, account: AccountId, vectors: &[Vec<f32>]) -> KnowledgebaseId {
    let new = NewKnowledgebase {
        file_name: "hours.pdf".into(),
        source: KnowledgeSource::Url("https://example.com".into()),
        chunk_size: 512,
        overlapping: 128,
        similarity_top_k: 15,
    };
    let id = store.add_knowledgebase(account, new, NOW).await.unwrap().id;
    let claimed = store.claim_knowledge(NOW, 1000).await.unwrap().unwrap();
    let chunk = |(number, vector): (usize, &Vec<f32>)| Chunk {
        text: number.to_string(),
        vector: vector.clone(),
    };
    let chunks = vectors.iter().enumerate().map(chunk).collect();
    store
        .add_chunks(&claimed, 0, chunks, NOW + 1000)
        .await
        .unwrap();
    store.settle_knowledge(&claimed, Ok(()), NOW).await.unwrap();
    id
}

/// By looking at all of them, in numbers of twice the length.
fn exact(vectors: &[Vec<f32>], question: &[f32], count: usize) -> Vec<(i64, f64)> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosine = |vector: &[f32]| {
        dot(vector, question) / (dot(vector, vector) * dot(question, question)).sqrt()
    };
    let mut all: Vec<(i64, f64)> = (0..)
        .zip(vectors.iter().map(|vector| cosine(vector)))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(count);
    all
}

#[tokio::test]
async fn pgvector_finds_what_an_exact_scan_finds() {
    let Some(lab) = lab().await else { return };
    let store = &lab.store;
    let mut random = Random(1);
    let vectors: Vec<_> = (0..1200).map(|_| random.vector(384)).collect();
    // Another account, and a knowledgebase of another embedder.
    let (other, _) = tenant(store, "other").await;
    let id = made(store, lab.account, &vectors).await;
    let short = made(store, lab.account, &[vec![1.0, 0.0], vec![0.5, 0.5]]).await;
    assert_eq!(store.fill_vectors().await.unwrap(), 1202);
    assert_eq!(store.fill_vectors().await.unwrap(), 0);
    // What is found is not found in the bytes.
    execute(store, "UPDATE knowledge_chunks SET vector = ''").await;
    for _ in 0..20 {
        let question = random.vector(384);
        let found = store
            .nearest_chunks(lab.account, id, &question, 15)
            .await
            .unwrap()
            .unwrap();
        let wanted = exact(&vectors, &question, 15);
        for (found, (number, score)) in found.iter().zip(&wanted) {
            assert_eq!((found.number, &found.text), (*number, &number.to_string()));
            assert!((f64::from(found.score) - score).abs() < 1e-5);
        }
        assert_eq!(found.len(), wanted.len());
        let foreign = store.nearest_chunks(other, id, &question, 15).await;
        assert_eq!(foreign.unwrap(), None);
    }
    let near = store
        .nearest_chunks(lab.account, short, &[3.0, 0.1], 5)
        .await
        .unwrap()
        .unwrap();
    let numbers: Vec<i64> = near.iter().map(|chunk| chunk.number).collect();
    assert_eq!(numbers, [0, 1]);
    // Of another length, and without a direction: as the exact scan says.
    for unfit in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[]] {
        let found = store.nearest_chunks(lab.account, short, unfit, 5).await;
        assert_eq!(found.unwrap(), None);
    }
}

#[tokio::test]
async fn chunks_of_an_older_node_are_found_before_and_after_they_are_filled() {
    let Some(lab) = lab().await else { return };
    let store = &lab.store;
    let question = [1.0, 0.1];
    let id = made(store, lab.account, &[vec![1.0, 0.0], vec![0.0, 1.0]]).await;
    let ask = async || {
        let found = store.nearest_chunks(lab.account, id, &question, 5).await;
        found.unwrap().map(|found| found.len())
    };
    assert_eq!(ask().await, None);
    store.fill_vectors().await.unwrap();
    assert_eq!(ask().await, Some(2));
    // One that nobody can compare leaves the others to the nodes, and is passed by.
    let insert = "INSERT INTO knowledge_chunks (knowledgebase_id, number, text, vector)";
    let late = format!(
        "{insert} VALUES ('{id}', 2, '2', '\\x0000803f0000803f'), ('{id}', 3, '3', '\\x00')"
    );
    execute(store, &late).await;
    assert_eq!(ask().await, None);
    assert_eq!(store.fill_vectors().await.unwrap(), 1);
    assert_eq!(ask().await, None);
    assert_eq!(
        store.knowledge_chunks(lab.account, id).await.unwrap().len(),
        4
    );
    execute(store, "DELETE FROM knowledge_chunks WHERE number = 3").await;
    assert_eq!(ask().await, Some(3));
}

/// An administrator takes the extension away, and brings it back; another node starts in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_extension_that_comes_later_takes_over_what_is_there() {
    let Some(lab) = lab().await else { return };
    let store = &lab.store;
    let mut random = Random(2);
    let vectors: Vec<_> = (0..1100).map(|_| random.vector(8)).collect();
    let id = made(store, lab.account, &vectors).await;
    store.fill_vectors().await.unwrap();
    execute(store, "DROP EXTENSION vector CASCADE").await;
    assert_eq!(store.fill_vectors().await.unwrap(), 0);
    let ask = async |store: &Store| {
        let found = store.nearest_chunks(lab.account, id, &vectors[7], 1).await;
        found.unwrap().map(|found| found[0].number)
    };
    assert_eq!(ask(store).await, None);

    let nodes = [
        lab.node("node-2").await,
        lab.node("node-3").await,
        lab.node("node-4").await,
    ];
    let starting = nodes
        .clone()
        .map(|node| tokio::spawn(async move { node.migrate().await }));
    for node in starting {
        assert_eq!(node.await.unwrap().unwrap(), 0);
    }
    let filling = nodes
        .clone()
        .map(|node| tokio::spawn(async move { node.fill_vectors().await }));
    let mut filled = 0;
    for node in filling {
        filled += node.await.unwrap().unwrap();
    }
    assert_eq!(filled, 1100);
    for node in &nodes {
        assert_eq!(ask(node).await, Some(7));
    }
    // Who was there all the time finds out.
    assert_eq!(ask(store).await, None);
    store.fill_vectors().await.unwrap();
    assert_eq!(ask(store).await, Some(7));
}

/// Neither an extension that may not be made, nor a database without any, is an error.
#[rstest]
#[tokio::test]
async fn without_pgvector_chunks_are_compared_by_nodes(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut store = lab.store.clone();
    let role = format!("poor_{}", uuid::Uuid::new_v4().simple());
    if on == On::Postgres {
        execute(
            &store,
            &format!(
                "DROP EXTENSION IF EXISTS vector CASCADE;
                CREATE ROLE {role} LOGIN PASSWORD 'poor';
                GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
                GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
            ),
        )
        .await;
        let mut settings = lab.settings(super::MASTER, "node-2");
        let mut address = url::Url::parse(&settings.database_url).unwrap();
        address.set_username(&role).unwrap();
        address.set_password(Some("poor")).unwrap();
        settings.database_url = address.into();
        store = Store::open(settings).await.unwrap();
    }
    store.migrate().await.unwrap();
    let id = made(&store, lab.account, &[vec![1.0, 0.0]]).await;
    assert_eq!(store.fill_vectors().await.unwrap(), 0);
    let found = store.nearest_chunks(lab.account, id, &[1.0, 0.0], 5).await;
    assert_eq!(found.unwrap(), None);
    let chunks = store.knowledge_chunks(lab.account, id).await.unwrap();
    assert_eq!(chunks.len(), 1);
    if on == On::Postgres {
        store.close().await;
        execute(
            &lab.store,
            &format!("DROP OWNED BY {role}; DROP ROLE {role}"),
        )
        .await;
    }
}

/// The chunks of one knowledgebase are found by their key, and whether one is not filled without a look at them.
#[tokio::test]
async fn a_search_reads_no_other_knowledgebase() {
    let Some(lab) = lab().await else { return };
    let store = &lab.store;
    let mut random = Random(3);
    let vectors: Vec<_> = (0..300).map(|_| random.vector(8)).collect();
    for _ in 0..20 {
        made(store, lab.account, &vectors).await;
    }
    store.fill_vectors().await.unwrap();
    execute(store, "ANALYZE knowledge_chunks").await;
    let sql = crate::vectors::NEAREST
        .replace("$1", "'account'")
        .replace("$2", "'knowledgebase'")
        .replace("$3", "'[1,2,3,4,5,6,7,8]'")
        .replace("$4", "8")
        .replace("$5", "15");
    let Db::Postgres(pool) = store.db() else {
        unreachable!()
    };
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {sql}")))
        .fetch_all(pool)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan on knowledge_chunks"), "{plan}");
    assert!(plan.contains("knowledge_chunks_unfilled"), "{plan}");
}

/// `cargo test --profile bench -p bolo-store --lib -- --ignored --nocapture hundred_thousand`.
#[tokio::test]
#[ignore = "minutes; prints times"]
async fn the_time_of_a_search_through_a_hundred_thousand_chunks() {
    const CHUNKS: usize = 100_000;
    let Some(lab) = lab().await else { return };
    let store = &lab.store;
    let mut random = Random(4);
    let vectors: Vec<_> = (0..CHUNKS).map(|_| random.vector(384)).collect();
    let began = Instant::now();
    let id = made(store, lab.account, &vectors).await;
    println!(
        "{CHUNKS} chunks of 384 dimensions: written in {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    assert_eq!(store.fill_vectors().await.unwrap(), CHUNKS as u64);
    println!("filled in {:?}", began.elapsed());
    execute(store, "VACUUM ANALYZE knowledge_chunks").await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let question = random.vector(384);
        let began = Instant::now();
        let found = store.nearest_chunks(lab.account, id, &question, 15).await;
        times.push(began.elapsed());
        assert_eq!(found.unwrap().unwrap().len(), 15);
    }
    print("pgvector", times);
    let mut times = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let chunks = store.knowledge_chunks(lab.account, id).await.unwrap();
        times.push(began.elapsed());
        assert_eq!(chunks.len(), CHUNKS);
    }
    print("a node reads all of them, once", times);
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |tenths: usize| times[times.len() * tenths / 10];
    println!("{what}: p50 {:?}, p90 {:?}", at(5), at(9));
}
