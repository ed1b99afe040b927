//! Closes connections on which nothing happens, with one coarse timer each.
//!
//! hyper's own header timer counts from the end of the last answer, so it cannot tell a client that is slow to send a
//! head from one that keeps a connection for later. Here a head has [`Timeouts::head`] from its first byte, and a
//! connection may be silent for [`Timeouts::idle`].

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::linger::Linger;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From the first byte of a request's head to its last.
    pub(crate) head: Duration,
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
}

/// What happened on a connection since the watchdog last looked.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Bytes went in or out.
    moved: AtomicBool,
    /// The next byte read begins a head.
    expects_head: AtomicBool,
    /// Counts heads: odd while one is being read.
    heads: AtomicU32,
    /// The request that is being answered has a body.
    has_body: AtomicBool,
    /// It was refused, perhaps before its body was read: its client may still be sending.
    refused: AtomicBool,
}

/// An I/O object that notes its activity.
pub(crate) struct Watched<T> {
    inner: T,
    activity: Arc<Activity>,
    linger: Linger,
}

/// Judges a connection from what it did between ticks.
pub(crate) struct Watchdog {
    activity: Arc<Activity>,
    timeouts: Timeouts,
    tick: Duration,
    head: u32,
    in_head: Duration,
    silent: Duration,
}

// === impl Activity ===

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { expects_head: AtomicBool::new(true), ..Self::default() })
    }

    /// A request's head was read whole.
    pub(crate) fn head_read(&self, has_body: bool) {
        self.expects_head.store(false, Ordering::Relaxed);
        self.has_body.store(has_body, Ordering::Relaxed);
        if self.reads_head() {
            self.heads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The request was answered: what comes next is another head.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.expects_head.store(true, Ordering::Relaxed);
        let refused = self.has_body.load(Ordering::Relaxed) && !status.is_success();
        self.refused.store(refused, Ordering::Relaxed);
    }

    fn reads_head(&self) -> bool {
        self.heads.load(Ordering::Relaxed) % 2 == 1
    }

    fn read(&self) {
        self.moved.store(true, Ordering::Relaxed);
        if self.expects_head.load(Ordering::Relaxed) {
            self.expects_head.store(false, Ordering::Relaxed);
            self.heads.fetch_or(1, Ordering::Relaxed);
        }
    }

    fn wrote(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }
}

// === impl Watchdog ===

impl Watchdog {
    pub(crate) fn new(activity: Arc<Activity>, timeouts: Timeouts) -> Self {
        let tick = (timeouts.head / 2).min(timeouts.idle / 4).max(Duration::from_millis(10));
        let (head, in_head, silent) = (0, Duration::ZERO, Duration::ZERO);
        Self { activity, timeouts, tick, head, in_head, silent }
    }

    /// Returns once the connection took too long.
    pub(crate) async fn bites(mut self) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let head = self.activity.heads.load(Ordering::Relaxed);
        if head % 2 == 1 && head == self.head {
            self.in_head += self.tick;
        } else {
            self.in_head = Duration::ZERO;
        }
        self.head = head;
        if self.activity.moved.swap(false, Ordering::Relaxed) {
            self.silent = Duration::ZERO;
        } else {
            self.silent += self.tick;
        }
        self.in_head >= self.timeouts.head || self.silent >= self.timeouts.idle
    }
}

// === impl Watched ===

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, activity: Arc<Activity>) -> Self {
        Self { inner, activity, linger: Linger::default() }
    }
}

impl<T: Read + Unpin> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.activity.read();
        }
        polled
    }
}

impl<T: Read + Write + Unpin> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.activity.wrote();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.linger.begun() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        if !self.activity.refused.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        this.linger.poll(&mut this.inner, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.activity.wrote();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(60) };

    /// Ticks until the watchdog bites, at most `most`; `between` acts between ticks.
    fn ticks(activity: &Arc<Activity>, most: u32, between: impl Fn(&Activity)) -> Option<u32> {
        let mut watchdog = Watchdog::new(Arc::clone(activity), TIMEOUTS);
        (1..=most).find(|_| {
            between(activity);
            watchdog.is_over()
        })
    }

    #[test]
    fn a_head_sent_byte_by_byte_ends_the_connection() {
        let activity = Activity::new();
        assert_eq!(ticks(&activity, 20, Activity::read), Some(3), "5 s ticks: seen first, then two more");
    }

    #[test]
    fn a_request_that_is_answered_in_time_never_does() {
        let activity = Activity::new();
        let request = |activity: &Activity| {
            activity.read();
            activity.head_read(false);
            activity.wrote();
            activity.answered(StatusCode::OK);
        };
        assert_eq!(ticks(&activity, 1000, request), None);
    }

    #[test]
    fn a_silent_connection_is_kept_for_its_idle_time() {
        let activity = Activity::new();
        assert_eq!(ticks(&activity, 100, |_| ()), Some(12));
    }

    #[test]
    fn a_stream_lives_as_long_as_it_is_written_to() {
        let activity = Activity::new();
        activity.read();
        activity.head_read(false);
        assert_eq!(ticks(&activity, 1000, Activity::wrote), None);
    }
}
