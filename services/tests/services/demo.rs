use flagstone_services::demo::{self, Demo};
use flagstone_services::engine::Context;
use flagstone_services::keys::KeyKind;
use serde_json::{Value, json};

use super::{Fixture, conflict};

fn answer(fixture: &Fixture, flag: &str, context: &Value) -> Option<String> {
    let body = json!({"context": context});
    let snapshot = fixture.services.snapshots.get("demo", "development").unwrap().snapshot.load_full();
    let context = Context::from_sdk(&body, fixture.clock.now()).unwrap();
    let resolution = snapshot.compiled.evaluate(flag, &context).unwrap();
    resolution.variant.map(|variant| variant.key().to_owned())
}

#[tokio::test]
async fn a_demonstration_has_all_it_promises() {
    let fixture = Fixture::empty().await;
    let Demo { project, keys, password, .. } = demo::seed(&fixture.services).await.unwrap();
    assert_eq!(project, "demo");
    assert!(password.len() >= 15);
    let environments: Vec<_> = keys.iter().map(|keys| keys.environment.as_str()).collect();
    assert_eq!(environments, ["development", "staging", "production"]);
    for of_environment in &keys {
        for (key, kind) in
            [(&of_environment.server, KeyKind::Server), (&of_environment.client, KeyKind::Client)]
        {
            let grant = fixture.services.keys.verify(key).unwrap();
            assert_eq!(
                (grant.kind, &*grant.environment.environment),
                (kind, of_environment.environment.as_str())
            );
        }
    }
    let snapshot = fixture.services.snapshots.get("demo", "development").unwrap().snapshot.load_full();
    let on: Vec<_> =
        snapshot.compiled.flags().filter(|flag| flag.is_enabled()).map(|flag| flag.key()).collect();
    assert_eq!(on, ["banner-text", "beta-search", "max-items", "new-checkout", "theme"]);
    let production = fixture.services.snapshots.get("demo", "production").unwrap().snapshot.load_full();
    assert!(production.compiled.flags().all(|flag| !flag.is_enabled()));

    assert_eq!(answer(&fixture, "beta-search", &json!({"plan": "pro"})).as_deref(), Some("on"));
    assert_eq!(answer(&fixture, "beta-search", &json!({"plan": "free"})).as_deref(), Some("off"));
    assert_eq!(answer(&fixture, "max-items", &json!({})).as_deref(), Some("many"));
    let share = (0..1_000)
        .filter(|user| {
            let context = json!({"targetingKey": format!("user-{user}")});
            answer(&fixture, "new-checkout", &context).as_deref() == Some("on")
        })
        .count();
    assert!((200..300).contains(&share), "{share}");
}

#[tokio::test]
async fn only_an_empty_database_becomes_a_demonstration() {
    let fixture = Fixture::empty().await;
    demo::seed(&fixture.services).await.unwrap();
    assert_eq!(conflict(demo::seed(&fixture.services).await), "not_empty");
    let fixture = Fixture::new().await;
    assert_eq!(conflict(demo::seed(&fixture.services).await), "not_empty");
    assert_eq!(fixture.services.accounts.user_count().await.unwrap(), 0);
}
