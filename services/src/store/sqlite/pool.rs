//! Connections of one sort: who has one, who waits for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::super::db::StoreError;
use super::super::queue::Queue;
use super::worker::Worker;

/// Threads of one sort that wait for work.
pub(super) struct Pool {
    idle: Mutex<Vec<Worker>>,
    permits: Arc<Semaphore>,
    size: u32,
    queue: Queue,
}

/// A connection on its way back to its pool. Dropping it makes it available.
pub(super) struct Returned {
    pub(super) worker: Option<Worker>,
    pool: Arc<Pool>,
    /// Dropped after the worker is back, so that whoever gets the permit finds it.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Returned {
    fn drop(&mut self) {
        self.pool.idle().extend(self.worker.take());
    }
}

impl Pool {
    /// A pool for `size` workers, of whom none is there yet.
    pub(super) fn new(size: usize, queue: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::with_capacity(size)),
            permits: Arc::new(Semaphore::new(size)),
            size: u32::try_from(size).unwrap_or(u32::MAX),
            queue: Queue::new(queue),
        })
    }

    /// How many workers there are when all is well.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn fill(&self, workers: Vec<Worker>) {
        *self.idle() = workers;
    }

    pub(super) fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn acquire(self: &Arc<Self>, wait: Duration) -> Result<Returned, StoreError> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.queue_up(wait).await?,
        };
        let worker = self.idle().pop();
        if worker.is_none() {
            return Err(StoreError::Unavailable("it is being opened again".to_owned()));
        }
        Ok(Returned { worker, pool: self.clone(), _permit: permit })
    }

    async fn queue_up(&self, wait: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        let _place = self.queue.enter()?;
        match timeout(wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(StoreError::Unavailable("it is closed".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no connection came free in time".to_owned())),
        }
    }

    /// Waits until no transaction is open and ends the threads. None begins as long as the permit lives.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it is closed.
    pub(super) async fn empty(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let all = self.permits.acquire_many(self.size).await;
        let all = all.map_err(|_| StoreError::Unavailable("it is closed".to_owned()))?;
        let workers = std::mem::take(&mut *self.idle());
        for worker in workers {
            worker.end().await;
        }
        Ok(all)
    }

    /// As [`Pool::empty`], for good.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.empty().await {
            all.forget();
        }
        self.permits.close();
    }
}
