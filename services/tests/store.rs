//! What every database must do for the repositories: SQLite by default, PostgreSQL where `FLAGSTONE_TEST_POSTGRES`
//! names a server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flagstone_services::store::{
    Constraint, DatabaseOptions, Db, Executor, QueryKind, QueryObserver, StoreError, Transaction, Value,
    testing::TestDatabase,
};

/// A new database, SQLite's or PostgreSQL's, and a handle on it.
async fn database(change: impl FnOnce(&mut DatabaseOptions)) -> (TestDatabase, Db) {
    let database = TestDatabase::new().await.unwrap();
    let mut options = database.options().unwrap();
    change(&mut options);
    let db = Db::open(options).await.unwrap();
    (database, db)
}

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod conformance {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (_database, db) = super::database(|_| {}).await;
                super::$case(db).await;
            })*
        }
    };
}

conformance!(
    a_commit_is_seen_by_later_readers,
    a_dropped_transaction_leaves_nothing,
    a_failed_statement_ends_the_transaction,
    a_broken_constraint_is_told_and_ends_the_transaction,
    values_come_back_as_they_went_in,
    a_text_with_a_zero_character_is_refused,
    placeholders_go_by_number,
    an_upsert_and_returning_work,
    a_reader_sees_one_state,
    readers_cannot_write,
    writers_take_turns,
    a_caller_that_goes_away_frees_the_writer,
    a_closed_database_is_unavailable,
    deleting_a_project_takes_everything_below_with_it,
);

async fn insert(transaction: &mut Transaction, key: &str) -> Result<u64, StoreError> {
    transaction
        .execute(
            "INSERT INTO system_config (key, value, updated_at) VALUES ($1, $2, 0)",
            vec![Value::from(key), Value::from("1")],
        )
        .await
}

async fn count(executor: &mut impl Executor) -> i64 {
    executor.query_one("SELECT COUNT(*) FROM system_config", vec![]).await.unwrap().get(0).unwrap()
}

async fn a_commit_is_seen_by_later_readers(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    assert_eq!(insert(&mut transaction, "a").await, Ok(1));
    assert_eq!(count(&mut db.read().await.unwrap()).await, 0, "not before the commit");
    transaction.commit().await.unwrap();
    assert_eq!(count(&mut db.read().await.unwrap()).await, 1);
}

async fn a_dropped_transaction_leaves_nothing(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    insert(&mut transaction, "a").await.unwrap();
    assert_eq!(count(&mut transaction).await, 1);
    drop(transaction);
    assert_eq!(count(&mut db.begin().await.unwrap()).await, 0);
}

async fn a_failed_statement_ends_the_transaction(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    insert(&mut transaction, "a").await.unwrap();
    let failed = transaction.execute("INSERT INTO nothing VALUES (1)", vec![]).await;
    assert!(matches!(failed, Err(StoreError::Statement(_))), "{failed:?}");
    let refused = transaction.commit().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(count(&mut db.read().await.unwrap()).await, 0);
}

async fn a_broken_constraint_is_told_and_ends_the_transaction(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    insert(&mut transaction, "a").await.unwrap();
    let twice = insert(&mut transaction, "a").await.unwrap_err();
    assert!(twice.is_unique(), "{twice}");
    let over = transaction.commit().await;
    assert!(matches!(over, Err(StoreError::Unavailable(_))), "{over:?}");
    assert_eq!(count(&mut db.read().await.unwrap()).await, 0);
    let mut transaction = db.begin().await.unwrap();
    let orphan = transaction
        .execute("INSERT INTO environments VALUES ('e', 'no such project', 'k', 'n', 0, 0, 1, 0, 0)", vec![])
        .await
        .unwrap_err();
    assert!(matches!(orphan, StoreError::Constraint { kind: Constraint::ForeignKey, .. }), "{orphan}");
}

async fn values_come_back_as_they_went_in(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    let hash = [7_u8; 32];
    transaction
        .execute(
            "INSERT INTO secrets (id, purpose, secret, created_at) VALUES ($1, $2, $3, $4)",
            vec![Value::from("id"), Value::from("Ünï\t 'x'"), Value::from(&hash), Value::from(i64::MIN)],
        )
        .await
        .unwrap();
    let row =
        transaction.query_one("SELECT purpose, secret, created_at, NULL FROM secrets", vec![]).await.unwrap();
    assert_eq!(row.get::<String>(0).unwrap(), "Ünï\t 'x'");
    assert_eq!(row.get::<[u8; 32]>(1).unwrap(), hash);
    assert_eq!(row.get::<i64>(2).unwrap(), i64::MIN);
    assert_eq!(row.get::<Option<String>>(3).unwrap(), None);
    assert!(row.get::<i64>(0).is_err(), "text is no number");
    assert!(row.get::<u64>(2).is_err(), "a negative number");
    assert!(row.get::<i64>(4).is_err(), "no such column");
}

async fn a_text_with_a_zero_character_is_refused(db: Db) {
    let refused = insert(&mut db.begin().await.unwrap(), "a\0b").await;
    assert_eq!(refused, Err(StoreError::ZeroCharacter));
    let looked_for = vec![Value::from("a\0b")];
    let refused = db.read().await.unwrap().query("SELECT id FROM projects WHERE key = $1", looked_for).await;
    assert_eq!(refused, Err(StoreError::ZeroCharacter));
    assert_eq!(count(&mut db.read().await.unwrap()).await, 0);
}

async fn placeholders_go_by_number(db: Db) {
    let row = db
        .read()
        .await
        .unwrap()
        .query_one(
            "SELECT CAST($2 AS BIGINT), CAST($1 AS BIGINT), $2, '$1'",
            vec![Value::from(1_i64), Value::from(2_i64)],
        )
        .await
        .unwrap();
    let found: (i64, i64, i64, String) =
        (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap(), row.get(3).unwrap());
    assert_eq!(found, (2, 1, 2, "$1".to_owned()));
}

async fn an_upsert_and_returning_work(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    for value in ["1", "2"] {
        let row = transaction
            .query_one(
                "INSERT INTO system_config (key, value, updated_at) VALUES ('k', $1, 0) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value",
                vec![Value::from(value)],
            )
            .await
            .unwrap();
        assert_eq!(row.get::<String>(0).unwrap(), value);
    }
    assert_eq!(count(&mut transaction).await, 1);
}

async fn a_reader_sees_one_state(db: Db) {
    let mut reader = db.read().await.unwrap();
    assert_eq!(count(&mut reader).await, 0);
    let mut transaction = db.begin().await.unwrap();
    insert(&mut transaction, "a").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count(&mut reader).await, 0, "the state at its first look");
}

async fn readers_cannot_write(db: Db) {
    let refused = db
        .read()
        .await
        .unwrap()
        .query("INSERT INTO system_config VALUES ('k', 'v', 0) RETURNING key", vec![])
        .await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(count(&mut db.read().await.unwrap()).await, 0);
}

async fn writers_take_turns(db: Db) {
    let writers = (0..50).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            let mut transaction = db.begin().await.unwrap();
            let before = count(&mut transaction).await;
            insert(&mut transaction, &before.to_string()).await.unwrap();
            transaction.commit().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(count(&mut db.read().await.unwrap()).await, 50);
}

async fn a_caller_that_goes_away_frees_the_writer(db: Db) {
    for _ in 0..20 {
        let mut transaction = db.begin().await.unwrap();
        {
            let mut statement = Box::pin(insert(&mut transaction, "a"));
            // Polled once: the statement is on its way when its future is dropped.
            let polled = futures_poll_once(&mut statement).await;
            drop(polled);
        }
        drop(transaction);
        let mut begin = Box::pin(db.begin());
        let _ = futures_poll_once(&mut begin).await;
    }
    assert_eq!(count(&mut db.begin().await.unwrap()).await, 0);
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn a_closed_database_is_unavailable(db: Db) {
    let open = db.begin().await.unwrap();
    assert!(db.close(Duration::from_millis(20)).await.is_err(), "a transaction is open");
    drop(open);
    db.close(Duration::from_secs(5)).await.unwrap();
    assert!(matches!(db.begin().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(db.read().await, Err(StoreError::Unavailable(_))));
}

async fn deleting_a_project_takes_everything_below_with_it(db: Db) {
    let mut transaction = db.begin().await.unwrap();
    for sql in [
        "INSERT INTO projects VALUES ('p', 'k', 'n', '', 1, 0, 0)",
        "INSERT INTO environments VALUES ('e', 'p', 'k', 'n', 0, 1, 1, 0, 0)",
        "INSERT INTO flags VALUES ('f', 'p', 'k', '{}', 'k', 0, 1, 0, 0)",
        "INSERT INTO flag_tags VALUES ('f', 't')",
        "INSERT INTO flag_configs VALUES ('f', 'e', '{}', 1, 0)",
        "INSERT INTO segments VALUES ('s', 'p', 'k', '{}', 'k', 1, 0, 0)",
        "INSERT INTO changes VALUES ('e', 1, 'update', 'k', 0)",
        "INSERT INTO unknown_flags VALUES ('e', 'k', 1, 0, 0, 0)",
        "DELETE FROM projects WHERE id = 'p'",
    ] {
        assert_eq!(transaction.execute(sql, vec![]).await, Ok(1), "{sql}");
    }
    for sql in [
        "SELECT COUNT(*) FROM environments",
        "SELECT COUNT(*) FROM flags",
        "SELECT COUNT(*) FROM flag_tags",
        "SELECT COUNT(*) FROM flag_configs",
        "SELECT COUNT(*) FROM segments",
        "SELECT COUNT(*) FROM changes",
        "SELECT COUNT(*) FROM unknown_flags",
    ] {
        assert_eq!(transaction.query_one(sql, vec![]).await.unwrap().get::<i64>(0).unwrap(), 0, "{sql}");
    }
}

#[tokio::test]
async fn too_many_waiting_callers_are_refused_at_once() {
    let (_database, db) = database(|options| options.queue = 1).await;
    let held = db.begin().await.unwrap();
    let mut first = Box::pin(db.begin());
    assert!(futures_poll_once(&mut first).await.is_none(), "waits");
    assert!(matches!(db.begin().await, Err(StoreError::Unavailable(_))), "one waits already");
    drop(held);
    first.await.unwrap();
}

#[tokio::test]
async fn waiting_for_a_connection_has_a_deadline() {
    let (_database, db) = database(|options| options.wait_timeout = Duration::from_secs(1)).await;
    let held = db.begin().await.unwrap();
    assert!(matches!(db.begin().await, Err(StoreError::Unavailable(_))));
    drop(held);
    db.begin().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_interrupted() {
    let (_database, db) = database(|options| options.statement_timeout = Duration::from_secs(1)).await;
    let mut reader = db.read().await.unwrap();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n";
    assert!(matches!(reader.query(endless, vec![]).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(reader.query("SELECT 1", vec![]).await, Err(StoreError::Unavailable(_))), "it is over");
    drop(reader);
    // Only a thread that was really stopped can end.
    db.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn operations_are_observed() {
    #[derive(Default)]
    struct Counts([AtomicUsize; 4]);
    impl QueryObserver for Counts {
        fn observe(&self, kind: QueryKind, _duration: Duration) {
            let index = QueryKind::ALL.iter().position(|other| *other == kind).unwrap();
            self.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }
    let counts = Arc::new(Counts::default());
    let (_database, db) = database(|options| options.observer = counts.clone()).await;
    let before: Vec<usize> = counts.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let mut transaction = db.begin().await.unwrap();
    insert(&mut transaction, "a").await.unwrap();
    count(&mut transaction).await;
    transaction.commit().await.unwrap();
    let after: Vec<usize> = counts.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let more: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(more, [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused() {
    let (database, db) = database(|_| {}).await;
    drop(db);
    database.execute("INSERT INTO schema_migrations VALUES (99, 'later', 'x', 0)").await.unwrap();
    let refused = Db::open(database.options().unwrap()).await;
    assert!(matches!(&refused, Err(StoreError::Refused(reason)) if reason.contains("99")), "{refused:?}");
}

#[tokio::test]
async fn postgres_compares_text_as_sqlite_does_whatever_its_locale() {
    let (database, _db) = database(|_| {}).await;
    if !database.is_postgres() {
        return;
    }
    let sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' \
        AND table_name <> 'schema_migrations' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'";
    let found = database.rows(sql, Vec::new()).await.unwrap();
    assert!(found.is_empty(), "these columns lack COLLATE \"C\": {found:?}");
}
