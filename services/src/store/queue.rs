//! Who waits for a connection: so many, and no more.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::db::StoreError;

/// The callers that wait.
pub(super) struct Queue {
    waiting: AtomicUsize,
    longest: usize,
}

/// A place among them, until it is dropped.
pub(super) struct Place<'a>(&'a Queue);

impl Queue {
    /// One that takes so many callers at a time.
    pub(super) fn new(longest: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), longest }
    }

    /// # Errors
    /// [`StoreError::Unavailable`] where it is full.
    pub(super) fn enter(&self) -> Result<Place<'_>, StoreError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        if before >= self.longest {
            return Err(StoreError::Unavailable(format!("{before} callers wait for it already")));
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
