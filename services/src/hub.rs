//! Change streams: who listens to an environment, and what they are told.
//!
//! An event is written once, for both wires, and shared by all its readers. A reader that is too slow gets one
//! `refetch` in place of what did not fit; nothing is ever left out silently.

mod channel;
mod event;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use channel::Channel;
pub use channel::{EndReason, StreamItem, Subscription};
pub use event::{Event, EventKind};

/// Figures of all streams together.
#[derive(Debug, Default)]
pub struct StreamCounters {
    open: AtomicU64,
    events: AtomicU64,
    overflows: AtomicU64,
}

impl StreamCounters {
    /// Streams open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Events published so far, each counted once however many read it.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// How often a reader's queue was full and became one `refetch`.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }
}
