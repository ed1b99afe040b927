use std::sync::atomic::{AtomicU64, Ordering};

/// What one layer instance did. Counted only when it acts, so a request that passes costs nothing.
#[derive(Debug, Default)]
pub struct Stats {
    refused: AtomicU64,
    observed: AtomicU64,
}

impl Stats {
    /// Requests this instance answered instead of the handler.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests it would have refused, had it not been in observe mode.
    pub fn observed(&self) -> u64 {
        self.observed.load(Ordering::Relaxed)
    }

    /// Counts a refusal. Hooks are counted by the chain; a layer that wraps a [`Next`](super::Next) calls this itself.
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what observe mode let pass.
    pub fn count_observed(&self) {
        self.observed.fetch_add(1, Ordering::Relaxed);
    }
}
