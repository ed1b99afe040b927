//! One value for each of a few groups of threads, so that they do not contend for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// As many values as the machine runs threads at once; a thread always meets the same one.
#[derive(Debug)]
pub(crate) struct Sharded<T> {
    shards: Box<[Padded<T>]>,
}

/// Alone on its cache lines: processors fetch them in pairs of 64 bytes.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

impl<T> Sharded<T> {
    /// The most shards: beyond that, memory costs more than contention.
    const MAX: usize = 64;

    /// Makes the values.
    pub(crate) fn new(value: impl FnMut() -> T) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from).min(Self::MAX);
        Self { shards: std::iter::repeat_with(value).take(count).map(Padded).collect() }
    }

    /// This thread's value.
    pub(crate) fn local(&self) -> &T {
        // There is at least one.
        &self.shards[THREAD.with(|thread| *thread) % self.shards.len()].0
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &shard.0)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }
}
