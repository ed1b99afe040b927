use std::time::Duration;

use flagstone_services::page::PageRequest;
use serde_json::json;

use super::{Fixture, PROJECT, admin, member, not_found};

async fn listed(fixture: &Fixture) -> Vec<(String, String, u64)> {
    fixture.services.housekeep().await.unwrap();
    let page = fixture.services.flags.unknown(PROJECT, PageRequest::default()).await.unwrap();
    assert_eq!(page.total, page.data.len() as u64);
    page.data.into_iter().map(|flag| (flag.environment, flag.key, flag.requests)).collect()
}

#[tokio::test]
async fn keys_asked_for_in_vain_are_counted() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    let handle = fixture.handle("staging");
    flags.note_unknown(&handle, "serach");
    flags.note_unknown(&handle, "serach");
    flags.note_unknown(&handle, "../etc/passwd");
    let row = |requests| ("staging".to_owned(), "serach".to_owned(), requests);
    assert_eq!(listed(&fixture).await, [row(2)]);
    fixture.clock.advance(Duration::from_secs(60));
    flags.note_unknown(&handle, "serach");
    assert_eq!(listed(&fixture).await, [row(3)]);
    let page = flags.unknown(PROJECT, PageRequest::default()).await.unwrap();
    assert_eq!(page.data[0].last_seen_at.duration_since(page.data[0].first_seen_at).as_secs(), 60);
}

#[tokio::test]
async fn a_dismissed_key_stays_away_and_a_made_flag_is_known() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    for environment in ["staging", "production"] {
        flags.note_unknown(&fixture.handle(environment), "old");
        flags.note_unknown(&fixture.handle(environment), "new");
    }
    assert_eq!(listed(&fixture).await.len(), 4);
    flags.dismiss_unknown(&member(), PROJECT, "old").await.unwrap();
    fixture.flag("new").await;
    flags.note_unknown(&fixture.handle("staging"), "old");
    assert_eq!(listed(&fixture).await, []);
    assert_eq!(not_found(flags.dismiss_unknown(&member(), PROJECT, "never").await), "unknown flag");
    fixture.services.projects.create(&admin(), &json!({"key": "other"})).await.unwrap();
    assert_eq!(not_found(flags.dismiss_unknown(&member(), "other", "old").await), "unknown flag");
}

#[tokio::test]
async fn made_up_keys_do_not_fill_the_database() {
    let fixture = Fixture::new().await;
    let handle = fixture.handle("staging");
    for round in 0..8 {
        for number in 0..500 {
            fixture.services.flags.note_unknown(&handle, &format!("made-up-{round}-{number}"));
        }
        fixture.services.housekeep().await.unwrap();
    }
    assert_eq!(fixture.number("SELECT COUNT(*) FROM unknown_flags").await, 1_000);
}
