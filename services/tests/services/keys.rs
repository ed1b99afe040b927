use std::time::Duration;

use flagstone_services::keys::KeyKind;
use serde_json::json;

use super::{Fixture, PROJECT, admin, conflict, faults, is_forbidden, member, not_found};

#[tokio::test]
async fn a_key_is_shown_once_and_opens_its_environment() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    for (kind, prefix) in [("server", "fs_srv_"), ("client", "fs_cli_")] {
        let made =
            keys.create(&admin(), PROJECT, "staging", &json!({"kind": kind, "name": "web"})).await.unwrap();
        let secret = made.secret.reveal();
        assert!(secret.starts_with(prefix) && secret.len() == prefix.len() + 43, "{secret}");
        assert_eq!(serde_json::to_value(&made).unwrap()["key"], secret);
        assert!(!format!("{made:?}").contains(secret));
        let grant = keys.verify(secret).unwrap();
        assert_eq!((&*grant.environment.project, &*grant.environment.environment), (PROJECT, "staging"));
        assert_eq!(grant.kind, KeyKind::parse(kind).unwrap());
        assert_eq!(grant.id, made.key.id);
        let hint = &made.key.hint;
        assert!(secret.starts_with(hint) && hint.len() < 16, "{hint}");
        for wrong in [&secret[1..], &format!("{secret}A"), &secret.replace("fs_", "fs-"), ""] {
            assert!(keys.verify(wrong).is_none(), "{wrong}");
        }
        let another = format!("{prefix}{}", "A".repeat(43));
        assert!(keys.verify(&another).is_none());
    }
    let listed = serde_json::to_string(&keys.list(PROJECT, "staging").await.unwrap()).unwrap();
    assert!(listed.contains("ada@example.com") && !listed.contains("secret"), "{listed}");
    let dump = format!("{:?}", fixture.rows("SELECT before, after FROM audit_logs").await);
    assert!(dump.contains("hint") && !dump.contains("secret_hash"), "{dump}");
}

#[tokio::test]
async fn a_key_still_opens_after_a_restart() {
    let fixture = Fixture::new().await;
    let made =
        fixture.services.keys.create(&admin(), PROJECT, "staging", &json!({"kind": "client"})).await.unwrap();
    let fixture = fixture.reopened().await;
    let grant = fixture.services.keys.verify(made.secret.reveal()).unwrap();
    assert_eq!(&*grant.environment.environment, "staging");
    assert!(std::sync::Arc::ptr_eq(&grant.environment, &fixture.handle("staging")));
}

#[tokio::test]
async fn two_of_a_kind_are_valid_at_a_time() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let document = json!({"kind": "server"});
    let first = keys.create(&admin(), PROJECT, "staging", &document).await.unwrap();
    keys.create(&admin(), PROJECT, "staging", &document).await.unwrap();
    assert_eq!(conflict(keys.create(&admin(), PROJECT, "staging", &document).await), "key_limit");
    keys.create(&admin(), PROJECT, "staging", &json!({"kind": "client"})).await.unwrap();
    keys.create(&admin(), PROJECT, "production", &document).await.unwrap();
    keys.revoke(&admin(), PROJECT, "staging", first.key.id).await.unwrap();
    keys.create(&admin(), PROJECT, "staging", &document).await.unwrap();
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let made = keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    keys.revoke(&admin(), PROJECT, "staging", made.key.id).await.unwrap();
    assert!(keys.verify(made.secret.reveal()).is_none());
    let again = keys.revoke(&admin(), PROJECT, "staging", made.key.id).await;
    assert_eq!(conflict(again), "already_revoked");
    let fixture = fixture.reopened().await;
    assert!(fixture.services.keys.verify(made.secret.reveal()).is_none());
    let listed = fixture.services.keys.list(PROJECT, "staging").await.unwrap();
    assert!(listed[0].revoked_at.is_some());
}

#[tokio::test]
async fn an_expired_key_opens_nothing_and_leaves_room() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let document = json!({"kind": "server", "expires_at": "2026-05-05T00:00:00Z"});
    let made = keys.create(&admin(), PROJECT, "staging", &document).await.unwrap();
    keys.create(&admin(), PROJECT, "staging", &document).await.unwrap();
    assert!(keys.verify(made.secret.reveal()).is_some());
    fixture.clock.advance(Duration::from_secs(24 * 3_600));
    assert!(keys.verify(made.secret.reveal()).is_none());
    keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    fixture.services.housekeep().await.unwrap();
    assert_eq!(keys.count(), 1);
}

#[tokio::test]
async fn the_last_use_is_written_down_in_batches() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let made = keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    fixture.clock.advance(Duration::from_secs(5));
    keys.verify(made.secret.reveal()).unwrap();
    assert_eq!(keys.list(PROJECT, "staging").await.unwrap()[0].last_used_at, None);
    fixture.services.housekeep().await.unwrap();
    let used = keys.list(PROJECT, "staging").await.unwrap()[0].last_used_at;
    assert_eq!(used, Some(fixture.clock.now()));
}

#[tokio::test]
async fn keys_of_other_environments_and_projects_are_not_found() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    fixture.services.projects.create(&admin(), &json!({"key": "other"})).await.unwrap();
    let made = keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    for (project, environment) in [(PROJECT, "production"), ("other", "staging")] {
        let revoked = keys.revoke(&admin(), project, environment, made.key.id).await;
        assert_eq!(not_found(revoked), "SDK key");
    }
    assert!(keys.verify(made.secret.reveal()).is_some());
    assert_eq!(not_found(keys.list(PROJECT, "none").await), "environment");
}

#[tokio::test]
async fn only_admins_make_and_revoke_keys() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let made = keys.create(&admin(), PROJECT, "staging", &json!({"kind": "server"})).await.unwrap();
    assert!(is_forbidden(keys.create(&member(), PROJECT, "staging", &json!({"kind": "server"})).await));
    assert!(is_forbidden(keys.revoke(&member(), PROJECT, "staging", made.key.id).await));
}

#[tokio::test]
async fn a_wrong_document_is_told_in_full() {
    let fixture = Fixture::new().await;
    let keys = &fixture.services.keys;
    let document = json!({"kind": "admin", "expires_at": "2001-01-01T00:00:00Z", "scope": 1});
    let found = faults(keys.create(&admin(), PROJECT, "staging", &document).await);
    let found: Vec<_> = found.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(found, ["/kind", "/expires_at", "/scope"]);
}
