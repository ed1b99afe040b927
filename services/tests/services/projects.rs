use flagstone_services::error::ServiceError;
use flagstone_services::page::PageRequest;
use flagstone_services::version::Expected;
use serde_json::json;

use super::{Fixture, PROJECT, admin, anonymous, conflict, faults, is_forbidden, member, not_found};

#[tokio::test]
async fn a_project_is_made_with_three_environments() {
    let fixture = Fixture::new().await;
    let details = fixture.services.projects.get(PROJECT).await.unwrap();
    let keys: Vec<_> = details.environments.iter().map(|environment| environment.key.as_str()).collect();
    assert_eq!(keys, ["development", "staging", "production"]);
    let shown = serde_json::to_value(&details).unwrap();
    assert_eq!(shown["name"], "Shop");
    assert_eq!(shown["version"], 1);
    assert!(shown.get("id").is_none(), "{shown}");
    for key in keys {
        assert_eq!(fixture.handle(key).snapshot.load().revision, 0);
    }
}

#[tokio::test]
async fn a_key_is_taken_once_and_follows_the_grammar() {
    let fixture = Fixture::new().await;
    let projects = &fixture.services.projects;
    assert_eq!(conflict(projects.create(&admin(), &json!({"key": PROJECT})).await), "exists");
    let found = faults(projects.create(&admin(), &json!({"key": "../x", "nam": "X"})).await);
    assert_eq!(found.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/key", "/nam"]);
}

#[tokio::test]
async fn only_admins_change_projects_and_environments() {
    let fixture = Fixture::new().await;
    let projects = &fixture.services.projects;
    let (document, environment) = (json!({"key": "other"}), json!({"key": "qa"}));
    for actor in [member(), anonymous()] {
        assert!(is_forbidden(projects.create(&actor, &document).await));
        assert!(is_forbidden(projects.update(&actor, PROJECT, Expected::Any, &document).await));
        assert!(is_forbidden(projects.delete(&actor, PROJECT, Expected::Any).await));
        assert!(is_forbidden(projects.create_environment(&actor, PROJECT, &environment).await));
        assert!(is_forbidden(projects.delete_environment(&actor, PROJECT, "staging", Expected::Any).await));
    }
}

#[tokio::test]
async fn what_was_read_can_be_put_back_changed() {
    let fixture = Fixture::new().await;
    let projects = &fixture.services.projects;
    let mut document = serde_json::to_value(projects.get(PROJECT).await.unwrap()).unwrap();
    document["name"] = json!("The shop");
    let details = projects.update(&admin(), PROJECT, Expected::Version(1), &document).await.unwrap();
    assert_eq!((details.project.name.as_str(), details.project.version), ("The shop", 2));
    let stale = projects.update(&admin(), PROJECT, Expected::Version(1), &document).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 2 })));
    let renamed = projects.update(&admin(), PROJECT, Expected::Any, &json!({"key": "other"})).await;
    assert_eq!(faults(renamed)[0].code, "immutable");
}

#[tokio::test]
async fn projects_are_listed_by_pages_and_searched() {
    let fixture = Fixture::new().await;
    let projects = &fixture.services.projects;
    for key in ["alpha", "beta", "per-cent"] {
        projects.create(&admin(), &json!({"key": key, "name": format!("{key} 100%")})).await.unwrap();
    }
    let page = projects.list(None, PageRequest { limit: 2, offset: 1 }).await.unwrap();
    let keys: Vec<_> = page.data.iter().map(|details| details.project.key.as_str()).collect();
    assert_eq!((keys, page.total, page.limit, page.offset), (vec!["beta", "per-cent"], 4, 2, 1));
    let page = projects.list(Some("ALPHA"), PageRequest::default()).await.unwrap();
    assert_eq!(page.total, 1);
    assert_eq!(projects.list(Some("0%"), PageRequest::default()).await.unwrap().total, 3);
    assert_eq!(projects.list(Some("_"), PageRequest::default()).await.unwrap().total, 0, "no wildcard");
}

#[tokio::test]
async fn environments_are_made_renamed_ordered_and_deleted() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let projects = &fixture.services.projects;
    let made = projects.create_environment(&admin(), PROJECT, &json!({"key": "qa"})).await.unwrap();
    assert_eq!((made.position, made.name.as_str()), (3, "qa"));
    assert!(fixture.handle("qa").snapshot.load().compiled.flag("search").is_some(), "it has the flags");
    assert_eq!(
        conflict(projects.create_environment(&admin(), PROJECT, &json!({"key": "qa"})).await),
        "exists"
    );

    let mut document = serde_json::to_value(&made).unwrap();
    document["name"] = json!("Quality");
    let renamed =
        projects.update_environment(&admin(), PROJECT, "qa", Expected::Version(1), &document).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.version), ("Quality", 2));
    let stale = projects.update_environment(&admin(), PROJECT, "qa", Expected::Version(1), &document).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 2 })));

    let order = ["production", "qa", "development", "staging"];
    let ordered =
        projects.reorder_environments(&admin(), PROJECT, &json!({"environments": order})).await.unwrap();
    assert_eq!(ordered.iter().map(|other| other.key.as_str()).collect::<Vec<_>>(), order);
    let listed = projects.environments(PROJECT).await.unwrap();
    assert_eq!(listed, ordered);
    for wrong in [json!(["qa"]), json!([]), json!(["production", "qa", "development", "development"])] {
        let refused = projects.reorder_environments(&admin(), PROJECT, &json!({"environments": wrong})).await;
        assert_eq!(faults(refused)[0].pointer, "/environments");
    }

    projects.delete_environment(&admin(), PROJECT, "qa", Expected::Any).await.unwrap();
    assert!(fixture.services.snapshots.get(PROJECT, "qa").is_none());
    assert_eq!(not_found(projects.environment(PROJECT, "qa").await), "environment");
}

#[tokio::test]
async fn the_last_environment_stays() {
    let fixture = Fixture::new().await;
    let projects = &fixture.services.projects;
    projects.delete_environment(&admin(), PROJECT, "staging", Expected::Any).await.unwrap();
    projects.delete_environment(&admin(), PROJECT, "production", Expected::Any).await.unwrap();
    let refused = projects.delete_environment(&admin(), PROJECT, "development", Expected::Any).await;
    assert_eq!(conflict(refused), "last_environment");
}

#[tokio::test]
async fn a_deleted_project_takes_everything_with_it_and_its_key_is_free_again() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    let projects = &fixture.services.projects;
    let stale = projects.delete(&admin(), PROJECT, Expected::Version(9)).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 1 })));
    projects.delete(&admin(), PROJECT, Expected::Version(1)).await.unwrap();
    assert_eq!(not_found(projects.get(PROJECT).await), "project");
    assert!(fixture.services.snapshots.get(PROJECT, "development").is_none());
    assert!(grant.is_revoked());
    assert_eq!(fixture.services.keys.count(), 0);
    projects.create(&admin(), &json!({"key": PROJECT})).await.unwrap();
    assert!(fixture.handle("development").snapshot.load().flags.is_empty());
}
