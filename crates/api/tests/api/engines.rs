//! What the suite runs on: SQLite; and all of it once more on PostgreSQL with Redis, in a process of its own.

use std::process::Command;

use bolo_store::{MasterKeys, Settings, Store};

pub use crate::postgres::Database;
use crate::{postgres, redis};

/// In the second process: the database that each test gets a copy of.
const TEMPLATE: &str = "BOLO_TEST_API_TEMPLATE";
/// Only tests of this name are to run there.
const ONLY: &str = "BOLO_TEST_API_ONLY";

/// The database of one test; `None` = SQLite.
pub async fn database() -> Option<Database> {
    let template = std::env::var(TEMPLATE).ok()?;
    Some(postgres::copy_of(&template).await)
}

/// The Redis beside PostgreSQL.
pub fn redis() -> String {
    redis::shared()
}

/// In memory where there is such a place: each commit waits for the disk.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

#[tokio::test]
async fn the_suite_passes_on_postgres_and_redis_too() {
    if std::env::var(TEMPLATE).is_ok() {
        return;
    }
    let Some(template) = postgres::database().await else {
        return;
    };
    let folder = folder();
    let store = Store::open(Settings {
        database_url: template.url.clone(),
        recordings_url: format!("file://{}", folder.path().display()),
        scratch: folder.path().join("scratch"),
        master_keys: MasterKeys(vec!["0".repeat(64).into()]),
        recordings_public_url: String::new(),
        node: "template".into(),
        redis_url: None,
        tls: None,
    });
    let store = store.await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite
        .env(TEMPLATE, &template.name)
        .env("BOLO_TEST_POSTGRES_URL", postgres::admin().await)
        .env("BOLO_TEST_REDIS_URL", redis())
        .args(std::env::var(ONLY));
    let ended = tokio::task::spawn_blocking(move || suite.output().unwrap());
    let ended = ended.await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "on PostgreSQL and Redis:\n{said}");
}
