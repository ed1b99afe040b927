use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagstone_services::error::ServiceError;
use flagstone_services::hub::{EventKind, StreamItem, Subscription};
use flagstone_services::version::Expected;
use serde_json::json;

use super::{Fixture, PROJECT, member};

#[tokio::test]
async fn a_change_whose_caller_went_away_is_finished() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let actor = member();
    let config = json!({"enabled": true});
    let flags = &fixture.services.flags;
    let mut put = Box::pin(flags.put_config(&actor, PROJECT, "search", "development", Expected::Any, config));
    // Polled once, so that it is on its way; then the client is gone.
    assert!(matches!(put.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    drop(put);
    // The next change comes after it.
    fixture.flag("other").await;
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
    assert_eq!(fixture.handle("development").snapshot.load().revision, 3);
}

#[tokio::test]
async fn many_changes_at_once_keep_their_order() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let changes = (0..40).map(|number| {
        let services = fixture.services.clone();
        tokio::spawn(async move {
            let config = json!({"enabled": number % 2 == 0});
            let actor = member();
            let put =
                services.flags.put_config(&actor, PROJECT, "search", "development", Expected::Any, config);
            put.await.unwrap().version
        })
    });
    let mut versions = Vec::new();
    for change in changes.collect::<Vec<_>>() {
        versions.push(change.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=40).collect::<Vec<_>>());
    let handle = fixture.handle("development");
    assert_eq!(handle.snapshot.load().revision, 41);
    let stored = fixture.services.flags.config(PROJECT, "search", "development").await.unwrap();
    assert_eq!(fixture.defined("search").environments["development"].config, stored.config);
}

#[tokio::test]
async fn a_locked_database_is_unavailable_and_comes_back() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let outside = fixture.database.outside().await.unwrap();
    let held = outside.begin().await.unwrap();
    let refused = fixture.configure("search", "development", json!({"enabled": true})).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable { .. })), "{refused:?}");
    assert_eq!(fixture.answer("search").as_deref(), Some("off"), "answers need no database");
    drop(held);
    fixture.configure("search", "development", json!({"enabled": true})).await.unwrap();
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
}

#[tokio::test]
async fn what_another_process_wrote_is_read_with_the_next_change() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    // As another process would: a change of the flag, its revision and its change-log row.
    fixture
        .database
        .execute(
            "UPDATE flags SET definition = REPLACE(definition, '\"name\":\"search\"', '\"name\":\"Elsewhere\"');
             UPDATE environments SET revision = 2 WHERE key = 'development';
             INSERT INTO changes SELECT id, 2, 'flag_update', 'search', 0 FROM environments WHERE key = 'development'",
        )
        .await
        .unwrap();
    let grant = fixture.grant("development").await;
    let mut stream = Subscription::open(&grant, None, fixture.clock.now());
    fixture.flag("other").await;
    let (revision, search) = (fixture.definitions("development").revision, fixture.defined("search"));
    assert_eq!((revision, search.flag.name.as_str()), (3, "Elsewhere"));
    for wanted in [(EventKind::Update, "search", 2), (EventKind::Create, "other", 3)] {
        let StreamItem::Event(event) = stream.next().await else { panic!("it ended") };
        assert_eq!(
            (event.kind, event.flag_key.as_deref(), event.revision),
            (wanted.0, Some(wanted.1), wanted.2)
        );
    }
}

#[tokio::test]
async fn stats_count_what_there_is() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    let _stream = Subscription::open(&grant, None, fixture.clock.now());
    let stats = serde_json::to_value(fixture.services.stats().await.unwrap()).unwrap();
    let expected = json!({"users": 0, "sessions": 0, "projects": 1, "flags": 1, "sdk_keys": 1, "streams": 1,
        "audit_entries": 3});
    assert_eq!(stats, expected);
    fixture.services.ready().await.unwrap();
}

#[tokio::test]
async fn closing_writes_down_what_is_counted_and_refuses_what_comes_after() {
    let fixture = Fixture::new().await;
    fixture.services.flags.note_unknown(&fixture.handle("staging"), "serach");
    fixture.services.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(fixture.number("SELECT COUNT(*) FROM unknown_flags").await, 1);
    let refused = fixture.configure("search", "development", json!({})).await;
    assert!(matches!(refused, Err(ServiceError::Unavailable { .. })), "{refused:?}");
    assert!(matches!(fixture.services.ready().await, Err(ServiceError::Unavailable { .. })));
}

#[tokio::test]
async fn a_failing_commit_changes_nothing_in_memory_and_is_looked_into() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    let mut stream = Subscription::open(&grant, None, fixture.clock.now());
    // A foreign key that is looked at no earlier than at the commit.
    let (orphan, no_orphan) = if fixture.database.is_postgres() {
        (
            "CREATE TABLE parents (id TEXT PRIMARY KEY);
             ALTER TABLE audit_logs ADD CONSTRAINT orphan FOREIGN KEY (entity_id) REFERENCES parents (id)
             DEFERRABLE INITIALLY DEFERRED NOT VALID",
            "ALTER TABLE audit_logs DROP CONSTRAINT orphan",
        )
    } else {
        (
            "CREATE TABLE parents (id INTEGER PRIMARY KEY);
             CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER orphan AFTER INSERT ON audit_logs BEGIN INSERT INTO children VALUES (1); END",
            "DROP TRIGGER orphan",
        )
    };
    fixture.database.execute(orphan).await.unwrap();
    assert!(fixture.configure("search", "development", json!({"enabled": true})).await.is_err());
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
    assert_eq!(fixture.handle("development").snapshot.load().revision, 1);
    // Had it happened after all, as far as the database is concerned, the housekeeping finds it.
    fixture.database.execute(no_orphan).await.unwrap();
    fixture
        .database
        .execute(
            "UPDATE environments SET revision = 2 WHERE key = 'development';
             UPDATE flags SET definition = REPLACE(definition, '\"name\":\"search\"', '\"name\":\"Found\"')",
        )
        .await
        .unwrap();
    fixture.services.housekeep().await.unwrap();
    let (revision, search) = (fixture.definitions("development").revision, fixture.defined("search"));
    assert_eq!((revision, search.flag.name.as_str()), (2, "Found"));
    let StreamItem::Event(event) = stream.next().await else { panic!("it ended") };
    assert_eq!((event.kind, event.revision), (EventKind::Refetch, 2));
}
