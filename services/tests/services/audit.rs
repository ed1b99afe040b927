use flagstone_services::actor::Actor;
use flagstone_services::error::ServiceError;
use flagstone_services::version::Expected;
use serde_json::{Value, json};

use super::{Fixture, PROJECT, admin, member};

#[tokio::test]
async fn every_change_has_its_row() {
    let fixture = Fixture::new().await;
    let (flags, segments) = (&fixture.services.flags, &fixture.services.segments);
    let (projects, keys) = (&fixture.services.projects, &fixture.services.keys);
    let any = Expected::Any;
    fixture.flag("search").await;
    fixture.configure("search", "staging", json!({"enabled": true})).await.unwrap();
    let mut flag = json!({"key": "search", "type": "boolean", "name": "Search"});
    flags.update(&member(), PROJECT, "search", any, &flag).await.unwrap();
    flag["archived"] = json!(true);
    flags.update(&member(), PROJECT, "search", any, &flag).await.unwrap();
    flag["archived"] = json!(false);
    flags.update(&member(), PROJECT, "search", any, &flag).await.unwrap();
    flags.delete(&member(), PROJECT, "search", any).await.unwrap();
    segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    segments
        .update(&member(), PROJECT, "team", any, &json!({"key": "team", "include": ["a"]}))
        .await
        .unwrap();
    segments.delete(&member(), PROJECT, "team", any).await.unwrap();
    let key = keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    keys.revoke(&admin(), PROJECT, "staging", key.key.id).await.unwrap();
    projects.create_environment(&admin(), PROJECT, &json!({"key": "qa"})).await.unwrap();
    projects.update_environment(&admin(), PROJECT, "qa", any, &json!({"name": "QA"})).await.unwrap();
    let order = json!({"environments": ["qa", "development", "staging", "production"]});
    projects.reorder_environments(&admin(), PROJECT, &order).await.unwrap();
    projects.delete_environment(&admin(), PROJECT, "qa", any).await.unwrap();
    projects.update(&admin(), PROJECT, any, &json!({"name": "S"})).await.unwrap();
    projects.delete(&Actor::cli(), PROJECT, any).await.unwrap();

    let rows = fixture.rows("SELECT type, sequence FROM audit_logs ORDER BY sequence").await;
    let rows: Vec<(String, i64)> =
        rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
    let kinds: Vec<&str> = rows.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected = [
        "project.create",
        "flag.create",
        "flag_config.update",
        "flag.update",
        "flag.archive",
        "flag.unarchive",
        "flag.delete",
        "segment.create",
        "segment.update",
        "segment.delete",
        "sdk_key.create",
        "sdk_key.revoke",
        "environment.create",
        "environment.update",
        "environment.reorder",
        "environment.delete",
        "project.update",
        "project.delete",
    ];
    assert_eq!(kinds, expected);
    assert!(rows.iter().zip(1..).all(|((_, sequence), number)| *sequence == number), "no gap");
}

#[tokio::test]
async fn a_row_says_who_where_what_before_and_after() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    fixture.configure("search", "staging", json!({"enabled": true})).await.unwrap();
    let sql = "SELECT actor_kind, actor_name, address, user_agent, request_id, entity_type, entity_id, project, \
        environment, before, after, success, created_at FROM audit_logs WHERE type = 'flag_config.update'";
    let row = &fixture.rows(sql).await[0];
    let texts: Vec<String> = (0..9).map(|column| row.get(column).unwrap()).collect();
    let expected = [
        "user",
        "ada@example.com",
        "192.0.2.7",
        "a browser",
        "request-1",
        "flag",
        "search",
        PROJECT,
        "staging",
    ];
    assert_eq!(texts, expected);
    let document = |column| -> Value { serde_json::from_str(&row.get::<String>(column).unwrap()).unwrap() };
    let (before, after) = (document(9), document(10));
    assert_eq!((&before["enabled"], &before["version"]), (&json!(false), &json!(0)));
    assert_eq!((&after["enabled"], &after["version"]), (&json!(true), &json!(1)));
    assert_eq!(row.get::<i64>(11).unwrap(), 1);
    assert_eq!(row.get::<i64>(12).unwrap(), fixture.clock.now().as_microsecond());
}

#[tokio::test]
async fn a_failing_audit_row_fails_the_change() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let grant = fixture.grant("development").await;
    fixture.database.execute("ALTER TABLE audit_logs RENAME TO audit_logs_gone").await.unwrap();
    let flags = &fixture.services.flags;
    let refused = fixture.configure("search", "development", json!({"enabled": true})).await;
    assert!(matches!(refused, Err(ServiceError::Internal(_))), "{refused:?}");
    let document = json!({"key": "other", "type": "boolean"});
    assert!(flags.create(&member(), PROJECT, &document).await.is_err());
    assert!(flags.delete(&member(), PROJECT, "search", Expected::Any).await.is_err());
    assert!(fixture.services.keys.revoke(&admin(), PROJECT, "development", grant.id).await.is_err());
    assert!(fixture.services.projects.delete(&admin(), PROJECT, Expected::Any).await.is_err());

    assert!(!grant.is_revoked());
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
    assert_eq!(fixture.number("SELECT COUNT(*) FROM flags").await, 1);
    assert_eq!(
        fixture.number("SELECT COUNT(*) FROM changes").await,
        3,
        "those of the flag that was made before"
    );
    assert_eq!(fixture.handle("development").snapshot.load().revision, 1);
    fixture.database.execute("ALTER TABLE audit_logs_gone RENAME TO audit_logs").await.unwrap();
    fixture.configure("search", "development", json!({"enabled": true})).await.unwrap();
    assert_eq!(fixture.handle("development").snapshot.load().revision, 2);
}
