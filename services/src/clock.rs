//! What time it is, for services that must be testable at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The system's clock, or one that stands still until it is moved.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that shows `now` until [`Clock::advance`]; clones move together.
    pub fn manual(now: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(now.as_microsecond()))))
    }

    /// The time, in whole microseconds as the database keeps it.
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            None => Timestamp::now().as_microsecond(),
            Some(microseconds) => microseconds.load(Ordering::Relaxed),
        };
        // Both were made from a `Timestamp`, so this is in range.
        Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX)
    }

    /// Moves a manual clock on; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Some(microseconds) = &self.0 {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            microseconds.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock back; the system's clock is left alone.
    pub fn set_back(&self, by: Duration) {
        if let Some(microseconds) = &self.0 {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            microseconds.fetch_sub(by, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let other = clock.clone();
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(other.now(), Timestamp::from_microsecond(1_500_000).unwrap());
        other.set_back(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_microsecond(500_000).unwrap());
    }
}
