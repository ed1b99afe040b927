use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagstone_services::hub::{EventKind, StreamItem, Subscription};
use flagstone_services::keys::KeyGrant;
use serde_json::json;

use super::{Fixture, PROJECT, admin};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The revisions that a stream brings which has seen everything up to `last`.
fn missed(fixture: &Fixture, grant: &Arc<KeyGrant>, last: u64) -> Vec<u64> {
    let mut stream = Subscription::open(grant, Some(last), fixture.clock.now());
    let mut context = Context::from_waker(Waker::noop());
    let mut revisions = Vec::new();
    while let Poll::Ready(StreamItem::Event(event)) = stream.poll_next(&mut context) {
        assert_eq!(event.kind, EventKind::Update);
        revisions.push(event.revision);
    }
    revisions
}

#[tokio::test]
async fn changes_keep_their_order_by_revision_whatever_the_clock_says() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("development").await;
    fixture.flag("search").await;
    let first = fixture.handle("development").snapshot.load().revision;
    let mut enabled = false;
    for step in 0..6_u64 {
        match step % 3 {
            0 => fixture.clock.set_back(HOUR),
            1 => fixture.clock.advance(2 * HOUR),
            _ => {}
        }
        enabled = !enabled;
        fixture.configure("search", "development", json!({"enabled": enabled})).await.unwrap();
        assert_eq!(fixture.answer("search").as_deref(), Some(if enabled { "on" } else { "off" }));
        assert_eq!(fixture.handle("development").snapshot.load().revision, first + 1 + step);
        fixture.services.housekeep().await.unwrap();
    }
    assert_eq!(missed(&fixture, &grant, first), (first + 1..=first + 6).collect::<Vec<_>>());
    assert_eq!(fixture.number("SELECT COUNT(*) FROM audit_logs WHERE type = 'flag_config.update'").await, 6);
    // Whoever comes back after a restart in the past stands where the database does.
    fixture.clock.set_back(3 * HOUR);
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
    assert_eq!(fixture.handle("development").snapshot.load().revision, first + 6);
}

#[tokio::test]
async fn a_key_and_a_streams_token_work_on_while_the_clock_is_set_back() {
    let fixture = Fixture::new().await;
    let document = json!({"kind": "client", "expires_at": "2026-05-05T00:00:00Z"});
    let made = fixture.services.keys.create(&admin(), PROJECT, "development", &document).await.unwrap();
    let (keys, tokens) = (&fixture.services.keys, &fixture.services.stream_tokens);
    let grant = keys.verify(made.secret.reveal()).unwrap();
    let token = tokens.issue(&grant).to_string();
    fixture.clock.set_back(HOUR);
    assert!(keys.verify(made.secret.reveal()).is_some() && tokens.verify(&token).is_some());
    fixture.services.housekeep().await.unwrap();
    let earlier = tokens.issue(&grant).to_string();
    fixture.clock.advance(HOUR);
    assert!(keys.verify(made.secret.reveal()).is_some() && tokens.verify(&token).is_some());
    assert!(tokens.verify(&earlier).is_none(), "its ten minutes are over");
    fixture.clock.advance(24 * HOUR);
    assert!(keys.verify(made.secret.reveal()).is_none() && tokens.verify(&token).is_none());
}
