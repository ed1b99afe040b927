//! What becomes of the file while it is open: it is replaced, truncated, gone, and whole again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flagstone_services::store::{DatabaseOptions, DatabaseUrl, Db, Executor, StoreError, Value};
use tempfile::TempDir;

/// The longest that a mended file may take to be noticed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fixture {
    folder: TempDir,
    db: Db,
}

impl Fixture {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut options = DatabaseOptions::new(DatabaseUrl::SqliteFile(folder.path().join("flagstone.db")));
        options.busy_timeout = Duration::from_millis(50);
        Self { db: Db::open(options).await.unwrap(), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("flagstone.db")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn put(&self, key: &str) -> Result<(), StoreError> {
        let mut transaction = self.db.begin().await?;
        let key = Value::from(key.to_owned());
        transaction.execute("INSERT INTO system_config VALUES ($1, 'v', 0)", vec![key]).await?;
        transaction.commit().await
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.db.read().await?.query("SELECT key FROM system_config ORDER BY key", vec![]).await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The keys, once the database is available again.
    async fn keys_again(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.keys().await {
                Ok(keys) => return keys,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn is_unavailable(&self, reason: &str) {
        for outcome in [self.put("refused").await, self.keys().await.map(drop)] {
            let Err(StoreError::Unavailable(said)) = &outcome else { panic!("{outcome:?}") };
            assert!(said.contains(reason), "{said}");
        }
    }

    /// A consistent copy, as a backup is made.
    fn backup(&self) -> PathBuf {
        let copy = self.beside("backup.db");
        let into = format!("VACUUM INTO '{}'", copy.display());
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(&into).unwrap();
        copy
    }

    /// Folds the write-ahead log into the file.
    fn fold(&self) {
        let outside = rusqlite::Connection::open(self.path()).unwrap();
        outside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }

    fn truncate(&self, length: u64) {
        OpenOptions::new().write(true).open(self.path()).unwrap().set_len(length).unwrap();
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_truncated_file_is_not_written_to_until_a_backup_took_its_place() {
    let fixture = Fixture::new().await;
    fixture.put("a").await.unwrap();
    fixture.fold();
    fixture.put("b").await.unwrap();
    let backup = fixture.backup();
    for (round, length_left) in [0, length(&fixture.path()) / 2].into_iter().enumerate() {
        fixture.truncate(length_left);
        fixture.is_unavailable("").await;
        assert_eq!(length(&fixture.path()), length_left, "left alone");
        let copy = fixture.beside("copy.db");
        fs::copy(&backup, &copy).unwrap();
        fs::rename(&copy, fixture.path()).unwrap();
        assert_eq!(fixture.keys_again().await, ["a", "b"], "round {round}");
    }
    fixture.put("c").await.unwrap();
    assert_eq!(fixture.keys().await.unwrap(), ["a", "b", "c"]);
    assert!(fixture.beside("flagstone.db-wal.replaced").exists(), "the log of the old file is kept");
}

#[tokio::test]
async fn a_file_restored_in_place_goes_on_with_its_log() {
    let fixture = Fixture::new().await;
    fixture.put("a").await.unwrap();
    fixture.fold();
    let bytes = fs::read(fixture.path()).unwrap();
    fixture.put("only in the log").await.unwrap();
    fixture.truncate(4_096);
    fixture.is_unavailable("").await;
    fs::write(fixture.path(), bytes).unwrap();
    assert_eq!(fixture.keys_again().await, ["a", "only in the log"]);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_made_anew_and_is_found_when_it_is_back() {
    let fixture = Fixture::new().await;
    fixture.put("a").await.unwrap();
    fs::rename(fixture.path(), fixture.beside("elsewhere")).unwrap();
    fixture.is_unavailable("").await;
    assert!(!fixture.path().exists());
    fs::rename(fixture.beside("elsewhere"), fixture.path()).unwrap();
    assert_eq!(fixture.keys_again().await, ["a"]);
}

#[tokio::test]
async fn a_damaged_page_makes_it_unavailable_and_closing_it_leaves_the_file_alone() {
    let fixture = Fixture::new().await;
    fixture.put("a").await.unwrap();
    fixture.fold();
    let mut bytes = fs::read(fixture.path()).unwrap();
    bytes[4_096..].fill(0xa5);
    // Not shorter and no other file: it is found out by the first who reads such a page.
    fs::write(fixture.path(), &bytes).unwrap();
    let found = fixture.keys().await;
    assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    fixture.is_unavailable("").await;
    let before = fs::read(fixture.path()).unwrap();
    fixture.db.close(Duration::from_secs(5)).await.unwrap();
    assert!(fs::read(fixture.path()).unwrap() == before, "left alone");
}

#[tokio::test]
async fn a_truncated_file_is_left_alone_when_the_database_is_closed() {
    let fixture = Fixture::new().await;
    fixture.put("a").await.unwrap();
    fixture.truncate(0);
    fixture.db.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(length(&fixture.path()), 0);
    assert!(length(&fixture.beside("flagstone.db-wal")) > 0, "what was changed last is still there");
    let again = Db::open(DatabaseOptions::new(DatabaseUrl::SqliteFile(fixture.path()))).await;
    let Err(StoreError::Refused(reason)) = again else { panic!("{again:?}") };
    assert!(reason.contains("-wal"), "{reason}");
}

#[tokio::test]
async fn another_database_in_its_place_is_not_taken_for_it() {
    let fixture = Fixture::new().await;
    let other = fixture.beside("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE diary (day, entry)").unwrap();
    fs::rename(other, fixture.path()).unwrap();
    fixture.is_unavailable("").await;
    let outside = rusqlite::Connection::open(fixture.path()).unwrap();
    let tables: i64 = outside.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1, "left alone");
}
