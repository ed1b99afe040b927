//! The schema, embedded and applied in order, one transaction each.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::db::{Db, Executor, StoreError};
use super::dialect::{self, Dialect};
use super::value::params;

/// One step of the schema. What is released is never edited: the next change is a new step.
struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($folder:literal) => {
        &[Migration {
            version: 1,
            name: "initial",
            sql: include_str!(concat!("../../../migrations/", $folder, "/0001_initial.sql")),
        }]
    };
}

const SQLITE: &[Migration] = migrations!("sqlite");
const POSTGRES: &[Migration] = migrations!("postgres");

/// Applies what is missing.
///
/// # Errors
/// [`StoreError::Refused`] where the database knows a step that this program does not (it was made by a newer
/// version) or one that reads otherwise now.
pub(super) async fn run(db: &Db) -> Result<(), StoreError> {
    let migrations = match db.dialect() {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    };
    apply(db, migrations).await
}

/// Whether a database has exactly the steps that this program knows.
pub(super) fn are_applied(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare("SELECT version, checksum FROM schema_migrations ORDER BY version")?;
    let applied = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let applied: Vec<(i64, String)> = applied.collect::<Result<_, _>>()?;
    Ok(applied.into_iter().eq(SQLITE.iter().map(|known| (known.version, known.checksum()))))
}

async fn apply(db: &Db, migrations: &[Migration]) -> Result<(), StoreError> {
    loop {
        // The applied steps are read under the write lock, so two processes that start together take turns.
        let mut transaction = db.begin().await?;
        transaction.batch(dialect::CREATE_MIGRATIONS).await?;
        let applied = transaction
            .query("SELECT version, name, checksum FROM schema_migrations ORDER BY version", params![])
            .await?;
        let mut missing = migrations.iter();
        for row in &applied {
            let (version, name, checksum): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let Some(known) = missing.next().filter(|known| known.version == version) else {
                return Err(StoreError::Refused(format!(
                    "the database has schema version {version} (\"{name}\"), this program knows up to {}: \
                     start the version that made it, or a newer one",
                    migrations.last().map_or(0, |last| last.version)
                )));
            };
            if checksum != known.checksum() {
                return Err(StoreError::Refused(format!(
                    "schema version {version} (\"{name}\") was applied to the database in another form than this \
                     program has it: start the version that made it, or restore a backup"
                )));
            }
        }
        let Some(next) = missing.next() else {
            return transaction.commit().await;
        };
        transaction.batch(next.sql).await?;
        transaction
            .execute(
                "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                params![next.version, next.name, next.checksum(), Timestamp::now()],
            )
            .await?;
        transaction.commit().await?;
        tracing::info!(version = next.version, name = next.name, "migration applied");
    }
}

impl Migration {
    /// SHA-256 of the step's text in hexadecimal.
    fn checksum(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(self.sql) {
            use std::fmt::Write;
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
