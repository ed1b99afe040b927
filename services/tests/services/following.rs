//! Two instances on one database; nothing but PostgreSQL tells one of what the other did.

use std::time::Duration;

use flagstone_services::accounts::{NewUser, SignIn};
use flagstone_services::actor::{Actor, Identity, Role};
use flagstone_services::{Options, Services};
use serde_json::json;

use super::{Arc, Fixture, PROJECT, admin, anonymous, options};

/// The longest anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "violin gravel otter seventeen";

/// Another instance that looks only when it hears of something; nothing where the database tells nobody.
async fn hearing(fixture: &Fixture) -> Option<Arc<Services>> {
    let options = options(fixture.database.options().unwrap(), &fixture.clock);
    let services =
        Services::open(Options { follow: Some(Duration::from_hours(1)), ..options }).await.unwrap();
    services.following()?;
    until(|| services.following().is_some_and(|figures| figures.listener.is_ok())).await;
    Some(services)
}

async fn until(holds: impl Fn() -> bool) {
    let becomes_so = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes_so).await.unwrap();
}

#[tokio::test]
async fn a_database_of_its_own_has_nobody_to_follow() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.services.following(), None, "nothing is followed");
    let other = hearing(&fixture).await;
    assert_eq!(other.is_some(), fixture.database.is_postgres());
}

#[tokio::test]
async fn a_change_is_heard_of() {
    let fixture = Fixture::new().await;
    let Some(other) = hearing(&fixture).await else { return };
    fixture.flag("search").await;
    fixture.configure("search", "development", json!({"enabled": true})).await.unwrap();
    until(|| other.revisions() == fixture.services.revisions()).await;
    let handle = other.snapshots.get(PROJECT, "development").unwrap();
    assert!(handle.snapshot.load().compiled.flag("search").unwrap().is_enabled());
    other.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_session_is_heard_of() {
    let fixture = Fixture::new().await;
    let Some(other) = hearing(&fixture).await else { return };
    let accounts = &fixture.services.accounts;
    let user = NewUser { email: EMAIL.to_owned(), name: None, role: Role::Member, password: PASSWORD.into() };
    let user = accounts.create_user(&admin(), user).await.unwrap();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let credentials = SignIn { email: EMAIL.to_owned(), password: PASSWORD.into(), previous: None };
        let signed_in = accounts.sign_in(&anonymous(), credentials).await.unwrap();
        // The clock stands still: what is verified would be believed for ever.
        other.accounts.verify(signed_in.token.reveal()).await.unwrap();
        sessions.push(signed_in);
    }
    let forgotten = |number: usize| other.accounts.verify_cached(sessions[number].token.reveal()).is_none();
    let actor = Actor { identity: user.identity(), ..anonymous() };
    accounts.sign_out(&actor, sessions[0].token.reveal()).await.unwrap();
    until(|| forgotten(0)).await;
    accounts.end_session(&actor, sessions[1].session.id).await.unwrap();
    until(|| forgotten(1)).await;
    assert!(!forgotten(2) && !forgotten(3), "the others are believed");
    let command_line = Actor::new(Identity::Cli);
    accounts.set_password(&command_line, EMAIL, "otter seventeen violin gravel".into()).await.unwrap();
    until(|| forgotten(2) && forgotten(3)).await;
    other.close(PATIENCE).await.unwrap();
}
