use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagstone_services::hub::{EndReason, EventKind, StreamItem, Subscription};
use flagstone_services::keys::KeyGrant;
use flagstone_services::version::Expected;
use serde_json::json;
use tokio::time::timeout;

use super::{Fixture, PROJECT, admin, member};

/// How long a reader that is never woken may keep a test.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(fixture: &Fixture, grant: &Arc<KeyGrant>, last: Option<u64>) -> Subscription {
    Subscription::open(grant, last, fixture.clock.now())
}

/// What waits, as kind, key and revision.
fn waiting(stream: &mut Subscription) -> Vec<(EventKind, Option<String>, u64)> {
    let mut context = Context::from_waker(Waker::noop());
    let mut items = Vec::new();
    while let Poll::Ready(StreamItem::Event(event)) = stream.poll_next(&mut context) {
        items.push((event.kind, event.flag_key.as_deref().map(str::to_owned), event.revision));
    }
    items
}

fn end(stream: &mut Subscription) -> Option<EndReason> {
    match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(StreamItem::Ended(reason)) => Some(reason),
        _ => None,
    }
}

async fn switch(fixture: &Fixture, key: &str, enabled: bool) {
    fixture.configure(key, "development", json!({"enabled": enabled})).await.unwrap();
}

#[tokio::test]
async fn changes_reach_the_streams_of_their_environment() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("development").await;
    let elsewhere = fixture.grant("production").await;
    let mut stream = open(&fixture, &grant, None);
    let mut other = open(&fixture, &elsewhere, None);
    assert_eq!(waiting(&mut stream), []);
    fixture.flag("search").await;
    switch(&fixture, "search", true).await;
    let flags = &fixture.services.flags;
    let archived = json!({"key": "search", "type": "boolean", "archived": true});
    flags.update(&member(), PROJECT, "search", Expected::Any, &archived).await.unwrap();
    let unarchived = json!({"key": "search", "type": "boolean"});
    flags.update(&member(), PROJECT, "search", Expected::Any, &unarchived).await.unwrap();
    flags.delete(&member(), PROJECT, "search", Expected::Any).await.unwrap();
    let key = || Some("search".to_owned());
    let expected = [
        (EventKind::Create, key(), 1),
        (EventKind::Update, key(), 2),
        (EventKind::Deleted, key(), 3),
        (EventKind::Create, key(), 4),
        (EventKind::Deleted, key(), 5),
    ];
    assert_eq!(waiting(&mut stream), expected);
    assert_eq!(waiting(&mut other).iter().map(|item| item.2).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_and_sees_the_new_snapshot() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    let mut stream = open(&fixture, &grant, None);
    let reader = tokio::spawn(async move {
        let StreamItem::Event(event) = stream.next().await else { panic!("it ended") };
        (event.revision, grant.environment.snapshot.load().revision)
    });
    switch(&fixture, "search", true).await;
    assert_eq!(timeout(PATIENCE, reader).await.unwrap().unwrap(), (2, 2));
}

#[tokio::test]
async fn segments_and_flags_that_others_lean_on_ask_for_everything() {
    let fixture = Fixture::new().await;
    fixture.flag("base").await;
    fixture.flag("top").await;
    let needs = json!({"enabled": true, "prerequisites": [{"flag": "base", "variants": ["on"]}]});
    fixture.configure("top", "development", needs).await.unwrap();
    let grant = fixture.grant("development").await;
    let mut stream = open(&fixture, &grant, None);
    switch(&fixture, "base", true).await;
    fixture.services.segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    assert_eq!(waiting(&mut stream), [(EventKind::Refetch, None, 4), (EventKind::Refetch, None, 5)]);
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_what_it_missed() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    for enabled in [true, false, true] {
        switch(&fixture, "search", enabled).await;
    }
    let revisions =
        |last| waiting(&mut open(&fixture, &grant, Some(last))).iter().map(|item| item.2).collect::<Vec<_>>();
    assert_eq!(revisions(2), Vec::from([3, 4]));
    assert_eq!(revisions(4), Vec::<u64>::new());
    assert_eq!(revisions(0), Vec::from([1, 2, 3, 4]));
    let ahead = waiting(&mut open(&fixture, &grant, Some(99)));
    assert_eq!(ahead, [(EventKind::Refetch, None, 4)], "an id that was never given");
}

#[tokio::test]
async fn what_is_no_longer_known_becomes_a_refetch() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let fixture = fixture.reopened().await;
    let grant = fixture.grant("development").await;
    switch(&fixture, "search", true).await;
    let missed = waiting(&mut open(&fixture, &grant, Some(0)));
    assert_eq!(missed, [(EventKind::Refetch, None, 2)]);
    assert_eq!(
        waiting(&mut open(&fixture, &grant, Some(1))),
        [(EventKind::Update, Some("search".to_owned()), 2)]
    );
}

#[tokio::test]
async fn a_slow_reader_gets_one_refetch() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    let mut slow = open(&fixture, &grant, None);
    for round in 0..65 {
        switch(&fixture, "search", round % 2 == 0).await;
    }
    assert_eq!(waiting(&mut slow), [(EventKind::Refetch, None, 66)]);
    assert_eq!(fixture.services.streams.overflows(), 1);
    switch(&fixture, "search", true).await;
    assert_eq!(waiting(&mut slow).len(), 1, "it goes on afterwards");
    let missed = waiting(&mut open(&fixture, &grant, Some(1)));
    assert_eq!(missed, [(EventKind::Refetch, None, 67)], "more than a queue holds");
}

#[tokio::test]
async fn a_revoked_key_closes_its_streams_and_no_others() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let (one, other) = (fixture.grant("development").await, fixture.grant("development").await);
    let (mut revoked, mut staying) = (open(&fixture, &one, None), open(&fixture, &other, None));
    let reader = tokio::spawn(async move { poll_fn(|context| revoked.poll_next(context)).await });
    fixture.services.keys.revoke(&admin(), PROJECT, "development", one.id).await.unwrap();
    let ended = timeout(PATIENCE, reader).await.unwrap().unwrap();
    assert!(matches!(ended, StreamItem::Ended(EndReason::KeyRevoked)));
    assert_eq!(end(&mut open(&fixture, &one, None)), Some(EndReason::KeyRevoked), "it opens none either");
    switch(&fixture, "search", true).await;
    assert_eq!(waiting(&mut staying).len(), 1);
}

#[tokio::test]
async fn an_expired_key_closes_its_streams() {
    let fixture = Fixture::new().await;
    let document = json!({"kind": "client", "expires_at": "2026-05-05T00:00:00Z"});
    let keys = &fixture.services.keys;
    let made = keys.create(&admin(), PROJECT, "development", &document).await.unwrap();
    let mut stream = open(&fixture, &keys.verify(made.secret.reveal()).unwrap(), None);
    fixture.services.housekeep().await.unwrap();
    assert_eq!(end(&mut stream), None);
    fixture.clock.advance(Duration::from_secs(24 * 3_600));
    fixture.services.housekeep().await.unwrap();
    assert_eq!(end(&mut stream), Some(EndReason::KeyRevoked));
}

#[tokio::test]
async fn streams_end_with_their_environment_and_project() {
    let fixture = Fixture::new().await;
    let (staging, production) = (fixture.grant("staging").await, fixture.grant("production").await);
    let (mut of_staging, mut of_production) =
        (open(&fixture, &staging, None), open(&fixture, &production, None));
    let projects = &fixture.services.projects;
    projects.delete_environment(&admin(), PROJECT, "staging", Expected::Any).await.unwrap();
    assert_eq!(end(&mut of_staging), Some(EndReason::EnvironmentDeleted));
    assert_eq!(end(&mut of_production), None);
    projects.delete(&admin(), PROJECT, Expected::Any).await.unwrap();
    assert_eq!(end(&mut of_production), Some(EndReason::EnvironmentDeleted));
}

#[tokio::test]
async fn a_shutdown_hands_over_what_waits_and_ends_the_streams() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("development").await;
    let mut stream = open(&fixture, &grant, None);
    fixture.flag("search").await;
    fixture.services.end_streams();
    assert_eq!(waiting(&mut stream).len(), 1);
    assert_eq!(end(&mut stream), Some(EndReason::Shutdown));
    assert_eq!(end(&mut open(&fixture, &grant, None)), Some(EndReason::Shutdown));
}

#[tokio::test]
async fn open_streams_are_counted() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("development").await;
    let streams: Vec<_> = (0..3).map(|_| open(&fixture, &grant, None)).collect();
    assert_eq!(fixture.services.streams.open(), 3);
    drop(streams);
    assert_eq!(fixture.services.streams.open(), 0);
    fixture.flag("search").await;
    assert_eq!(fixture.services.streams.events(), 3, "one for each environment");
}
