use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagstone_services::clock::Clock;
use flagstone_services::error::ServiceError;
use flagstone_services::store::testing::TestDatabase;
use flagstone_services::store::{QueryKind, QueryObserver};
use serde_json::json;

use super::{Fixture, PROJECT, admin, open};

/// Panics at the next operation of a kind.
#[derive(Default)]
struct Fragile {
    armed: Mutex<Option<QueryKind>>,
    panics: AtomicU64,
}

impl QueryObserver for Fragile {
    fn observe(&self, kind: QueryKind, _: Duration) {
        if self.armed.lock().unwrap().take_if(|armed| *armed == kind).is_some() {
            self.panics.fetch_add(1, Ordering::Relaxed);
            panic!("cannot look at a {}", kind.as_str());
        }
    }
}

#[tokio::test]
async fn a_panic_in_the_midst_of_a_change_ends_that_change_and_memory_finds_back() {
    let database = TestDatabase::new().await.unwrap();
    let clock = Clock::manual("2026-05-04T03:02:01Z".parse().unwrap());
    let fragile = Arc::new(Fragile::default());
    let mut options = database.options().unwrap();
    options.observer = fragile.clone();
    let fixture = Fixture { services: open(options, &clock).await, clock, database };
    fixture.services.projects.create(&admin(), &json!({"key": PROJECT, "name": "Shop"})).await.unwrap();
    fixture.flag("search").await;
    fixture.flag("other").await;
    for (number, kind) in QueryKind::ALL.into_iter().enumerate() {
        fixture.configure("search", "development", json!({"enabled": false})).await.unwrap();
        assert_eq!(fixture.answer("search").as_deref(), Some("off"));
        *fragile.armed.lock().unwrap() = Some(kind);
        let outcome = fixture.configure("search", "development", json!({"enabled": true})).await;
        assert!(matches!(outcome, Err(ServiceError::Internal(_))), "{kind:?}: {outcome:?}");
        assert_eq!(fragile.panics.load(Ordering::Relaxed), number as u64 + 1);
        assert_eq!(fixture.answer("other").as_deref(), Some("off"), "evaluation goes on");
        // Memory comes to what the database has by itself, and the next change stands on it.
        fixture.services.housekeep().await.unwrap();
        let expected = if kind == QueryKind::Commit { "on" } else { "off" };
        assert_eq!(fixture.answer("search").as_deref(), Some(expected), "{kind:?}");
        fixture.configure("other", "development", json!({"enabled": false})).await.unwrap();
        let kept = fixture.services.flags.config(PROJECT, "search", "development").await.unwrap().config;
        assert_eq!(fixture.defined("search").environments["development"].config, kept, "{kind:?}");
    }
}
