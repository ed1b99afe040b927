//! SQLite on its own threads: one connection that writes and a few that read.
//!
//! A transaction leases a connection's thread, sends it statements through a channel and gets the answers through
//! one-shot channels, so no async thread ever waits for a disk. The lease travels back to the pool through the same
//! channel: whatever becomes of the caller, the thread rolls back before the next one gets the connection.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, InterruptHandle, OpenFlags, Statement, ToSql, ffi, params_from_iter};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::db::{Constraint, DatabaseOptions, DatabaseUrl, StoreError};
use super::dialect;
use super::value::{Row, Value};

/// Prepared statements kept per connection; beyond it all are dropped and prepared anew.
const STATEMENTS: usize = 256;

/// Which sort of connection a transaction wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The open file.
pub(super) struct Sqlite {
    writer: Arc<Pool>,
    readers: Arc<Pool>,
    timeout: Duration,
    /// The folder of a temporary database; removed by `close`, or with the last handle.
    folder: Mutex<Option<TempDir>>,
}

/// Threads of one sort that wait for work.
struct Pool {
    idle: Mutex<Vec<Worker>>,
    permits: Arc<Semaphore>,
    size: u32,
    waiting: AtomicUsize,
    queue: usize,
}

/// A thread with a connection.
struct Worker {
    jobs: mpsc::Sender<Job>,
    interrupt: Arc<InterruptHandle>,
    /// Resolves when the thread has closed its connection.
    ended: oneshot::Receiver<()>,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

enum Job {
    Begin(Access, Answer<()>),
    Query(&'static str, Vec<Value>, Answer<Vec<Row>>),
    Execute(&'static str, Vec<Value>, Answer<u64>),
    Batch(&'static str, Answer<()>),
    Commit(Answer<()>),
    Release(Returned),
}

/// A connection on its way back to its pool. Dropping it makes it available.
struct Returned {
    worker: Option<Worker>,
    pool: Arc<Pool>,
    /// Dropped after the worker is back, so that whoever gets the permit finds it.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Returned {
    fn drop(&mut self) {
        self.pool.idle().extend(self.worker.take());
    }
}

impl Sqlite {
    pub(super) async fn open(options: DatabaseOptions) -> Result<Self, StoreError> {
        let (path, folder) = match &options.url {
            DatabaseUrl::SqliteFile(path) => (path.clone(), None),
            DatabaseUrl::SqliteTemporary => {
                let folder = TempDir::with_prefix("flagstone-")
                    .map_err(|error| StoreError::Unavailable(format!("no temporary folder: {error}")))?;
                (folder.path().join("flagstone.db"), Some(folder))
            }
        };
        create(&path)?;
        // The writer first: it turns the file into a WAL database, which readers cannot.
        let writer = Pool::open(&path, Access::Write, 1, &options).await?;
        let readers = Pool::open(&path, Access::Read, options.readers.max(1), &options).await?;
        Ok(Self { writer, readers, timeout: options.statement_timeout, folder: Mutex::new(folder) })
    }

    pub(super) async fn begin(&self, access: Access) -> Result<Lease, StoreError> {
        let pool = match access {
            Access::Read => &self.readers,
            Access::Write => &self.writer,
        };
        let returned = pool.acquire(self.timeout).await?;
        let mut lease = Lease { returned: Some(returned), timeout: self.timeout, broken: false };
        lease.ask(|answer| Job::Begin(access, answer)).await?;
        Ok(lease)
    }

    pub(super) async fn close(&self, deadline: Duration) -> Result<(), StoreError> {
        let outcome = timeout(deadline, async {
            // The writer last: the connection that closes last folds the WAL into the file.
            self.readers.close().await;
            self.writer.close().await;
        })
        .await;
        if outcome.is_err() {
            return Err(StoreError::Unavailable("transactions were still open at the deadline".to_owned()));
        }
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}

impl Pool {
    async fn open(
        path: &Path,
        access: Access,
        size: usize,
        options: &DatabaseOptions,
    ) -> Result<Arc<Self>, StoreError> {
        let mut idle = Vec::with_capacity(size);
        for _ in 0..size {
            idle.push(Worker::start(path.to_owned(), access, options.busy_timeout).await?);
        }
        Ok(Arc::new(Self {
            permits: Arc::new(Semaphore::new(size)),
            size: u32::try_from(size).unwrap_or(u32::MAX),
            idle: Mutex::new(idle),
            waiting: AtomicUsize::new(0),
            queue: options.queue,
        }))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn acquire(self: &Arc<Self>, wait: Duration) -> Result<Returned, StoreError> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.queue_up(wait).await?,
        };
        let worker = self.idle().pop();
        if worker.is_none() {
            return Err(StoreError::Unavailable("it is closed".to_owned()));
        }
        Ok(Returned { worker, pool: self.clone(), _permit: permit })
    }

    async fn queue_up(&self, wait: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err(StoreError::Unavailable(format!("{before} callers wait for it already")));
        }
        match timeout(wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(StoreError::Unavailable("it is closed".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no connection came free in time".to_owned())),
        }
    }

    /// Waits until no transaction is open, refuses new ones and ends the threads.
    async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.size).await {
            all.forget();
        }
        self.permits.close();
        let workers = std::mem::take(&mut *self.idle());
        for Worker { jobs, ended, .. } in workers {
            drop(jobs);
            // An error means that the thread is gone, which is what is waited for.
            let _ = ended.await;
        }
    }
}

/// One transaction's hold on a connection.
pub(super) struct Lease {
    returned: Option<Returned>,
    timeout: Duration,
    /// Set where the state of the connection is unknown: nothing but the roll-back may follow.
    broken: bool,
}

impl Lease {
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.ask(|answer| Job::Query(sql, params, answer)).await
    }

    pub(super) async fn execute(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        self.ask(|answer| Job::Execute(sql, params, answer)).await
    }

    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.ask(|answer| Job::Batch(sql, answer)).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.ask(Job::Commit).await
    }

    async fn ask<T>(&mut self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("its connection is gone".to_owned());
        let worker = self.returned.as_ref().and_then(|returned| returned.worker.as_ref()).ok_or_else(gone)?;
        if std::mem::replace(&mut self.broken, true) {
            return Err(StoreError::Unavailable(
                "an earlier statement of this transaction failed".to_owned(),
            ));
        }
        let (answer, answered) = oneshot::channel();
        worker.jobs.send(job(answer)).map_err(|_| gone())?;
        let outcome = match timeout(self.timeout, answered).await {
            Ok(outcome) => outcome.map_err(|_| gone())?,
            Err(_) => {
                worker.interrupt.interrupt();
                return Err(StoreError::Unavailable("a statement took longer than allowed".to_owned()));
            }
        };
        self.broken = !matches!(outcome, Ok(_) | Err(StoreError::Constraint { .. }));
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(returned) = self.returned.take()
            && let Some(worker) = &returned.worker
        {
            let jobs = worker.jobs.clone();
            // Where the thread is gone, the error brings `Returned` back and its drop frees the permit.
            let _ = jobs.send(Job::Release(returned));
        }
    }
}

impl Worker {
    async fn start(path: PathBuf, access: Access, busy: Duration) -> Result<Self, StoreError> {
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
                match connect(&path, access, busy) {
                    Ok(connection) => {
                        // Nobody listens where `open` was dropped meanwhile; then no job comes either.
                        let _ = ready.send(Ok(Arc::new(connection.get_interrupt_handle())));
                        serve(&connection, &received);
                        drop(connection);
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
}

/// Makes the file, readable by its owner only, and its folder.
fn create(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Unavailable(format!("{} cannot be made: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Turns the write-ahead log on. Where two do so at the same moment SQLite tells one of them at once that the other is
/// at it, without waiting as it does elsewhere: so the waiting is done here.
fn write_ahead(connection: &rusqlite::Connection, busy: Duration) -> rusqlite::Result<String> {
    const PAUSE: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + busy;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::park_timeout(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

fn connect(path: &Path, access: Access, busy: Duration) -> Result<rusqlite::Connection, StoreError> {
    // Readers are opened for writing too, as WAL needs it; `query_only` keeps them from changing anything.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        if access == Access::Write {
            let mode = write_ahead(&connection, busy)?;
            if mode != "wal" {
                tracing::warn!(mode, "the file system takes no write-ahead log: readers wait for writers");
            }
            connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        } else {
            connection.execute_batch("PRAGMA query_only = ON;")?;
        }
        Ok(connection)
    };
    let refused = |reason: &str| {
        StoreError::Refused(format!(
            "{} is damaged or is not a database of this program ({reason}): restore it from a backup",
            path.display()
        ))
    };
    let connection = open().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => refused(&error.to_string()),
        _ => StoreError::Unavailable(format!("{}: {error}", path.display())),
    })?;
    if access == Access::Write {
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .unwrap_or_else(|error| error.to_string());
        if found != "ok" {
            return Err(refused(&found));
        }
    }
    Ok(connection)
}

/// Serves one transaction after the other until the pool drops the sender.
fn serve(connection: &rusqlite::Connection, jobs: &mpsc::Receiver<Job>) {
    let mut statements = Statements { connection, prepared: HashMap::new() };
    while let Ok(job) = jobs.recv() {
        // An answer that nobody waits for any more needs no handling: `Release` follows and rolls back.
        match job {
            Job::Begin(access, answer) => {
                let sql = match access {
                    Access::Read => "BEGIN",
                    Access::Write => "BEGIN IMMEDIATE",
                };
                let _ = answer.send(connection.execute_batch(sql).map_err(|error| store_error(&error)));
            }
            Job::Query(sql, params, answer) => drop(answer.send(statements.query(sql, &params))),
            Job::Execute(sql, params, answer) => drop(answer.send(statements.execute(sql, &params))),
            Job::Batch(sql, answer) => {
                let _ = answer.send(connection.execute_batch(sql).map_err(|error| store_error(&error)));
            }
            Job::Commit(answer) => {
                let _ = answer.send(connection.execute_batch("COMMIT").map_err(|error| store_error(&error)));
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
    fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql).map_err(|error| store_error(&error))?;
        let columns = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
            (0..columns).map(|index| row.get_ref(index).map(owned)).collect::<Result<_, _>>().map(Row)
        };
        statement
            .query_map(params_from_iter(params), read)
            .and_then(Iterator::collect)
            .map_err(|error| store_error(&error))
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql).map_err(|error| store_error(&error))?;
        let changed = statement.execute(params_from_iter(params)).map_err(|error| store_error(&error))?;
        Ok(changed as u64)
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
