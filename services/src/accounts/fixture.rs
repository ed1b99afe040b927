//! Accounts on a real, throw-away database, with a clock that stands still and cheap hashes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;

use super::{AccountOptions, Accounts, HashingOptions, NewUser, SignIn, SignInError, SignedIn, User};
use crate::actor::{Actor, Identity, Role};
use crate::clock::Clock;
use crate::store::{DatabaseOptions, Db, Executor, Value, testing::TestDatabase};

pub(super) const EMAIL: &str = "ada@example.com";
pub(super) const PASSWORD: &str = "violin gravel otter seventeen";

pub(super) struct Fixture {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) accounts: Accounts,
    pub(super) database: TestDatabase,
}

/// One row of the audit log.
#[derive(Debug, PartialEq)]
pub(super) struct AuditRow {
    pub(super) kind: String,
    pub(super) actor: String,
    pub(super) entity: String,
    pub(super) success: bool,
    pub(super) after: Option<serde_json::Value>,
}

pub(super) fn options() -> AccountOptions {
    let hashing = HashingOptions { memory_kib: 64, iterations: 1, ..HashingOptions::default() };
    AccountOptions { hashing, ..AccountOptions::default() }
}

/// Somebody on the network who is not signed in.
pub(super) fn visitor(address: u8) -> Actor {
    let mut actor = Actor::new(Identity::Anonymous);
    actor.address = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, address)));
    actor.user_agent = Some("a browser".to_owned());
    actor.request_id = Some("request-1".to_owned());
    actor
}

/// A user's further requests.
pub(super) fn user_actor(user: &User) -> Actor {
    Actor { identity: user.identity(), ..visitor(1) }
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut DatabaseOptions)) -> Self {
        let database = TestDatabase::new().await.unwrap();
        let mut options = database.options().unwrap();
        change(&mut options);
        let db = Db::open(options).await.unwrap();
        let clock = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
        let accounts = Accounts::new(db.clone(), clock.clone(), self::options()).unwrap();
        Self { db, clock, accounts, database }
    }

    /// With the user [`EMAIL`], [`PASSWORD`].
    pub(super) async fn with_user() -> (Self, User) {
        let fixture = Self::new().await;
        let user = fixture.create_user(EMAIL).await;
        (fixture, user)
    }

    pub(super) async fn create_user(&self, email: &str) -> User {
        let new = NewUser {
            email: email.to_owned(),
            name: Some("Ada".to_owned()),
            role: Role::Member,
            password: PASSWORD.into(),
        };
        self.accounts.create_user(&Actor::cli(), new).await.unwrap()
    }

    pub(super) async fn sign_in(&self, email: &str, password: &str) -> Result<SignedIn, SignInError> {
        self.sign_in_from(1, email, password).await
    }

    pub(super) async fn sign_in_from(
        &self,
        address: u8,
        email: &str,
        password: &str,
    ) -> Result<SignedIn, SignInError> {
        let request = SignIn { email: email.to_owned(), password: password.into(), previous: None };
        self.accounts.sign_in(&visitor(address), request).await
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) async fn audit(&self) -> Vec<AuditRow> {
        let sql = "SELECT type, actor_name, entity_id, success, after FROM audit_logs ORDER BY sequence";
        let rows = self.db.read().await.unwrap().query(sql, Vec::new()).await.unwrap();
        rows.iter()
            .map(|row| AuditRow {
                kind: row.get(0).unwrap(),
                actor: row.get(1).unwrap(),
                entity: row.get(2).unwrap(),
                success: row.get(3).unwrap(),
                after: row.get::<Option<String>>(4).unwrap().map(|text| serde_json::from_str(&text).unwrap()),
            })
            .collect()
    }

    /// The last row of the audit log.
    pub(super) async fn last_audit(&self) -> AuditRow {
        self.audit().await.pop().unwrap()
    }

    /// From now on no audit row can be written.
    pub(super) async fn break_audit(&self) {
        self.database.execute("ALTER TABLE audit_logs RENAME TO audit_logs_gone").await.unwrap();
    }

    pub(super) async fn mend_audit(&self) {
        self.database.execute("ALTER TABLE audit_logs_gone RENAME TO audit_logs").await.unwrap();
    }

    pub(super) async fn count(&self, sql: &'static str) -> u64 {
        self.db.read().await.unwrap().query_one(sql, Vec::new()).await.unwrap().get(0).unwrap()
    }

    /// Whether a text stands anywhere in what accounts write.
    pub(super) async fn is_written_anywhere(&self, text: &str) -> bool {
        let mut read = self.db.read().await.unwrap();
        for sql in [
            "SELECT * FROM users",
            "SELECT * FROM sessions",
            "SELECT * FROM failed_attempts",
            "SELECT * FROM setup_tokens",
            "SELECT * FROM audit_logs",
        ] {
            for row in read.query(sql, Vec::new()).await.unwrap() {
                let found = row.0.iter().any(|value| match value {
                    Value::Text(value) => value.contains(text),
                    Value::Blob(value) => value.windows(text.len()).any(|part| part == text.as_bytes()),
                    Value::Null | Value::Integer(_) | Value::Real(_) => false,
                });
                if found {
                    return true;
                }
            }
        }
        false
    }
}
