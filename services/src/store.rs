//! Where everything is kept: a small [`Db`] and one repository per family of tables.

pub(crate) mod audit;
mod db;
mod dialect;
mod migrations;
mod sqlite;

pub use db::{
    Connection, Constraint, DatabaseOptions, DatabaseUrl, Db, Executor, FromValue, QueryKind, QueryObserver,
    ReadTransaction, Row, StoreError, Transaction, Unobserved, Value,
};
