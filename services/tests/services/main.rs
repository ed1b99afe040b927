//! The services as routes use them, on a real database: an SQLite file, or PostgreSQL where
//! `FLAGSTONE_TEST_POSTGRES` names a server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod audit;
mod clock;
mod crash;
mod demo;
mod flags;
mod following;
mod keys;
mod lifecycle;
mod panics;
mod projects;
mod segments;
mod stream_tokens;
mod streams;
mod unknown_flags;

use std::sync::Arc;
use std::time::Duration;

use flagstone_services::accounts::{AccountOptions, HashingOptions};
use flagstone_services::actor::{Actor, Identity, Role};
use flagstone_services::clock::Clock;
use flagstone_services::engine::{Context, Fault};
use flagstone_services::error::ServiceError;
use flagstone_services::flags::FlagDetails;
use flagstone_services::keys::KeyGrant;
use flagstone_services::snapshot::{DefinedFlag, Definitions, EnvironmentHandle};
use flagstone_services::store::testing::TestDatabase;
use flagstone_services::store::{DatabaseOptions, Row};
use flagstone_services::version::Expected;
use flagstone_services::{Options, Services};
use serde_json::{Value, json};
use uuid::Uuid;

const PROJECT: &str = "shop";

struct Fixture {
    services: Arc<Services>,
    clock: Clock,
    database: TestDatabase,
}

impl Fixture {
    /// An empty database.
    async fn empty() -> Self {
        let database = TestDatabase::new().await.unwrap();
        let clock = Clock::manual("2026-05-04T03:02:01Z".parse().unwrap());
        let services = open(database.options().unwrap(), &clock).await;
        Self { services, clock, database }
    }

    /// A project `shop` with its three environments.
    async fn new() -> Self {
        let fixture = Self::empty().await;
        let document = json!({"key": PROJECT, "name": "Shop"});
        fixture.services.projects.create(&admin(), &document).await.unwrap();
        fixture
    }

    /// The same database, closed and opened again.
    async fn reopened(self) -> Self {
        self.services.close(Duration::from_secs(5)).await.unwrap();
        let services = open(self.database.options().unwrap(), &self.clock).await;
        Self { services, ..self }
    }

    /// What a statement answers that looks at the database from outside.
    async fn rows(&self, sql: &'static str) -> Vec<Row> {
        self.database.rows(sql, Vec::new()).await.unwrap()
    }

    /// The one number a statement answers.
    async fn number(&self, sql: &'static str) -> i64 {
        self.rows(sql).await[0].get(0).unwrap()
    }

    fn handle(&self, environment: &str) -> Arc<EnvironmentHandle> {
        self.services.snapshots.get(PROJECT, environment).unwrap()
    }

    async fn flag(&self, key: &str) -> FlagDetails {
        let document = json!({"key": key, "type": "boolean"});
        self.services.flags.create(&member(), PROJECT, &document).await.unwrap()
    }

    async fn configure(&self, key: &str, environment: &str, config: Value) -> Result<u64, ServiceError> {
        let actor = member();
        let put = self.services.flags.put_config(&actor, PROJECT, key, environment, Expected::Any, config);
        put.await.map(|config| config.version)
    }

    /// What the flag answers to somebody in `development`.
    fn answer(&self, key: &str) -> Option<String> {
        let snapshot = self.handle("development").snapshot.load_full();
        let resolution = snapshot.compiled.evaluate(key, &Context::empty(self.clock.now()))?;
        resolution.variant.map(|variant| variant.key().to_owned())
    }

    /// What server SDKs get.
    fn definitions(&self, environment: &str) -> Definitions {
        let handle = self.handle(environment);
        serde_json::from_slice(&handle.definitions(&handle.snapshot.load())).unwrap()
    }

    /// A flag among them in `development`.
    fn defined(&self, key: &str) -> DefinedFlag {
        let mut flags = self.definitions("development").flags.into_iter();
        flags.find(|defined| defined.flag.key == key).unwrap()
    }

    async fn grant(&self, environment: &str) -> Arc<KeyGrant> {
        let document = json!({"kind": "server"});
        let made = self.services.keys.create(&admin(), PROJECT, environment, &document).await.unwrap();
        self.services.keys.verify(made.secret.reveal()).unwrap()
    }
}

async fn open(database: DatabaseOptions, clock: &Clock) -> Arc<Services> {
    Services::open(options(database, clock)).await.unwrap()
}

/// Tests say themselves when what others changed is read.
fn options(database: DatabaseOptions, clock: &Clock) -> Options {
    let hashing = HashingOptions { memory_kib: 64, iterations: 1, ..HashingOptions::default() };
    let accounts = AccountOptions { hashing, ..AccountOptions::default() };
    Options { accounts, clock: clock.clone(), follow: None, ..Options::new(database) }
}

fn user(role: Role) -> Actor {
    let mut actor = Actor::new(Identity::User { id: Uuid::nil(), email: "ada@example.com".to_owned(), role });
    actor.address = Some([192, 0, 2, 7].into());
    actor.user_agent = Some("a browser".to_owned());
    actor.request_id = Some("request-1".to_owned());
    actor
}

fn admin() -> Actor {
    user(Role::Admin)
}

fn member() -> Actor {
    user(Role::Member)
}

fn anonymous() -> Actor {
    Actor::new(Identity::Anonymous)
}

fn faults<T>(outcome: Result<T, ServiceError>) -> Vec<Fault> {
    match outcome {
        Err(ServiceError::Invalid(faults)) => faults,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// The code of a conflict.
fn conflict<T>(outcome: Result<T, ServiceError>) -> &'static str {
    match outcome {
        Err(ServiceError::Conflict { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn not_found<T>(outcome: Result<T, ServiceError>) -> &'static str {
    match outcome {
        Err(ServiceError::NotFound(what)) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was found"),
    }
}

fn is_forbidden<T>(outcome: Result<T, ServiceError>) -> bool {
    matches!(outcome.err(), Some(ServiceError::Forbidden))
}
