//! A connection with its prepared statements.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt::Write;
use std::time::Duration;

use bytes::BytesMut;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error, Statement};

use crate::store::db::{Access, Constraint, StoreError};
use crate::store::value::{Row, Value};

/// A connection. Statements are prepared when they are first used.
pub(super) struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
    given_up: bool,
    used: bool,
}

impl Session {
    pub(super) async fn new(
        client: Client,
        wait_timeout: Duration,
        statement_timeout: Duration,
    ) -> Result<Self, Error> {
        let milliseconds = |duration: Duration| duration.as_millis().clamp(1, i32::MAX as u128 / 2);
        let (lock, statement) = (milliseconds(wait_timeout), milliseconds(statement_timeout));
        // Longer than any statement, so that a client that is only slow is not cut off.
        let idle = statement * 2;
        // The server ends what takes too long by itself, so that an instance that was paused or cut off does not hold
        // the write lock.
        client
            .batch_execute(&format!(
                "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
                 SET idle_in_transaction_session_timeout = {idle}"
            ))
            .await?;
        Ok(Self { client, prepared: HashMap::new(), given_up: false, used: false })
    }

    /// The write lock comes with the first answer; what others committed before is seen by the statements after it.
    pub(super) async fn begin(&mut self, access: Access) -> Result<(), Error> {
        match access {
            Access::Read => {
                self.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?
            }
            Access::Write => {
                let (begun, locked) = tokio::join!(
                    self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
                    self.client.batch_execute(super::WRITE_LOCK)
                );
                begun.and(locked)?;
            }
        }
        self.used = true;
        Ok(())
    }

    pub(super) async fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        let rows = self.client.query(&statement, &params).await?;
        rows.iter()
            .map(|row| (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>().map(Row))
            .collect()
    }

    pub(super) async fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        self.client.execute(&statement, &params).await
    }

    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.client.batch_execute("").await
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether a transaction ran on it before: only then can it have been closed while it lay idle.
    pub(super) fn was_used(&self) -> bool {
        self.used
    }

    /// What state it is in is not known: it is not used again.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) => match *ty {
                Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
                Type::INT8 => value.to_sql(ty, out),
                _ => Err(mismatch("an integer", ty)),
            },
            Self::Real(value) if *ty == Type::FLOAT8 => value.to_sql(ty, out),
            Self::Text(value) if <&str as ToSql>::accepts(ty) => value.to_sql(ty, out),
            Self::Blob(value) if *ty == Type::BYTEA => value.to_sql(ty, out),
            Self::Real(_) => Err(mismatch("a floating-point number", ty)),
            Self::Text(_) => Err(mismatch("text", ty)),
            Self::Blob(_) => Err(mismatch("bytes", ty)),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Blob(Vec::from_sql(ty, raw)?),
            _ if <String as FromSql<'_>>::accepts(ty) => Self::Text(String::from_sql(ty, raw)?),
            _ => return Err(format!("a column of type {ty} is not read").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn mismatch(value: &str, ty: &Type) -> Box<dyn std::error::Error + Sync + Send> {
    format!("{value} where the statement takes {ty}").into()
}

/// What a failed statement means.
pub(super) fn store_error(error: &Error) -> StoreError {
    let Some(failure) = error.as_db_error() else {
        return if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) {
            connect_error(error)
        } else {
            StoreError::Statement(described(error))
        };
    };
    let code = failure.code();
    let constraint = |kind| StoreError::Constraint {
        kind,
        detail: failure.constraint().unwrap_or_else(|| failure.message()).to_owned(),
    };
    match *code {
        SqlState::UNIQUE_VIOLATION => constraint(Constraint::Unique),
        SqlState::FOREIGN_KEY_VIOLATION => constraint(Constraint::ForeignKey),
        // The classes of what passes or is mended elsewhere: connection, authorisation, rolled back, resources,
        // operator's intervention, system, and a server that only reads.
        _ if code.code().starts_with("23") => constraint(Constraint::Other),
        SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
            StoreError::Unavailable(failure.message().to_owned())
        }
        _ if ["08", "28", "40", "53", "57", "58"].iter().any(|class| code.code().starts_with(class)) => {
            StoreError::Unavailable(failure.message().to_owned())
        }
        _ => StoreError::Statement(format!("{} ({})", failure.message(), code.code())),
    }
}

/// Why there is no connection.
pub(super) fn connect_error(error: &Error) -> StoreError {
    StoreError::Unavailable(described(error))
}

/// The error with its causes: its own text says only where it happened. None of them holds the password.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
