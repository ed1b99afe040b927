//! Two instances on one PostgreSQL: how long a change at one takes until the other evaluates and streams it.

use std::time::Duration;

use flagstone_services::store::{Db, Executor, StoreError, testing::TestDatabase};
use serde_json::json;

use crate::{
    change,
    harness::{Person, Server, Setup},
    machine, project,
};

/// Flags made through the API; the others are copies of them.
const MADE: usize = 4;
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "four measured words here";

/// What makes 100,000 flags in 100 projects of one project with [`MADE`].
const COPIES: &str = include_str!("replicas.sql");
/// The longest that one statement of it takes.
const STATEMENT: Duration = Duration::from_secs(120);

#[test]
fn measure() {
    println!("{}", machine::describe());
    let setup = instance();
    let database = setup.postgres();
    let mut server = setup.clone().start();
    let key = project::make(&sign_in(&server), MADE);
    server.signal("TERM");
    assert!(server.wait().success());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let flags = runtime.block_on(fill(&database)).unwrap();
    let other = instance().variable("DATABASE_URL", database.address());
    let (first, second) = (setup.start(), other.start());
    let admin = sign_in(&first);
    let among = format!("{flags} flags, at the other instance");
    change::measure(&admin, [&first, &second], &key, &among, 100);
}

fn instance() -> Setup {
    machine::measured(Setup::shipped())
        .variable("RATE_LIMIT_MAX", "1000000")
        .variable("STRICT_RATE_LIMIT_MAX", "1000000")
        .variable("ADMIN_EMAIL", EMAIL)
        .variable("ADMIN_PASSWORD", PASSWORD)
}

fn sign_in(server: &Server) -> Person<'_> {
    server.sign_in_with(&json!({ "email": EMAIL, "password": PASSWORD })).unwrap()
}

/// Fills the database. Returns how many flags there are.
async fn fill(database: &TestDatabase) -> Result<i64, StoreError> {
    let mut options = database.options()?;
    options.statement_timeout = STATEMENT;
    let mut transaction = Db::open(options).await?.begin().await?;
    for statement in COPIES.split(";\n") {
        transaction.execute(statement, Vec::new()).await?;
    }
    let count = transaction.query_one("SELECT COUNT(*) FROM flags", Vec::new()).await?.get(0)?;
    transaction.commit().await?;
    Ok(count)
}
