//! SQLite on its own threads: one connection that writes and a few that read.
//!
//! A transaction leases a connection's thread, sends it statements through a channel and gets the answers through
//! one-shot channels, so no async thread ever waits for a disk. The lease travels back to the pool through the same
//! channel: whatever becomes of the caller, the thread rolls back before the next one gets the connection.
//!
//! Where the file was changed from outside, or SQLite says that it is not whole, no connection is used any more: all
//! are closed, and opened again once the file is whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::db::{Access, DatabaseOptions, DatabaseUrl, StoreError};
use super::value::{Row, Value};
use file::DatabaseFile;
use pool::{Pool, Returned};
use worker::{Answer, Job, Worker};

mod file;
mod pool;
mod worker;

/// The shortest time between two attempts at opening the file again.
const REOPEN: Duration = Duration::from_secs(1);

/// The open file.
pub(super) struct Sqlite {
    file: Arc<DatabaseFile>,
    writer: Arc<Pool>,
    readers: Arc<Pool>,
    wait_timeout: Duration,
    timeout: Duration,
    /// How often it was opened again.
    reopened: AtomicU64,
    /// The last attempt at it that failed.
    attempt: tokio::sync::Mutex<Option<(Instant, String)>>,
    /// The folder of a temporary database; removed by `close`, or with the last handle.
    folder: Mutex<Option<TempDir>>,
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
            DatabaseUrl::Postgres(_) => {
                return Err(StoreError::Refused("this is no address of an SQLite file".to_owned()));
            }
        };
        let sqlite = Self {
            file: Arc::new(DatabaseFile::new(path, options.busy_timeout)),
            writer: Pool::new(1, options.queue),
            readers: Pool::new(options.readers.max(1), options.queue),
            wait_timeout: options.wait_timeout,
            timeout: options.statement_timeout,
            reopened: AtomicU64::new(0),
            attempt: tokio::sync::Mutex::default(),
            folder: Mutex::new(folder),
        };
        sqlite.file.create()?;
        sqlite.connect().await?;
        Ok(sqlite)
    }

    /// How often the file was opened again: each time something else may be in it.
    pub(super) fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Acquire)
    }

    pub(super) async fn begin(&self, access: Access) -> Result<Lease, StoreError> {
        if self.file.suspicion().is_none() {
            match self.lease(access).await {
                // It was not known before; the file may be whole all the same.
                Err(StoreError::Unavailable(_)) if self.file.suspicion().is_some() => {}
                outcome => return outcome,
            }
        }
        self.reopen().await?;
        self.lease(access).await
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

    async fn lease(&self, access: Access) -> Result<Lease, StoreError> {
        let pool = match access {
            Access::Read => &self.readers,
            Access::Write => &self.writer,
        };
        let returned = pool.acquire(self.wait_timeout).await?;
        let mut lease =
            Lease { file: self.file.clone(), returned: Some(returned), timeout: self.timeout, broken: false };
        lease.ask(|answer| Job::Begin(access, answer)).await?;
        Ok(lease)
    }

    /// Opens all connections and fills the pools.
    async fn connect(&self) -> Result<(), StoreError> {
        // The writer first: it checks the file and turns it into a WAL database, which readers cannot.
        let mut workers = vec![Worker::start(self.file.clone(), Access::Write).await?];
        let mut outcome = Ok(());
        for _ in 0..self.readers.size() {
            match Worker::start(self.file.clone(), Access::Read).await {
                Ok(worker) => workers.push(worker),
                Err(error) => outcome = Err(error),
            }
        }
        if let Err(error) = outcome.and_then(|()| self.file.opened()) {
            for worker in workers {
                worker.end().await;
            }
            return Err(error);
        }
        self.readers.fill(workers.split_off(1));
        self.writer.fill(workers);
        Ok(())
    }

    /// Closes all connections and opens them again, where the file is whole. A caller that goes away leaves the
    /// suspicion behind, and with it the work to the next.
    async fn reopen(&self) -> Result<(), StoreError> {
        let late = || StoreError::Unavailable("opening it again takes longer than allowed".to_owned());
        let attempt = async {
            let mut last = self.attempt.lock().await;
            let Some(suspicion) = self.file.suspicion() else { return Ok(()) };
            if let Some((at, reason)) = &*last
                && at.elapsed() < REOPEN
            {
                return Err(StoreError::Unavailable(reason.clone()));
            }
            // No connection may be left: SQLite's locks count for the whole process.
            let _readers = self.readers.empty().await?;
            let _writer = self.writer.empty().await?;
            match self.connect().await {
                Ok(()) => {
                    self.reopened.fetch_add(1, Ordering::Release);
                    tracing::warn!(after = suspicion, "the database was opened again");
                    *last = None;
                    Ok(())
                }
                Err(error) => {
                    // Whatever it is, at run time it may be mended: nothing is refused for good.
                    let reason = match error {
                        StoreError::Unavailable(reason) => reason,
                        other => other.to_string(),
                    };
                    if last.as_ref().is_none_or(|(_, known)| *known != reason) {
                        tracing::error!(reason, "the database cannot be opened again yet");
                    }
                    *last = Some((Instant::now(), reason.clone()));
                    Err(StoreError::Unavailable(reason))
                }
            }
        };
        timeout(self.timeout, attempt).await.unwrap_or_else(|_| Err(late()))
    }
}

/// One transaction's hold on a connection.
pub(super) struct Lease {
    file: Arc<DatabaseFile>,
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
        let gone = || {
            self.file.suspect("a thread of it ended");
            StoreError::Unavailable("its connection is gone".to_owned())
        };
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
        self.broken = outcome.is_err();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::db::Db;
    use super::*;

    #[tokio::test]
    async fn a_thread_that_ended_is_replaced() {
        let folder = TempDir::new().unwrap();
        let options = DatabaseOptions::new(DatabaseUrl::SqliteFile(folder.path().join("flagstone.db")));
        let migrated = Db::open(options.clone()).await.unwrap();
        migrated.close(options.statement_timeout).await.unwrap();
        let sqlite = Sqlite::open(options).await.unwrap();
        for access in [Access::Write, Access::Read] {
            let mut lease = sqlite.begin(access).await.unwrap();
            // Its receiver goes as a thread's does that panics.
            let (ended, _) = mpsc::channel();
            lease.returned.as_mut().unwrap().worker.as_mut().unwrap().jobs = ended;
            assert!(lease.batch("SELECT 1").await.is_err());
            drop(lease);
            sqlite.begin(access).await.unwrap().commit().await.unwrap();
        }
        assert_eq!(sqlite.reopened(), 2);
    }
}
