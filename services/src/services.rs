//! Everything together: opened once, closed once.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::accounts::{AccountOptions, Accounts};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::flags::{Flags, Segments};
use crate::following::{ArrivalObserver, Following, FollowingFigures};
use crate::hub::{EndReason, StreamCounters};
use crate::keys::{KeyTable, Keys, StreamTokens};
use crate::projects::Projects;
use crate::secrets;
use crate::snapshot::Snapshots;
use crate::store::{self, DatabaseOptions, Db, PoolFigures, StoreError, Unobserved};

/// How often expired keys are forgotten and counts written down.
const HOUSEKEEPING: Duration = Duration::from_secs(15);
/// Rounds of housekeeping after which expired sessions are deleted: five minutes.
const PURGE: u64 = 20;

/// How often a shared database is asked what others changed: what bounds how long a revoked key lives where the
/// connection that would tell of it is cut.
const FOLLOW: Duration = Duration::from_secs(1);

/// The longest that a session which another instance ended is believed here.
const SHARED_SESSION: Duration = Duration::from_secs(1);

/// How long an answer to the question of readiness holds.
const PROBE: Duration = Duration::from_secs(1);

/// What the services are opened with.
#[derive(Clone)]
pub struct Options {
    /// Where everything is kept.
    pub database: DatabaseOptions,
    /// What an operator may set about accounts.
    pub accounts: AccountOptions,
    /// What time it is.
    pub clock: Clock,
    /// How often a database that instances share is asked what others changed, beside being heard; `None`: it is
    /// neither asked nor heard.
    pub follow: Option<Duration>,
    /// Told how long changes of other instances take to get here.
    pub arrivals: Arc<dyn ArrivalObserver>,
}

impl Options {
    /// The defaults on this database.
    pub fn new(database: DatabaseOptions) -> Self {
        let (accounts, clock) = (AccountOptions::default(), Clock::system());
        Self { database, accounts, clock, follow: Some(FOLLOW), arrivals: Arc::new(Unobserved) }
    }
}

/// Why the services could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in it.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The services of one server.
pub struct Services {
    /// Users, sessions, the first admin.
    pub accounts: Accounts,
    /// Projects and their environments.
    pub projects: Projects,
    /// Flags and their configurations.
    pub flags: Flags,
    /// Segments.
    pub segments: Segments,
    /// SDK keys.
    pub keys: Keys,
    /// Tokens that open OFREP streams.
    pub stream_tokens: StreamTokens,
    /// What evaluation reads.
    pub snapshots: Arc<Snapshots>,
    /// Figures of the streams.
    pub streams: Arc<StreamCounters>,
    /// What time it is.
    pub clock: Clock,
    pub(crate) changes: Changes,
    db: Db,
    /// When the database was last asked for readiness, and what it said.
    probed: Mutex<Option<(Instant, Result<(), StoreError>)>>,
    housekeeping: AbortHandle,
    /// Where instances share the database.
    following: Option<Following>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Users.
    pub users: u64,
    /// Sessions that are not over.
    pub sessions: u64,
    /// Projects.
    pub projects: u64,
    /// Flags, archived ones too.
    pub flags: u64,
    /// SDK keys that are valid.
    pub sdk_keys: u64,
    /// Streams open now.
    pub streams: u64,
    /// Rows of the audit log.
    pub audit_entries: u64,
}

impl Services {
    /// Opens the database, reads all environments and keys into memory, and starts the housekeeping.
    ///
    /// # Errors
    /// [`OpenError`]: what an operator has to read.
    pub async fn open(options: Options) -> Result<Arc<Self>, OpenError> {
        let Options { database, mut accounts, clock, follow, arrivals } = options;
        let db = Db::open(database).await?;
        let snapshots = Arc::new(Snapshots::default());
        let table = Arc::new(KeyTable::default());
        let streams = Arc::new(StreamCounters::default());
        let (known, keys) = (snapshots.clone(), table.clone());
        let changes = Changes::new(db.clone(), clock.clone(), known, keys, streams.clone(), arrivals);
        changes.load().await?;
        if db.is_shared() {
            accounts.session_cache = accounts.session_cache.min(SHARED_SESSION);
        }
        let accounts = Accounts::new(db.clone(), clock.clone(), accounts)?;
        accounts.count_active().await?;
        let stream_tokens = StreamTokens::open(&db, clock.clone(), table.clone()).await?;
        let follow = follow.filter(|_| db.is_shared());
        let following =
            follow.map(|period| Following::start(changes.clone(), accounts.clone(), db.clone(), period));
        Ok(Arc::new_cyclic(|services| Self {
            accounts,
            projects: Projects::new(db.clone(), changes.clone()),
            flags: Flags::new(db.clone(), changes.clone(), snapshots.clone()),
            segments: Segments::new(db.clone(), changes.clone()),
            keys: Keys::new(db.clone(), clock.clone(), changes.clone(), table),
            stream_tokens,
            snapshots,
            streams,
            clock,
            following,
            changes,
            db,
            probed: Mutex::default(),
            housekeeping: tokio::spawn(housekeeping(services.clone(), HOUSEKEEPING)).abort_handle(),
        }))
    }

    /// Whether the database answers and takes changes: for readiness. However often it is asked, the database is
    /// asked once a second.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn ready(&self) -> Result<(), ServiceError> {
        let mut probed = self.probed.lock().await;
        let outcome = match &*probed {
            Some((at, outcome)) if at.elapsed() < PROBE => outcome.clone(),
            _ => {
                let outcome = self.probe().await;
                *probed = Some((Instant::now(), outcome.clone()));
                outcome
            }
        };
        Ok(outcome?)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        store::statistics::ping(&mut self.db.read().await?).await?;
        self.db.probe().await
    }

    /// The pool of connections to PostgreSQL; `None` on SQLite.
    pub fn pool(&self) -> Option<PoolFigures> {
        self.db.pool()
    }

    /// How it goes with following other instances; `None` where the database is not shared.
    pub fn following(&self) -> Option<FollowingFigures> {
        self.following.as_ref().map(Following::figures)
    }

    /// The revisions of all environments in memory, added up: the same on instances that are at the same state.
    pub fn revisions(&self) -> u64 {
        self.snapshots.all().iter().map(|handle| handle.snapshot.load().revision).sum()
    }

    /// A secret of this purpose, the same on all instances.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`], and [`ServiceError::Internal`] where the system gives no randomness.
    pub async fn secret(&self, purpose: &str) -> Result<[u8; 32], ServiceError> {
        let secrets = secrets::of_purpose(&self.db, &self.clock, purpose).await?;
        let newest = secrets.into_iter().next().map(|(_, secret)| secret);
        newest.ok_or_else(|| ServiceError::Internal(format!("there is no secret for {purpose}")))
    }

    /// How much there is.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn stats(&self) -> Result<Stats, ServiceError> {
        let (users, sessions) = (self.accounts.user_count().await?, self.accounts.session_count().await?);
        let (projects, flags, audit_entries) = store::statistics::count(&mut self.db.read().await?).await?;
        let (sdk_keys, streams) = (self.keys.count() as u64, self.streams.open());
        Ok(Stats { users, sessions, projects, flags, sdk_keys, streams, audit_entries })
    }

    /// Ends all streams, those to come included, with [`EndReason::Shutdown`].
    pub fn end_streams(&self) {
        for handle in self.snapshots.all() {
            handle.channel.end(EndReason::Shutdown);
        }
    }

    /// Ends the streams, waits for the running change, writes down what is counted, closes the database.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where that took longer than `deadline`; nothing committed is lost by it.
    pub async fn close(&self, deadline: Duration) -> Result<(), ServiceError> {
        self.abort_tasks();
        self.end_streams();
        let closed = async {
            let _turn = self.changes.pause().await;
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "counts of unknown flags and uses of SDK keys are lost");
            }
            self.db.close(deadline).await
        };
        let late = || StoreError::Unavailable("closing took longer than allowed".to_owned());
        Ok(tokio::time::timeout(deadline, closed).await.unwrap_or_else(|_| Err(late()))?)
    }

    /// One round of housekeeping: forgets what is not asked for any more, writes counts down, and reads again what may
    /// be stale.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`]: the next round does it.
    pub async fn housekeep(&self) -> Result<(), ServiceError> {
        self.changes.repair().await?;
        for handle in self.snapshots.all() {
            handle.snapshot.load().forget_written();
        }
        self.flush().await
    }

    fn abort_tasks(&self) {
        self.housekeeping.abort();
        if let Some(following) = &self.following {
            following.stop();
        }
    }

    async fn flush(&self) -> Result<(), ServiceError> {
        self.keys.flush().await?;
        self.flags.flush(self.clock.now()).await
    }
}

/// Rounds of housekeeping. Each is a task of its own, so that one that panics is not the last.
async fn housekeeping(services: Weak<Services>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, before there is anything to do.
    ticks.tick().await;
    for round in 1_u64.. {
        ticks.tick().await;
        let Some(services) = services.upgrade() else { return };
        // Dropped, it ends what it runs.
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut outcome = services.housekeep().await;
            if round.is_multiple_of(PURGE) {
                outcome = outcome.and(services.accounts.purge().await.map(drop));
            }
            outcome
        });
        match task.join_next().await {
            Some(Ok(Err(error))) => tracing::warn!(%error, "housekeeping failed"),
            Some(Err(error)) => tracing::error!(%error, "housekeeping failed"),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.abort_tasks();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::store::testing::TestDatabase;
    use crate::store::{QueryKind, QueryObserver};

    /// Counts operations, and panics at each while it is armed.
    #[derive(Default)]
    struct Fragile {
        armed: AtomicBool,
        panics: AtomicU64,
        seen: AtomicU64,
    }

    impl QueryObserver for Fragile {
        fn observe(&self, _: QueryKind, _: Duration) {
            self.seen.fetch_add(1, Ordering::Relaxed);
            if self.armed.load(Ordering::Relaxed) {
                self.panics.fetch_add(1, Ordering::Relaxed);
                panic!("cannot look");
            }
        }
    }

    async fn above(count: &AtomicU64, least: u64) {
        let reached = async {
            while count.load(Ordering::Relaxed) <= least {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
    }

    #[tokio::test]
    async fn housekeeping_goes_on_after_a_panic() {
        let database = TestDatabase::new().await.unwrap();
        let fragile = Arc::new(Fragile::default());
        let mut options = database.options().unwrap();
        options.observer = fragile.clone();
        let services = Services::open(Options::new(options)).await.unwrap();
        fragile.armed.store(true, Ordering::Relaxed);
        let weak = Arc::downgrade(&services);
        let task = tokio::spawn(housekeeping(weak, Duration::from_millis(1)));
        above(&fragile.panics, 1).await;
        fragile.armed.store(false, Ordering::Relaxed);
        let seen = fragile.seen.load(Ordering::Relaxed);
        above(&fragile.seen, seen + 5).await;
        services.close(Duration::from_secs(5)).await.unwrap();
        drop(services);
        tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
    }
}
