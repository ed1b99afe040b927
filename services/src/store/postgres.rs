//! PostgreSQL through a pool of connections.
//!
//! Transactions that write take turns, here as on SQLite, by an advisory lock that the server holds for as long as the
//! transaction lasts: revisions and the audit's sequence are gap-free, so two could not commit side by side anyway, and
//! nothing ever has to be tried again (docs/adr/0008-one-writer-on-postgresql.md). Those that read never wait for them.

mod listener;
mod session;
mod tls;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ManageConnection, Pool, PooledConnection, RunError};
use bb8_postgres::PostgresConnectionManager;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_postgres::config::Config;

use super::db::{Access, DatabaseOptions, PoolFigures, StoreError};
use super::queue::Queue;
use super::value::{Row, Value};
pub(crate) use listener::Listener;
use session::{Session, connect_error, store_error};
use tls::Tls;

/// The advisory lock that whoever writes holds. Any number would do; this one is `flagston` in ASCII.
const WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(7380943424226455406)";
/// How old a connection gets, so that the pool follows a server that moved behind its name.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// How long a connection is silent before the system sends something on it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The pool.
pub(super) struct Postgres {
    pool: Pool<Manager>,
    config: Config,
    tls: Tls,
    wait_timeout: Duration,
    max_connections: u32,
    attempts: Arc<Attempts>,
    leases: Arc<Leases>,
    timeout: Duration,
    queue: Queue,
    refused: AtomicU64,
}

/// Makes sessions for the pool.
struct Manager {
    connections: PostgresConnectionManager<Tls>,
    attempts: Arc<Attempts>,
    wait_timeout: Duration,
    statement_timeout: Duration,
}

/// How connecting went lately, so that a caller need not wait for its deadline to learn that nobody answers.
struct Attempts {
    failed: watch::Sender<u64>,
    reason: Mutex<String>,
}

/// Transactions that are open, counted so that closing can wait for them.
#[derive(Default)]
struct Leases {
    open: AtomicUsize,
    closed: AtomicBool,
    ended: Notify,
}

/// One transaction's hold on a connection.
pub(super) struct Lease {
    session: Option<PooledConnection<'static, Manager>>,
    timeout: Duration,
    state: State,
    counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The transaction goes on.
    Open,
    /// A statement failed: nothing but the roll-back may follow.
    Failed,
    /// Committed.
    Done,
}

/// One of [`Leases`].
struct Counted(Arc<Leases>);

// === impl Postgres ===

impl Postgres {
    pub(super) async fn open(config: &Config, options: &DatabaseOptions) -> Result<Self, StoreError> {
        let mut config = config.clone();
        if config.get_application_name().is_none() {
            config.application_name("flagstone");
        }
        config.connect_timeout(options.wait_timeout);
        config.tcp_user_timeout(options.statement_timeout * 2);
        // What stands in between forgets connections that lie idle.
        config.keepalives_idle(KEEPALIVE);
        let tls = Tls::new(options.tls_ca_file.as_deref())?;
        let attempts =
            Arc::new(Attempts { failed: watch::Sender::new(0), reason: Mutex::new(String::new()) });
        let manager = Manager {
            connections: PostgresConnectionManager::new(config.clone(), tls.clone()),
            attempts: Arc::clone(&attempts),
            wait_timeout: options.wait_timeout,
            statement_timeout: options.statement_timeout,
        };
        let max_connections = options.connections.max(2);
        let pool = Pool::builder()
            .max_size(max_connections)
            .connection_timeout(options.wait_timeout)
            .max_lifetime(Some(CONNECTION_LIFETIME))
            // A connection that broke is known as such, and one that broke silently would only answer here too.
            .test_on_check_out(false)
            // Whoever asks next tries again; see `Attempts`.
            .retry_connection(false)
            .build_unchecked(manager);
        Ok(Self {
            pool,
            config,
            tls,
            wait_timeout: options.wait_timeout,
            max_connections,
            attempts,
            leases: Arc::default(),
            timeout: options.statement_timeout,
            queue: Queue::new(options.queue),
            refused: AtomicU64::new(0),
        })
    }

    pub(super) async fn begin(&self, access: Access) -> Result<Lease, StoreError> {
        loop {
            let session = self.connection().await?;
            let stale = session.was_used();
            // A lease from here on: a caller that goes away meanwhile leaves a transaction to roll back.
            let mut lease = Lease {
                session: Some(session),
                timeout: self.timeout,
                state: State::Open,
                counted: self.leases.count()?,
            };
            match lease.run(async |session| session.begin(access).await).await {
                Ok(()) => return Ok(lease),
                // The server closed this connection while it lay idle: the next one, or a new one.
                Err(_) if stale && lease.is_closed() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens a connection that hears what is announced.
    pub(super) async fn listen(&self) -> Result<Listener, StoreError> {
        let mut config = self.config.clone();
        // Whoever looks at the server's connections can tell it from the pool's.
        config.application_name(format!("{} listener", config.get_application_name().unwrap_or_default()));
        Listener::open(&config, self.tls.clone(), self.wait_timeout).await
    }

    pub(super) async fn close(&self, deadline: Duration) -> Result<(), StoreError> {
        self.leases.closed.store(true, Ordering::SeqCst);
        let all_ended = async {
            loop {
                let ended = self.leases.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.leases.open.load(Ordering::SeqCst) == 0 {
                    return;
                }
                ended.await;
            }
        };
        timeout(deadline, all_ended)
            .await
            .map_err(|_| StoreError::Unavailable("transactions were still open at the deadline".to_owned()))
    }

    pub(super) fn figures(&self) -> PoolFigures {
        let state = self.pool.state();
        PoolFigures {
            max_connections: self.max_connections,
            connections: state.connections,
            idle: state.idle_connections,
            waits: state.statistics.get_waited,
            wait_time: state.statistics.get_wait_time,
            timeouts: state.statistics.get_timed_out + self.refused.load(Ordering::Relaxed),
        }
    }

    async fn connection(&self) -> Result<PooledConnection<'static, Manager>, StoreError> {
        let _place = self.queue.enter().inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })?;
        let mut failed = self.attempts.failed.subscribe();
        let got = self.pool.get_owned();
        tokio::pin!(got);
        loop {
            tokio::select! {
                biased;
                got = &mut got => return got.map_err(|error| match error {
                    RunError::User(error) => error,
                    RunError::TimedOut => {
                        StoreError::Unavailable("no connection came free in time".to_owned())
                    }
                }),
                // With connections in use, one of them may still come free.
                Ok(()) = failed.changed() => if self.pool.state().connections == 0 {
                    return Err(StoreError::Unavailable(self.attempts.reason()));
                },
            }
        }
    }
}

// === impl Manager ===

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = StoreError;

    async fn connect(&self) -> Result<Session, StoreError> {
        let made = async {
            let client = self.connections.connect().await?;
            Session::new(client, self.wait_timeout, self.statement_timeout).await
        };
        // One that is taken and never answered would keep its place in the pool.
        let made = match timeout(self.wait_timeout, made).await {
            Ok(made) => made.map_err(|error| connect_error(&error)),
            Err(_) => Err(StoreError::Unavailable("it does not answer in time".to_owned())),
        };
        made.inspect_err(|error| self.attempts.fail(error))
    }

    async fn is_valid(&self, session: &mut Session) -> Result<(), StoreError> {
        session.ping().await.map_err(|error| store_error(&error))
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.is_closed() || session.is_given_up()
    }
}

// === impl Attempts ===

impl Attempts {
    fn fail(&self, error: &StoreError) {
        let StoreError::Unavailable(reason) = error else { return };
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone_from(reason);
        self.failed.send_modify(|failed| *failed += 1);
    }

    fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Leases ===

impl Leases {
    fn count(self: &Arc<Self>) -> Result<Counted, StoreError> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(self));
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it is closed".to_owned()));
        }
        Ok(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.run(async |session| session.query(sql, &params).await).await
    }

    pub(super) async fn execute(&mut self, sql: &'static str, params: Vec<Value>) -> Result<u64, StoreError> {
        self.run(async |session| session.execute(sql, &params).await).await
    }

    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(async |session| session.batch(sql).await).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.run(async |session| session.batch("COMMIT").await).await?;
        self.state = State::Done;
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.session.as_deref().is_none_or(Session::is_closed)
    }

    async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        if std::mem::replace(&mut self.state, State::Failed) != State::Open {
            return Err(StoreError::Unavailable(
                "an earlier statement of this transaction failed".to_owned(),
            ));
        }
        let Some(session) = self.session.as_deref_mut() else {
            return Err(StoreError::Unavailable("its connection is gone".to_owned()));
        };
        match timeout(self.timeout, statement(session)).await {
            Ok(Ok(answer)) => {
                self.state = State::Open;
                Ok(answer)
            }
            Ok(Err(error)) => Err(store_error(&error)),
            Err(_) => {
                // What the server does with it is not known: the connection is not used again.
                session.give_up();
                Err(StoreError::Unavailable("a statement took longer than allowed".to_owned()))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        if self.state == State::Done || session.is_given_up() {
            return;
        }
        let counted = Counted(Arc::clone(&self.counted.0));
        counted.0.open.fetch_add(1, Ordering::SeqCst);
        let limit = self.timeout;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            session.give_up();
            return;
        };
        runtime.spawn(async move {
            if !matches!(timeout(limit, session.batch("ROLLBACK")).await, Ok(Ok(()))) {
                session.give_up();
            }
            drop(session);
            drop(counted);
        });
    }
}
