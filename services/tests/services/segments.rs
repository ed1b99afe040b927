use flagstone_services::error::ServiceError;
use flagstone_services::page::PageRequest;
use flagstone_services::version::Expected;
use serde_json::json;

use super::{Fixture, PROJECT, admin, conflict, faults, member, not_found};

#[tokio::test]
async fn segments_are_made_changed_and_deleted() {
    let fixture = Fixture::new().await;
    let segments = &fixture.services.segments;
    let document = json!({"key": "team", "include": ["ada"]});
    let made = segments.create(&member(), PROJECT, &document).await.unwrap();
    assert_eq!(made.version, 1);
    assert_eq!(conflict(segments.create(&member(), PROJECT, &document).await), "exists");
    let mut document = serde_json::to_value(&made).unwrap();
    document["include"] = json!(["ada", "bob"]);
    let updated = segments.update(&member(), PROJECT, "team", Expected::Version(1), &document).await.unwrap();
    assert_eq!((updated.version, updated.segment.include.len()), (2, 2));
    let stale = segments.update(&member(), PROJECT, "team", Expected::Version(1), &document).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 2 })));
    let renamed = segments.update(&member(), PROJECT, "team", Expected::Any, &json!({"key": "crew"})).await;
    assert_eq!(faults(renamed)[0].code, "immutable");
    let page = segments.list(PROJECT, Some("TEA"), PageRequest::default()).await.unwrap();
    assert_eq!((page.total, page.data[0].segment.key.as_str()), (1, "team"));
    assert!(fixture.handle("production").snapshot.load().segments.contains_key("team"));
    segments.delete(&member(), PROJECT, "team", Expected::Version(2)).await.unwrap();
    assert_eq!(not_found(segments.get(PROJECT, "team").await), "segment");
    assert!(!fixture.handle("production").snapshot.load().segments.contains_key("team"));
}

#[tokio::test]
async fn a_segment_in_use_is_not_deleted() {
    let fixture = Fixture::new().await;
    let segments = &fixture.services.segments;
    segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    fixture.flag("search").await;
    let rule = json!({"rules": [{"when": {"not": {"segment": "team"}}, "serve": {"variant": "on"}}]});
    fixture.configure("search", "staging", rule).await.unwrap();
    assert_eq!(conflict(segments.delete(&member(), PROJECT, "team", Expected::Any).await), "in_use");
    fixture.configure("search", "staging", json!({})).await.unwrap();
    segments.create(&member(), PROJECT, &json!({"key": "crew", "when": {"segment": "team"}})).await.unwrap();
    assert_eq!(conflict(segments.delete(&member(), PROJECT, "team", Expected::Any).await), "in_use");
    segments.delete(&member(), PROJECT, "crew", Expected::Any).await.unwrap();
    segments.delete(&member(), PROJECT, "team", Expected::Any).await.unwrap();
}

#[tokio::test]
async fn a_fault_of_all_environments_is_told_once() {
    let fixture = Fixture::new().await;
    let document = json!({"key": "team", "when": {"segment": "nobody"}});
    let found = faults(fixture.services.segments.create(&member(), PROJECT, &document).await);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, "unknown_segment");
}

#[tokio::test]
async fn a_cycle_in_any_environment_is_refused() {
    let fixture = Fixture::new().await;
    let segments = &fixture.services.segments;
    fixture.flag("search").await;
    segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    let rule = json!({"rules": [{"when": {"segment": "team"}, "serve": {"variant": "on"}}]});
    fixture.configure("search", "production", rule).await.unwrap();
    let circular = json!({"key": "team", "when": {"flag": "search", "variants": ["on"]}});
    let refused = segments.update(&member(), PROJECT, "team", Expected::Any, &circular).await;
    assert_eq!(faults(refused)[0].code, "cycle");
}

#[tokio::test]
async fn segments_of_other_projects_are_not_found() {
    let fixture = Fixture::new().await;
    let segments = &fixture.services.segments;
    fixture.services.projects.create(&admin(), &json!({"key": "other"})).await.unwrap();
    segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    let document = json!({"key": "team"});
    assert_eq!(not_found(segments.get("other", "team").await), "segment");
    let updated = segments.update(&member(), "other", "team", Expected::Any, &document).await;
    assert_eq!(not_found(updated), "segment");
    assert_eq!(not_found(segments.delete(&member(), "other", "team", Expected::Any).await), "segment");
}

#[tokio::test]
async fn a_changed_segment_changes_answers() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let segments = &fixture.services.segments;
    segments.create(&member(), PROJECT, &json!({"key": "everybody"})).await.unwrap();
    let rule = json!({"enabled": true, "fallthrough": {"variant": "off"},
        "rules": [{"when": {"segment": "everybody"}, "serve": {"variant": "on"}}]});
    fixture.configure("search", "development", rule).await.unwrap();
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
    let document = json!({"key": "everybody", "when": {"all": []}});
    segments.update(&member(), PROJECT, "everybody", Expected::Any, &document).await.unwrap();
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
}
