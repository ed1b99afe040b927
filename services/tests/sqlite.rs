//! SQLite's own: the file, its rights, its locks and its damages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use flagstone_services::store::{DatabaseOptions, DatabaseUrl, Db, Executor, StoreError, Value};
use tempfile::TempDir;

fn options(path: &Path) -> DatabaseOptions {
    let mut options = DatabaseOptions::new(DatabaseUrl::SqliteFile(path.to_owned()));
    options.busy_timeout = Duration::from_millis(50);
    options
}

/// A database at `path`, closed again.
async fn made(path: &Path) {
    Db::open(options(path)).await.unwrap().close(Duration::from_secs(5)).await.unwrap();
}

async fn refusal(path: &Path) -> String {
    match Db::open(options(path)).await {
        Err(StoreError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_are_read() {
    let file = |path: &str| DatabaseUrl::SqliteFile(path.into());
    assert_eq!(DatabaseUrl::parse("sqlite:data/a.db"), Ok(file("data/a.db")));
    assert_eq!(DatabaseUrl::parse("sqlite:///var/a.db"), Ok(file("/var/a.db")));
    assert_eq!(DatabaseUrl::parse("sqlite::temporary:"), Ok(DatabaseUrl::SqliteTemporary));
    let postgres = DatabaseUrl::parse("postgres://user:hunter2@host/db?sslmode=verify-full");
    assert!(matches!(postgres, Ok(DatabaseUrl::Postgres(_))), "{postgres:?}");
    let wrong = [
        "postgres://user:hunter2@host:port/db",
        "postgres://user:hunter2@host/db?pool=3",
        "mysql://user:hunter2@host/db",
    ];
    for wrong in ["", "sqlite:", "sqlite::memory:"].into_iter().chain(wrong) {
        let Err(StoreError::Refused(reason)) = DatabaseUrl::parse(wrong) else { panic!("{wrong}") };
        assert!(!reason.contains("hunter2"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_folder_are_made_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/folder/flagstone.db");
    let db = Db::open(options(&path)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    db.close(Duration::from_secs(5)).await.unwrap();
    assert!(!path.with_extension("db-wal").exists(), "folded into the file when closed");
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    let db = Db::open(options(&path)).await.unwrap();
    let mut transaction = db.begin().await.unwrap();
    transaction.execute("INSERT INTO system_config VALUES ('k', 'v', 0)", vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    db.close(Duration::from_secs(5)).await.unwrap();
    let db = Db::open(options(&path)).await.unwrap();
    let row = db.read().await.unwrap().query_one("SELECT value FROM system_config", vec![]).await.unwrap();
    assert_eq!(row.get::<String>(0).unwrap(), "v");
}

#[tokio::test]
async fn a_lock_of_another_process_makes_it_unavailable_until_it_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    let db = Db::open(options(&path)).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(db.begin().await, Err(StoreError::Unavailable(_))));
    db.read().await.unwrap().query("SELECT 1", vec![]).await.unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    db.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    let db = Db::open(options(&path)).await.unwrap();
    let mut transaction = db.begin().await.unwrap();
    transaction
        .execute(
            "INSERT INTO schema_migrations VALUES ($1, 'from the future', '', 0)",
            vec![Value::from(999_i64)],
        )
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    db.close(Duration::from_secs(5)).await.unwrap();
    let reason = refusal(&path).await;
    assert!(reason.contains("999") && reason.contains("from the future"), "{reason}");
}

#[tokio::test]
async fn an_altered_migration_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    made(&path).await;
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1")
        .unwrap();
    let reason = refusal(&path).await;
    assert!(reason.contains("schema version 1"), "{reason}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    let text = "not a database, but somebody's diary\n".repeat(200);
    fs::write(&path, &text).unwrap();
    let reason = refusal(&path).await;
    assert!(reason.contains("flagstone.db"), "{reason}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_page_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    made(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 8_192].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let reason = refusal(&path).await;
    assert!(reason.contains("damaged"), "{reason}");
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_is_unavailable() {
    let folder = TempDir::new().unwrap();
    let opened = Db::open(options(folder.path())).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
}

#[tokio::test]
async fn two_that_start_together_migrate_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flagstone.db");
    let mut patient = options(&path);
    patient.busy_timeout = Duration::from_secs(5);
    let (one, other) = tokio::join!(Db::open(patient.clone()), Db::open(patient));
    let (one, other) = (one.unwrap(), other.unwrap());
    let count = "SELECT COUNT(*) FROM schema_migrations WHERE version = 1";
    for db in [one, other] {
        let row = db.read().await.unwrap().query_one(count, vec![]).await.unwrap();
        assert_eq!(row.get::<i64>(0).unwrap(), 1);
    }
}
