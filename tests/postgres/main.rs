//! What only a server on PostgreSQL can meet: a database that goes away, hangs, refuses, is shared.
//!
//! `FLAGSTONE_TEST_POSTGRES` names the PostgreSQL server, `FLAGSTONE_TEST_POSTGRES_CA` the file with the certificate
//! that its own comes from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod balanced;
mod faults;
#[expect(dead_code, reason = "it serves the other test targets too")]
#[path = "../edge/proxy.rs"]
mod front;
#[expect(dead_code, reason = "it serves the other test targets too")]
#[path = "../server/harness.rs"]
mod harness;
mod instances;
mod proxy;
#[expect(dead_code, reason = "it serves the other test targets too")]
#[path = "../edge/socket.rs"]
mod socket;
mod start;

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use flagstone_services::store::testing::TestDatabase;
use harness::{Answer, PATIENCE, Person, Server, Setup};
use proxy::Proxy;
use serde_json::json;

const PROJECTS: &str = "/api/management/projects";

/// A server on a database that a test can cut off.
struct Cut {
    server: Server,
    proxy: Proxy,
    database: std::sync::Arc<TestDatabase>,
}

impl Cut {
    fn start() -> Self {
        let setup = Setup::demo();
        let database = setup.postgres();
        let proxy = Proxy::to(address_of(&database));
        let setup = setup
            .variable("DATABASE_URL", &through(&database, proxy.address()))
            .variable("FLAGSTONE_DATABASE__CONNECTIONS", "2")
            .variable("FLAGSTONE_DATABASE__WAIT_TIMEOUT", "1s")
            .variable("FLAGSTONE_DATABASE__STATEMENT_TIMEOUT", "1s");
        Self { server: setup.start(), proxy, database }
    }

    /// Evaluation needs no database.
    fn evaluates(&self) {
        let answer = self.server.post("/api/v1/evaluate").key(&self.server.client_key()).send();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn is_ready(&self) -> bool {
        self.server.get("/health/ready").send().status == 200
    }
}

/// Where a database's server listens.
fn address_of(database: &TestDatabase) -> SocketAddr {
    host(database.address()).parse().unwrap()
}

/// The host and port of an address.
fn host(address: &str) -> &str {
    address.split_once('@').unwrap().1.split_once('/').unwrap().0
}

/// The address of a database by way of `proxy`.
fn through(database: &TestDatabase, proxy: SocketAddr) -> String {
    let address = database.address();
    address.replacen(host(address), &proxy.to_string(), 1)
}

fn create(person: &Person<'_>, key: &str) -> Answer {
    person.post(PROJECTS).json(&json!({ "key": key })).send()
}

/// An answer that says when to come back.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
