//! A thread with a connection: it serves one transaction after the other.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, InterruptHandle, Statement, ToSql, ffi, params_from_iter};
use tokio::sync::oneshot;

use super::super::db::Access;
use super::super::db::{Constraint, StoreError};
use super::super::dialect;
use super::super::value::{Row, Value};
use super::file::DatabaseFile;
use super::pool::Returned;

/// Prepared statements kept per connection; beyond it all are dropped and prepared anew.
const STATEMENTS: usize = 256;

/// A thread with a connection.
pub(super) struct Worker {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) interrupt: Arc<InterruptHandle>,
    /// Resolves when the thread has closed its connection.
    ended: oneshot::Receiver<()>,
}

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What a worker does.
pub(super) enum Job {
    Begin(Access, Answer<()>),
    Query(&'static str, Vec<Value>, Answer<Vec<Row>>),
    Execute(&'static str, Vec<Value>, Answer<u64>),
    Batch(&'static str, Answer<()>),
    Commit(Answer<()>),
    Release(Returned),
}

impl Worker {
    /// Starts a thread and opens its connection.
    pub(super) async fn start(file: Arc<DatabaseFile>, access: Access) -> Result<Self, StoreError> {
        let (jobs, received) = mpsc::channel();
        let (ready, opened) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let name = match access {
            Access::Read => "sqlite-reader",
            Access::Write => "sqlite-writer",
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                match file.connect(access) {
                    Ok(connection) => {
                        // Nobody listens where `open` was dropped meanwhile; then no job comes either.
                        let _ = ready.send(Ok(Arc::new(connection.get_interrupt_handle())));
                        serve(&connection, &file, &received);
                        file.disconnect(connection);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
                let _ = ending.send(());
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))?;
        let interrupt = opened
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("its thread ended while opening".to_owned())))?;
        Ok(Self { jobs, interrupt, ended })
    }

    /// Ends the thread and waits until its connection is closed.
    pub(super) async fn end(self) {
        let Self { jobs, ended, .. } = self;
        drop(jobs);
        // An error means that the thread is gone, which is what is waited for.
        let _ = ended.await;
    }
}

/// Serves one transaction after the other until the pool drops the sender.
fn serve(connection: &rusqlite::Connection, file: &DatabaseFile, jobs: &mpsc::Receiver<Job>) {
    let mut statements = Statements { connection, prepared: HashMap::new() };
    let failed = |error: rusqlite::Error| {
        if is_of_the_file(&error) {
            file.suspect(&error.to_string());
        }
        store_error(&error)
    };
    let run = |sql: &str| connection.execute_batch(sql).map_err(failed);
    while let Ok(job) = jobs.recv() {
        // An answer that nobody waits for any more needs no handling: `Release` follows and rolls back.
        match job {
            Job::Begin(access, answer) => {
                let sql = match access {
                    Access::Read => "BEGIN",
                    Access::Write => "BEGIN IMMEDIATE",
                };
                let _ = answer.send(file.verify().and_then(|()| run(sql)));
            }
            Job::Query(sql, params, answer) => {
                let _ = answer.send(statements.query(sql, &params).map_err(failed));
            }
            Job::Execute(sql, params, answer) => {
                let _ = answer.send(statements.execute(sql, &params).map_err(failed));
            }
            Job::Batch(sql, answer) => {
                let _ = answer.send(run(sql));
            }
            Job::Commit(answer) => {
                let _ = answer.send(run("COMMIT"));
            }
            Job::Release(returned) => {
                if !connection.is_autocommit()
                    && let Err(error) = connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a transaction could not be rolled back");
                }
                drop(returned);
            }
        }
    }
}

/// The prepared statements of one connection, by their text.
struct Statements<'connection> {
    connection: &'connection rusqlite::Connection,
    prepared: HashMap<&'static str, Statement<'connection>>,
}

impl<'connection> Statements<'connection> {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let statement = self.prepare(sql)?;
        let columns = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
            (0..columns).map(|index| row.get_ref(index).map(owned)).collect::<Result<_, _>>().map(Row)
        };
        statement.query_map(params_from_iter(params), read).and_then(Iterator::collect)
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> rusqlite::Result<u64> {
        Ok(self.prepare(sql)?.execute(params_from_iter(params))? as u64)
    }

    fn prepare(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'connection>> {
        use std::collections::hash_map::Entry;
        if self.prepared.len() >= STATEMENTS && !self.prepared.contains_key(sql) {
            self.prepared.clear();
        }
        Ok(match self.prepared.entry(sql) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let statement = self.connection.prepare(&dialect::sqlite_placeholders(entry.key()))?;
                entry.insert(statement)
            }
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    }
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return StoreError::Statement(error.to_string());
    };
    match failure.code {
        ErrorCode::ConstraintViolation => StoreError::Constraint {
            kind: match failure.extended_code {
                ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => Constraint::Unique,
                ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Constraint::ForeignKey,
                _ => Constraint::Other,
            },
            detail: message.clone().unwrap_or_else(|| failure.to_string()),
        },
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::CannotOpen
        | ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::OperationInterrupted
        | ErrorCode::NotADatabase
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::OutOfMemory
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Statement(error.to_string()),
    }
}

/// Whether the error says that the file, or this connection's view of it, is not what it should be.
fn is_of_the_file(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
        )
    )
}
