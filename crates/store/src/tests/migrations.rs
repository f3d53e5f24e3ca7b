//! Migrations: once, by whoever comes first; the same tables on both databases.

use std::collections::BTreeSet;

use rstest::rstest;

use super::{Lab, On, postgres, settings};
use crate::{Db, Error, Store};

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_migrate_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let folder = super::folder();
    let database = match on {
        On::Sqlite => None,
        On::Postgres => match postgres::database().await {
            Some(database) => Some(database),
            None => return,
        },
    };
    let mut stores = Vec::new();
    for n in 0..4 {
        let settings = settings(
            folder.path(),
            database.as_ref(),
            super::MASTER,
            &format!("node-{n}"),
        );
        stores.push(Store::open(settings).await.unwrap());
    }
    assert!(stores[0].pending_migrations().await.unwrap() > 0);
    let nodes = stores
        .iter()
        .cloned()
        .map(|store| tokio::spawn(async move { store.migrate().await }));
    for node in nodes.collect::<Vec<_>>() {
        node.await.unwrap().unwrap();
    }
    assert_eq!(stores[0].pending_migrations().await.unwrap(), 0);
    assert_eq!(stores[1].migrate().await.unwrap(), 0);
    stores[2].ping().await.unwrap();
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let Some(postgres) = Lab::on(On::Postgres).await else {
        return;
    };
    let sqlite = Lab::on(On::Sqlite).await.unwrap();
    let columns = async |lab: &Lab| -> BTreeSet<String> {
        let sql = match lab.store.db() {
            Db::Sqlite { .. } => {
                "SELECT m.name || '.' || c.name || CASE WHEN c.\"notnull\" = 1 THEN '' ELSE '?' END
                 FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'"
            }
            Db::Postgres(_) => {
                "SELECT table_name || '.' || column_name || CASE WHEN is_nullable = 'NO' THEN '' ELSE '?' END
                 FROM information_schema.columns WHERE table_schema = 'public'"
            }
        };
        let names: Vec<String> =
            crate::db::on!(lab.store.db().read(), |pool| sqlx::query_scalar(sql)
                .fetch_all(pool)
                .await)
            .unwrap();
        names
            .into_iter()
            .filter(|name| !name.starts_with("_sqlx") && !name.starts_with("call_logs.id"))
            // Only where the server has pgvector.
            .filter(|name| name != "knowledge_chunks.embedding?")
            .collect()
    };
    let indexes = async |lab: &Lab| -> BTreeSet<String> {
        let sql = match lab.store.db() {
            Db::Sqlite { .. } => {
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            }
            Db::Postgres(_) => "SELECT indexname::TEXT FROM pg_indexes WHERE schemaname = 'public'",
        };
        let names: Vec<String> =
            crate::db::on!(lab.store.db().read(), |pool| sqlx::query_scalar(sql)
                .fetch_all(pool)
                .await)
            .unwrap();
        names
            .into_iter()
            .filter(|name| !name.ends_with("_key") && !name.ends_with("_pkey"))
            .filter(|name| name != "knowledge_chunks_unfilled")
            .collect()
    };
    assert_eq!(columns(&sqlite).await, columns(&postgres).await);
    assert_eq!(indexes(&sqlite).await, indexes(&postgres).await);
}

#[tokio::test]
async fn a_bad_database_address_is_refused_without_showing_a_password() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    for bad in [
        "mysql://x",
        "sqlite::memory:",
        "sqlite://",
        "postgres://user:secret@host:notaport/db",
    ] {
        let mut settings = lab.settings(super::MASTER, "node-1");
        settings.database_url = bad.into();
        let error = Store::open(settings).await.err().unwrap();
        assert!(
            matches!(&error, Error::Unavailable(text) if text.starts_with("database.url:")),
            "{bad}: {error}"
        );
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn sqlite_is_opened_to_keep_what_was_committed() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let Db::Sqlite { write, read } = lab.store.db() else {
        unreachable!()
    };
    let pragma = async |pool, name| {
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
        sqlx::query_scalar::<_, String>(sql)
            .fetch_one(pool)
            .await
            .unwrap()
    };
    assert_eq!(pragma(write, "journal_mode").await, "wal");
    assert_eq!(pragma(write, "synchronous").await, "2");
    assert_eq!(pragma(write, "foreign_keys").await, "1");
    assert_eq!(pragma(read, "query_only").await, "1");
    assert_eq!(write.size(), 1);
}

/// What nodes have written since the first version, in the columns that it had.
fn written(nth: usize) -> [String; 6] {
    [
        format!("INSERT INTO accounts (id, name, email, concurrency, wallet, created_at)
            VALUES ('account-{nth}', 'name-{nth}', 'ops@example.com', 1, 0, 1)"),
        format!("INSERT INTO agents (id, account_id, version, created_at, updated_at)
            VALUES ('agent-{nth}', 'account-{nth}', 1, 1, 1)"),
        format!("INSERT INTO agent_versions (agent_id, version, body, created_at) VALUES ('agent-{nth}', 1, '{{}}', 1)"),
        format!("INSERT INTO executions (id, account_id, agent_id, agent_version, status, direction, provider,
                to_number, from_number, user_data, bypass_guardrails, created_at, updated_at, due_at)
            VALUES ('call-{nth}', 'account-{nth}', 'agent-{nth}', 1, 'queued', 'outbound', 'twilio',
                '+14155550100', '+14155550199', '{{}}', FALSE, 1, 1, 1)"),
        format!("UPDATE executions SET status = 'initiated', sequence = sequence + 1, owner_instance = 'old',
                owner_epoch = owner_epoch + 1, transcript = 'user: hello' WHERE id = 'call-{nth}'"),
        format!("INSERT INTO webhooks (id, execution_id, account_id, sequence, status, url, body, state, created_at, due_at)
            VALUES ('webhook-{nth}', 'call-{nth}', 'account-{nth}', 1, 'initiated', 'https://example.com', '{{}}',
                'waiting', 1, 1)"),
    ]
}

async fn write(tx: &mut crate::db::Tx, nth: usize) {
    for sql in written(nth) {
        crate::db::on!(&mut *tx, |tx| sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut **tx)
            .await
            .map(drop))
        .unwrap();
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_version_before_writes_while_the_newest_migration_runs(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let folder = super::folder();
    let database = match on {
        On::Sqlite => None,
        On::Postgres => match postgres::database().await {
            Some(database) => Some(database),
            None => return,
        },
    };
    let open = async |name| {
        let settings = settings(folder.path(), database.as_ref(), super::MASTER, name);
        Store::open(settings).await.unwrap()
    };
    let (old, new) = (open("old").await, open("new").await);
    old.migrate_but_the_newest().await.unwrap();
    assert_eq!(new.pending_migrations().await.unwrap(), 1);
    let mut tx = old.db().begin().await.unwrap();
    write(&mut tx, 1).await;
    let migrating = tokio::spawn({
        let new = new.clone();
        async move { new.migrate().await }
    });
    // It waits for what the old node has not committed yet, where it touches that at all.
    if let Db::Postgres(pool) = old.db() {
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock')";
        while !migrating.is_finished()
            && !sqlx::query_scalar::<_, bool>(waits)
                .fetch_one(pool)
                .await
                .unwrap()
        {
            tokio::task::yield_now().await;
        }
    }
    tx.commit().await.unwrap();
    migrating.await.unwrap().unwrap();
    assert_eq!(new.pending_migrations().await.unwrap(), 0);
    let mut tx = old.db().begin().await.unwrap();
    write(&mut tx, 2).await;
    tx.commit().await.unwrap();
    let calls: i64 = crate::db::on!(new.db().read(), |pool| sqlx::query_scalar(
        "SELECT COUNT(*) FROM executions WHERE owner_instance = 'old'"
    )
    .fetch_one(pool)
    .await)
    .unwrap();
    assert_eq!(calls, 2);
}
