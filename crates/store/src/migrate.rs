//! Migrations, embedded: the same numbers and names in two folders, one a database.

use sqlx::{
    SqlStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use crate::{
    Error, Store,
    db::{Db, on},
};

/// Number, name, text for SQLite, text for PostgreSQL.
struct Step(i64, &'static str, &'static str, &'static str);

macro_rules! steps {
    ($(($number:literal, $name:literal)),+ $(,)?) => {
        &[$(Step(
            $number,
            $name,
            include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        )),+]
    };
}

const STEPS: &[Step] = steps![
    (1, "0001_first_call"),
    (2, "0002_transfers"),
    (3, "0003_fallbacks"),
    (4, "0004_platform"),
    (5, "0005_batches"),
    (6, "0006_worker"),
    (7, "0007_knowledge"),
    (8, "0008_nodes"),
    (9, "0009_edge"),
    (14, "0014_documents"),
    (16, "0016_batch_guards"),
    (26, "0026_attempts"),
    (27, "0027_lines"),
];

fn migrator(db: &Db, steps: &[Step]) -> Migrator {
    let migrations = steps
        .iter()
        .map(|Step(number, name, sqlite, postgres)| {
            let sql = match db {
                Db::Sqlite { .. } => sqlite,
                Db::Postgres(_) => postgres,
            };
            Migration::new(
                *number,
                (*name).into(),
                MigrationType::Simple,
                SqlStr::from_static(sql),
                false,
            )
        })
        .collect();
    Migrator::with_migrations(migrations)
}

impl Store {
    /// Applies pending migrations; returns how many there were. Safe when several nodes start at once:
    /// on PostgreSQL an advisory lock lets one go first, on SQLite the loser finds the work done. Then PostgreSQL
    /// is made to compare vectors, if it can.
    pub async fn migrate(&self) -> Result<usize, Error> {
        let first = self.pending_migrations().await?;
        let migrator = migrator(self.db(), STEPS);
        let mut waiting = first;
        while waiting > 0 {
            match on!(self.db().write(), |pool| run(
                &migrator,
                pool.alone().await?
            )
            .await)
            {
                Ok(()) => break,
                Err(error) => {
                    let left = self.pending_migrations().await?;
                    if left >= waiting {
                        return Err(Error::Unavailable(format!("migration: {error}")));
                    }
                    waiting = left;
                }
            }
        }
        self.prepare_vectors().await?;
        Ok(first)
    }

    /// All but the newest one: the tables of the version before.
    #[cfg(test)]
    pub(crate) async fn migrate_but_the_newest(&self) -> Result<(), MigrateError> {
        let migrator = migrator(self.db(), &STEPS[..STEPS.len() - 1]);
        on!(self.db().write(), |pool| run(
            &migrator,
            pool.alone().await?
        )
        .await)
    }

    /// Migrations that wait to be applied.
    pub async fn pending_migrations(&self) -> Result<usize, Error> {
        let table = match self.db() {
            Db::Sqlite { .. } => {
                "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'"
            }
            Db::Postgres(_) => {
                "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')"
            }
        };
        let tables: i64 = on!(self.db().write(), |pool| sqlx::query_scalar(table)
            .fetch_one(pool)
            .await)?;
        if tables == 0 {
            return Ok(STEPS.len());
        }
        let applied: Vec<i64> = on!(self.db().write(), |pool| {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(pool)
                .await
        })?;
        Ok(STEPS
            .iter()
            .filter(|step| !applied.contains(&step.0))
            .count())
    }
}

/// The connection is used up: after an error it may still hold the lock.
async fn run<C>(migrator: &Migrator, mut connection: C) -> Result<(), MigrateError>
where
    C: Migrate + sqlx::Connection,
{
    migrator.run_direct(None, &mut connection, false).await?;
    connection.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{collections::BTreeSet, path::Path};

    /// Made while there was no older node anywhere: it narrows a unique index that their inserts name.
    const BEFORE_THE_FIRST_RELEASE: &str = "0005_batches";

    /// Why an old node could not run beside a new one after this statement; `None` = it can.
    fn breaks_old_nodes(statement: &str, made: &BTreeSet<String>) -> Option<&'static str> {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let is_new = |table: &str| made.contains(table.trim_matches(['(', '"']));
        match words.as_slice() {
            ["CREATE", "TABLE" | "INDEX", ..] | ["INSERT" | "UPDATE", ..] => None,
            // Slower is not wrong.
            ["DROP", "INDEX", ..] => None,
            ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] if is_new(table) => None,
            ["CREATE", "UNIQUE", "INDEX", ..] => Some("what old nodes write may be refused"),
            ["ALTER", "TABLE", _, "ADD", "COLUMN", column @ ..] => {
                let (required, filled) = (column.contains(&"NOT"), column.contains(&"DEFAULT"));
                (required && !filled).then_some("old nodes don't fill it")
            }
            _ => Some("old nodes rely on what is there"),
        }
    }

    use super::*;

    /// Old and new nodes run side by side during an upgrade.
    #[test]
    fn migrations_only_add() {
        for Step(number, name, sqlite, postgres) in STEPS
            .iter()
            .filter(|step| step.0 > 1 && step.1 != BEFORE_THE_FIRST_RELEASE)
        {
            for sql in [sqlite, postgres] {
                let code: String = sql
                    .lines()
                    .map(|line| line.split("--").next().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join("\n");
                let mut made = BTreeSet::new();
                for statement in code
                    .split(';')
                    .map(str::trim)
                    .filter(|text| !text.is_empty())
                {
                    if let Some(rest) = statement.strip_prefix("CREATE TABLE ") {
                        made.insert(rest.split([' ', '(']).next().unwrap().to_owned());
                    }
                    let why = breaks_old_nodes(statement, &made);
                    assert_eq!(why, None, "{number} {name}: {statement}");
                }
            }
        }
    }

    #[test]
    fn what_breaks_old_nodes_is_noticed() {
        let made = BTreeSet::from(["new".to_owned()]);
        for (statement, is_fine) in [
            ("CREATE TABLE more (id TEXT NOT NULL)", true),
            ("ALTER TABLE calls ADD COLUMN a TEXT", true),
            (
                "ALTER TABLE calls ADD COLUMN a BIGINT NOT NULL DEFAULT 0",
                true,
            ),
            ("CREATE UNIQUE INDEX i ON new (id)", true),
            ("CREATE UNIQUE INDEX i ON calls (id)", false),
            ("ALTER TABLE calls ADD COLUMN a TEXT NOT NULL", false),
            ("ALTER TABLE calls RENAME COLUMN a TO b", false),
            ("DROP TABLE calls", false),
        ] {
            let why = breaks_old_nodes(statement, &made);
            assert_eq!(why.is_none(), is_fine, "{statement}: {why:?}");
        }
    }

    #[test]
    fn every_file_of_both_folders_is_embedded() {
        let embedded: BTreeSet<String> =
            STEPS.iter().map(|step| format!("{}.sql", step.1)).collect();
        for folder in ["sqlite", "postgres"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../migrations")
                .join(folder);
            let files: BTreeSet<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(files, embedded, "{folder}");
        }
        assert!(
            STEPS
                .iter()
                .all(|step| step.1.starts_with(&format!("{:04}_", step.0)))
        );
    }
}
