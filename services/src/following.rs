//! Keeps memory where other instances bring the database.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::accounts::Accounts;
use crate::changes::Changes;
use crate::store::{Announcement, Db, Listener, StoreError, Unobserved};

/// Sees how long changes take from one instance to another.
pub trait ArrivalObserver: Send + Sync {
    /// The newest change that was found came into memory so long after it was begun on the instance that made it. Both
    /// times are of the instances' own clocks.
    fn arrived(&self, after: Duration);
}

impl ArrivalObserver for Unobserved {
    fn arrived(&self, _after: Duration) {}
}

/// How it goes with following other instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowingFigures {
    /// How long the connection that hears of changes took for its last answer, or why there is none. Without it they
    /// are found by looking.
    pub listener: Result<Duration, String>,
    /// How often that connection was made anew.
    pub reconnects: u64,
    /// How long ago a look at the database was last answered.
    pub looked: Duration,
}

/// Follows what others change: as soon as the database tells of it, and by a look once a period, for whatever was
/// told while nobody listened. Dropping it ends that.
pub(crate) struct Following {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    changes: Changes,
    accounts: Accounts,
    db: Db,
    period: Duration,
    /// Something was announced.
    told: Notify,
    standing: Mutex<Standing>,
}

/// What [`FollowingFigures`] are made of.
struct Standing {
    listener: Result<Duration, String>,
    connections: u64,
    /// The log says that nothing is heard.
    is_logged: bool,
    looked_at: Instant,
}

// === impl Following ===

impl Following {
    /// Begins with what was just loaded.
    pub(crate) fn start(changes: Changes, accounts: Accounts, db: Db, period: Duration) -> Self {
        let listener = Err("not connected yet".to_owned());
        let standing = Standing { listener, connections: 0, is_logged: false, looked_at: Instant::now() };
        let (told, standing) = (Notify::new(), Mutex::new(standing));
        let shared = Arc::new(Shared { changes, accounts, db, period, told, standing });
        let theirs = Arc::clone(&shared);
        let task = tokio::spawn(async move { tokio::join!(theirs.listen(), theirs.look()) }).abort_handle();
        Self { shared, task }
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    pub(crate) fn figures(&self) -> FollowingFigures {
        let standing = self.shared.standing();
        FollowingFigures {
            listener: standing.listener.clone(),
            reconnects: standing.connections.saturating_sub(1),
            looked: standing.looked_at.elapsed(),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Shared ===

impl Shared {
    /// Hears what is announced, without end.
    async fn listen(&self) {
        let mut attempts = interval(self.period);
        attempts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            attempts.tick().await;
            let error = match self.db.listen().await {
                Ok(mut listener) => self.hear(&mut listener).await,
                Err(error) => error,
            };
            self.standing().note_away(&error);
        }
    }

    /// Hears what is announced, until nothing is heard any more. While nothing is announced it asks whether anything
    /// would be heard: nobody tells of a connection that is dead.
    async fn hear(&self, listener: &mut Listener) -> StoreError {
        loop {
            let latency = match listener.ask().await {
                Ok(latency) => latency,
                Err(error) => return error,
            };
            if self.standing().note_answer(latency) {
                // What was announced before is looked for.
                self.told.notify_one();
            }
            while let Ok(heard) = timeout(self.period, listener.heard()).await {
                match heard {
                    Ok(Announcement::Change) => self.told.notify_one(),
                    Ok(Announcement::SessionEnd(session)) => self.accounts.ended_elsewhere(session),
                    Ok(Announcement::SessionsEnd(user)) => self.accounts.all_ended_elsewhere(user),
                    Err(error) => return error,
                }
            }
        }
    }

    /// Looks at the database when something was announced and once a period, without end.
    async fn look(&self) {
        let mut polls = interval(self.period);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.told.notified() => {}
                _ = polls.tick() => {}
            }
            let changes = self.changes.clone();
            // In a task of its own, so that a look that panics is not the last. Dropped, it ends what it runs.
            let mut task = JoinSet::new();
            task.spawn(async move { changes.follow().await });
            match task.join_next().await {
                Some(Ok(Ok(()))) => self.standing().looked_at = Instant::now(),
                Some(Ok(Err(error))) => tracing::debug!(%error, "following other instances failed"),
                Some(Err(error)) => tracing::error!(%error, "following other instances failed"),
                None => {}
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Standing ===

impl Standing {
    /// Whether it did not hear before.
    fn note_answer(&mut self, latency: Duration) -> bool {
        let was_deaf = std::mem::replace(&mut self.listener, Ok(latency)).is_err();
        self.connections += u64::from(was_deaf);
        if std::mem::take(&mut self.is_logged) {
            tracing::info!("hears of what other instances change again");
        }
        was_deaf
    }

    fn note_away(&mut self, error: &StoreError) {
        // A connection that is made anew at once is no news.
        if self.listener.is_err() && !std::mem::replace(&mut self.is_logged, true) {
            tracing::warn!(%error, "cannot hear of what other instances change: asking once in a while");
        }
        self.listener = Err(error.to_string());
    }
}
