//! Where everything is kept: a small [`Db`] and one repository per family of tables.

mod announcement;
pub(crate) mod audit;
pub(crate) mod changes;
mod db;
mod dialect;
pub(crate) mod environments;
pub(crate) mod failed_attempts;
pub(crate) mod flags;
pub(crate) mod json;
pub(crate) mod keys;
mod migrations;
mod postgres;
pub(crate) mod projects;
mod queue;
pub(crate) mod secrets;
pub(crate) mod segments;
pub(crate) mod sessions;
pub(crate) mod setup;
mod sqlite;
pub(crate) mod statistics;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub(crate) mod unknown_flags;
pub(crate) mod users;
mod value;

pub(crate) use announcement::Announcement;
pub use db::{
    Connection, Constraint, DatabaseOptions, DatabaseUrl, Db, Executor, PoolFigures, QueryKind,
    QueryObserver, ReadTransaction, StoreError, Transaction, Unobserved,
};
pub(crate) use postgres::Listener;
pub use value::{FromValue, Row, Value};

/// What lists are searched in, in lower case.
fn search_text(key: &str, name: &str, description: &str) -> String {
    format!("{key}\n{name}\n{description}").to_lowercase()
}
