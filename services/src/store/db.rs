//! The database as the repositories see it: transactions, statements, values and rows.
//!
//! Statements are written once, in the dialect SQLite and PostgreSQL share: `$1` placeholders, `ON CONFLICT`,
//! `RETURNING`, times as microseconds since 1970 in a 64-bit integer, JSON as text, booleans as 0 or 1. They are
//! `&'static str`, so that nothing a user sent can become part of one.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::announcement::Announcement;
use super::dialect::Dialect;
use super::postgres::{self, Listener, Postgres};
use super::sqlite::{self, Sqlite};
use super::value::{Row, Value};

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// An SQLite file; it and its folder are made where they do not exist.
    SqliteFile(PathBuf),
    /// An SQLite file in a new temporary folder that is removed when the database is closed.
    SqliteTemporary,
    /// A PostgreSQL database.
    Postgres(Box<tokio_postgres::Config>),
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `sqlite::temporary:` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`,
    /// with `?sslmode=disable`, `prefer` (where nothing is said) or `require`; the certificate is always checked.
    ///
    /// # Errors
    /// [`StoreError::Refused`] that says what is accepted. The address is not repeated: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // What libpq calls so is what `require` does here.
            let url = url.replace("sslmode=verify-full", "sslmode=require");
            return match tokio_postgres::Config::from_str(&url) {
                Ok(config) => Ok(Self::Postgres(Box::new(config))),
                Err(error) => Err(StoreError::Refused(format!(
                    "the database address cannot be read ({error}): write \"postgres://USER:PASSWORD@HOST:5432/DATABASE\""
                ))),
            };
        }
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return Err(StoreError::Refused(
                "the database address must start with \"sqlite:\" or \"postgres://\", as in \"sqlite:data/flagstone.db\" \
                 or \"postgres://flagstone:PASSWORD@localhost/flagstone\""
                    .to_owned(),
            ));
        };
        match rest.strip_prefix("//").unwrap_or(rest) {
            ":temporary:" => Ok(Self::SqliteTemporary),
            "" | ":memory:" => Err(StoreError::Refused(
                "the database address names no file: write \"sqlite:PATH\", or \"sqlite::temporary:\" for one that is thrown away"
                    .to_owned(),
            )),
            path => Ok(Self::SqliteFile(PathBuf::from(path))),
        }
    }

    /// User and password in clear text, where the address has a password.
    pub fn login(&self) -> Option<(String, Zeroizing<String>)> {
        let Self::Postgres(config) = self else { return None };
        let password = String::from_utf8_lossy(config.get_password()?).into_owned();
        Some((config.get_user().unwrap_or_default().to_owned(), Zeroizing::new(password)))
    }
}

/// How a database is opened and how long it may take.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Longest wait for a connection, and for whoever writes at the moment; afterwards [`StoreError::Unavailable`].
    pub wait_timeout: Duration,
    /// Longest wait for each statement; afterwards [`StoreError::Unavailable`].
    pub statement_timeout: Duration,
    /// How long SQLite waits for another process's lock before it gives up.
    pub busy_timeout: Duration,
    /// SQLite's connections that only read.
    pub readers: usize,
    /// The most connections to PostgreSQL; at least 2.
    pub connections: u32,
    /// The certificates, in PEM, that the PostgreSQL server's must come from; `None`: those this machine trusts.
    pub tls_ca_file: Option<PathBuf>,
    /// Callers that may wait for a connection; further ones get [`StoreError::Unavailable`] at once.
    pub queue: usize,
    /// Told how long every operation took.
    pub observer: Arc<dyn QueryObserver>,
}

impl DatabaseOptions {
    /// The defaults: waits and statements 5 s, locks 2 s, 3 readers, 10 connections, 1,024 waiting callers.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(2),
            readers: 3,
            connections: 10,
            tls_ca_file: None,
            queue: 1_024,
            observer: Arc::new(Unobserved),
        }
    }
}

/// Which sort of transaction is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// What kind of work a database operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// Opening a transaction, the wait for a connection included.
    Begin,
    /// A statement that answers rows.
    Query,
    /// A statement that answers a count.
    Execute,
    /// A commit, `fsync` included.
    Commit,
}

impl QueryKind {
    /// Every kind, in the order above.
    pub const ALL: [Self; 4] = [Self::Begin, Self::Query, Self::Execute, Self::Commit];

    /// The name in a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Query => "query",
            Self::Execute => "execute",
            Self::Commit => "commit",
        }
    }
}

/// Sees how long database operations take. Called on the caller's task: it must not block.
pub trait QueryObserver: Send + Sync {
    /// One operation ended, well or not.
    fn observe(&self, kind: QueryKind, duration: Duration);
}

/// An observer that looks away.
#[derive(Debug)]
pub struct Unobserved;

impl QueryObserver for Unobserved {
    fn observe(&self, _kind: QueryKind, _duration: Duration) {}
}

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used now: locked, unreadable, full, overloaded, closed, or slower than allowed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The statement breaks a constraint of the schema.
    #[error("{kind:?} constraint: {detail}")]
    Constraint {
        /// Which sort of constraint.
        kind: Constraint,
        /// What the database said; names columns, never values.
        detail: String,
    },
    /// The database must not be opened: damaged, made by a newer version, or altered.
    #[error("{0}")]
    Refused(String),
    /// A text that is to be stored or looked for holds U+0000: PostgreSQL stores none, so no database here does.
    #[error("a text holds the character U+0000")]
    ZeroCharacter,
    /// A statement or a stored value that this program got wrong.
    #[error("statement failed: {0}")]
    Statement(String),
}

/// The sort of constraint a statement broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// A value that may stand once was there already.
    Unique,
    /// A row that others refer to, or that refers to none.
    ForeignKey,
    /// Anything else: `CHECK`, `NOT NULL`, a trigger.
    Other,
}

impl StoreError {
    /// Whether the statement failed because such a row exists already.
    pub fn is_unique(&self) -> bool {
        matches!(self, Self::Constraint { kind: Constraint::Unique, .. })
    }
}

/// A handle on the database; clones share it.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    observer: Arc<dyn QueryObserver>,
}

#[derive(Clone)]
enum Backend {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

/// The pool of connections to PostgreSQL since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// The most connections there may be.
    pub max_connections: u32,
    /// Connections there are.
    pub connections: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// Callers that had to wait for a connection and got one.
    pub waits: u64,
    /// How long all of them waited together.
    pub wait_time: Duration,
    /// Callers that got none, in time or at all.
    pub timeouts: u64,
}

impl Db {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a damaged file, a newer schema or an altered migration;
    /// [`StoreError::Unavailable`] where it cannot be reached or is locked.
    pub async fn open(options: DatabaseOptions) -> Result<Self, StoreError> {
        let observer = options.observer.clone();
        let backend = match &options.url {
            DatabaseUrl::Postgres(config) => {
                Backend::Postgres(Arc::new(Postgres::open(&config.clone(), &options).await?))
            }
            DatabaseUrl::SqliteFile(_) | DatabaseUrl::SqliteTemporary => {
                Backend::Sqlite(Arc::new(Sqlite::open(options).await?))
            }
        };
        let db = Self { backend, observer };
        super::migrations::run(&db).await?;
        Ok(db)
    }

    /// Begins a transaction that may write; there is one at a time, on all instances. Dropping it rolls back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        self.connect(Access::Write).await.map(Transaction)
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.connect(Access::Read).await.map(ReadTransaction)
    }

    /// Waits for running transactions and closes the database. Later calls answer [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where transactions are still open at the deadline.
    pub async fn close(&self, deadline: Duration) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.close(deadline).await,
            Backend::Postgres(postgres) => postgres.close(deadline).await,
        }
    }

    /// Whether changes would be taken: makes one that changes nothing, and commits it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        transaction.batch(self.dialect().write_nothing()).await?;
        transaction.commit().await
    }

    /// How often the database was opened again after it had been damaged or replaced: what was read from it before
    /// may not be in it any more.
    pub(crate) fn reopened(&self) -> u64 {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.reopened(),
            Backend::Postgres(_) => 0,
        }
    }

    /// The pool of connections to PostgreSQL; `None` on SQLite.
    pub fn pool(&self) -> Option<PoolFigures> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(postgres) => Some(postgres.figures()),
        }
    }

    /// Whether other instances may change what is in it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// Begins to hear what other instances announce.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], on SQLite always: nobody tells there.
    pub(crate) async fn listen(&self) -> Result<Listener, StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => Err(StoreError::Unavailable("it tells of no changes".to_owned())),
            Backend::Postgres(postgres) => postgres.listen().await,
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn connect(&self, access: Access) -> Result<Connection, StoreError> {
        let started = Instant::now();
        let lease = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.begin(access).await.map(Lease::Sqlite),
            Backend::Postgres(postgres) => {
                postgres.begin(access).await.map(|lease| Lease::Postgres(Box::new(lease)))
            }
        };
        self.observer.observe(QueryKind::Begin, started.elapsed());
        Ok(Connection { lease: lease?, observer: self.observer.clone() })
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Db").finish_non_exhaustive()
    }
}

/// A connection with an open transaction.
pub struct Connection {
    lease: Lease,
    observer: Arc<dyn QueryObserver>,
}

enum Lease {
    Sqlite(sqlite::Lease),
    Postgres(Box<postgres::Lease>),
}

impl Connection {
    async fn query(&mut self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        storable(&params)?;
        let started = Instant::now();
        let rows = match &mut self.lease {
            Lease::Sqlite(lease) => lease.query(sql, params).await,
            Lease::Postgres(lease) => lease.query(sql, params).await,
        };
        self.observer.observe(QueryKind::Query, started.elapsed());
        rows
    }

    async fn execute(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        storable(&params)?;
        let started = Instant::now();
        let count = match &mut self.lease {
            Lease::Sqlite(lease) => lease.execute(sql, params).await,
            Lease::Postgres(lease) => lease.execute(sql, params).await,
        };
        self.observer.observe(QueryKind::Execute, started.elapsed());
        count
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let started = Instant::now();
        let outcome = match &mut self.lease {
            Lease::Sqlite(lease) => lease.commit().await,
            Lease::Postgres(lease) => lease.commit().await,
        };
        self.observer.observe(QueryKind::Commit, started.elapsed());
        outcome
    }
}

fn storable(params: &[Value]) -> Result<(), StoreError> {
    let has_zero = |value: &Value| matches!(value, Value::Text(text) if text.contains('\0'));
    if params.iter().any(has_zero) { Err(StoreError::ZeroCharacter) } else { Ok(()) }
}

/// What can answer a query: both kinds of transaction. Repositories that only read take `&mut impl Executor`.
pub trait Executor: Send {
    /// The connection the transaction runs on.
    #[doc(hidden)]
    fn connection(&mut self) -> &mut Connection;

    /// All rows a statement answers.
    fn query(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send {
        self.connection().query(sql, params)
    }

    /// The first row a statement answers, if any.
    fn query_optional(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        let rows = self.connection().query(sql, params);
        async { Ok(rows.await?.into_iter().next()) }
    }

    /// The first row of a statement that always answers one.
    fn query_one(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> impl Future<Output = Result<Row, StoreError>> + Send {
        let row = self.query_optional(sql, params);
        async { row.await?.ok_or_else(|| StoreError::Statement("no row".to_owned())) }
    }
}

/// A transaction that may write. Nothing of it stays unless [`Transaction::commit`] answers.
pub struct Transaction(Connection);

impl Transaction {
    /// Runs a statement and answers how many rows it changed.
    ///
    /// # Errors
    /// Any [`StoreError`]; the transaction is over after it.
    pub async fn execute(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        self.0.execute(sql, params).await
    }

    /// Runs several statements that take no parameters: a migration.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.0.lease {
            Lease::Sqlite(lease) => lease.batch(sql).await,
            Lease::Postgres(lease) => lease.batch(sql).await,
        }
    }

    /// Lets other instances hear of it once it is committed.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(crate) async fn announce(&mut self, announcement: Announcement) -> Result<(), StoreError> {
        match &mut self.0.lease {
            Lease::Sqlite(_) => Ok(()),
            Lease::Postgres(lease) => {
                let payload = Value::from(announcement.payload());
                lease.execute("SELECT pg_notify('flagstone', $1)", vec![payload]).await.map(drop)
            }
        }
    }

    /// Makes the changes durable and visible to others.
    ///
    /// # Errors
    /// Any [`StoreError`]; after [`StoreError::Unavailable`] because of a deadline they may or may not be durable.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.0.commit().await
    }
}

impl Executor for Transaction {
    fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }
}

/// A transaction that only reads.
pub struct ReadTransaction(Connection);

impl Executor for ReadTransaction {
    fn connection(&mut self) -> &mut Connection {
        &mut self.0
    }
}
