//! Two instances on one database; nothing but PostgreSQL tells one of what the other did.

use std::time::Duration;

use flagstone_services::accounts::{NewUser, SignIn};
use flagstone_services::actor::{Actor, Identity, Role};
use flagstone_services::engine::Context;
use flagstone_services::version::Expected;
use flagstone_services::{Options, Services};
use serde_json::json;

use super::{Arc, Fixture, PROJECT, admin, anonymous, member, options};

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
async fn what_is_heard_of_leads_to_the_same_state() {
    let fixture = Fixture::new().await;
    let Some(other) = hearing(&fixture).await else { return };
    let (flags, segments, actor) = (&fixture.services.flags, &fixture.services.segments, member());
    let same = async || {
        until(|| other.revisions() == fixture.services.revisions()).await;
        for environment in ["development", "staging", "production"] {
            let [ours, theirs] = [&fixture.services, &other].map(|one| state(one, environment));
            assert_eq!(ours, theirs);
        }
    };
    fixture.flag("search").await;
    same().await;
    fixture.configure("search", "development", json!({"enabled": true})).await.unwrap();
    same().await;
    let renamed = json!({"key": "search", "type": "boolean", "name": "Find", "tags": ["ui"]});
    flags.update(&actor, PROJECT, "search", Expected::Any, &renamed).await.unwrap();
    same().await;
    // Several between two looks, one of them about all that use it.
    for key in ["base", "top"] {
        fixture.flag(key).await;
    }
    let needs = json!({"enabled": true, "prerequisites": [{"flag": "base", "variants": ["on"]}]});
    fixture.configure("top", "development", needs).await.unwrap();
    fixture.configure("base", "development", json!({"enabled": true})).await.unwrap();
    same().await;
    let everybody = json!({"key": "everybody", "when": {"all": []}});
    segments.create(&actor, PROJECT, &everybody).await.unwrap();
    let rule = json!({"id": "all", "when": {"segment": "everybody"}, "serve": {"variant": "on"}});
    let config = json!({"enabled": true, "rules": [rule], "fallthrough": {"variant": "off"}});
    fixture.configure("search", "production", config).await.unwrap();
    same().await;
    for number in 0..12 {
        fixture.flag(&format!("many-{number}")).await;
    }
    same().await;
    flags.delete(&actor, PROJECT, "top", Expected::Any).await.unwrap();
    flags.delete(&actor, PROJECT, "many-0", Expected::Any).await.unwrap();
    fixture.flag("many-0").await;
    same().await;
    other.close(PATIENCE).await.unwrap();
}

/// Revision, definitions, and what each flag answers.
fn state(services: &Services, environment: &str) -> (u64, String, Vec<Option<String>>) {
    let handle = services.snapshots.get(PROJECT, environment).unwrap();
    let snapshot = handle.snapshot.load_full();
    let definitions = String::from_utf8(handle.definitions(&snapshot).to_vec()).unwrap();
    let answer = |key: &str| {
        let resolution = snapshot.compiled.evaluate(key, &Context::empty(services.clock.now()))?;
        resolution.variant.map(|variant| variant.key().to_owned())
    };
    let answers = ["search", "base", "top", "many-0"].map(answer);
    (snapshot.revision, definitions, answers.into())
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
