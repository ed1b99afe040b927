//! Closes connections on which nothing happens, with one coarse timer each.
//!
//! hyper's own header timer counts from the end of the last answer, so it cannot tell a client that is slow to send a
//! head from one that keeps a connection for later. Here a head has [`Timeouts::head`] from its first byte, a
//! connection may be silent for [`Timeouts::idle`], and a client has to take something of what waits for it within
//! [`Timeouts::write`].

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{linger::Linger, when_woken::when_woken};

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From the first byte of a request's head to its last.
    pub(crate) head: Duration,
    /// Without a byte in either direction.
    pub(crate) idle: Duration,
    /// Without taking a byte of an answer that waits to be sent.
    pub(crate) write: Duration,
}

/// What happened on a connection since the watchdog last looked.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Bytes went in or out.
    moved: AtomicBool,
    /// Counts waits of what is to be written for a client that does not read: odd during one.
    waits: AtomicU32,
    /// Parts of answers that were handed out and that their client has not taken yet.
    owed: AtomicU32,
    /// Counts those that were.
    taken: AtomicU32,
    /// A client took too long over what it was to read: what is left to be sent is thrown away.
    stalled: AtomicBool,
    /// The next byte read begins a head.
    expects_head: AtomicBool,
    /// It carries several requests at a time, and bytes of its own between them: only its first head is timed.
    multiplexed: AtomicBool,
    /// Counts heads: odd while one is being read.
    heads: AtomicU32,
    /// The request that is being answered has a body.
    has_body: AtomicBool,
    /// It was refused, perhaps before its body was read: its client may still be sending.
    refused: AtomicBool,
}

/// A socket that notes its activity.
pub(crate) struct Watched {
    inner: TokioIo<TcpStream>,
    activity: Arc<Activity>,
    linger: Linger,
}

/// Judges a connection from what it did between ticks.
pub(crate) struct Watchdog<'a> {
    activity: &'a Activity,
    timeouts: &'a Timeouts,
    tick: Duration,
    in_head: Span,
    waiting: Span,
    owing: Span,
    silent: Duration,
}

/// How long something lasts during which a counter stands still.
#[derive(Default)]
struct Span {
    count: Option<u32>,
    length: Duration,
}

// === impl Activity ===

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { expects_head: AtomicBool::new(true), ..Self::default() })
    }

    /// A request's head was read whole.
    pub(crate) fn head_read(&self, has_body: bool, multiplexed: bool) {
        self.expects_head.store(false, Ordering::Relaxed);
        self.multiplexed.store(multiplexed, Ordering::Relaxed);
        self.has_body.store(has_body, Ordering::Relaxed);
        if self.reads_head() {
            self.heads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The request was answered: what comes next is another head.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.expects_head.store(!self.multiplexed.load(Ordering::Relaxed), Ordering::Relaxed);
        let refused = self.has_body.load(Ordering::Relaxed) && !status.is_success();
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// A part of an answer was handed out.
    pub(super) fn owes(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// It was taken, or nobody will.
    pub(super) fn owes_no_more(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
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
        if self.waits.load(Ordering::Relaxed) % 2 == 1 {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waits_to_write(&self) {
        self.waits.fetch_or(1, Ordering::Relaxed);
    }

    fn note_write(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(Ok(_)) => self.wrote(),
            Poll::Pending => self.waits_to_write(),
            Poll::Ready(Err(_)) => {}
        }
    }
}

// === impl Watchdog ===

impl<'a> Watchdog<'a> {
    pub(crate) fn new(activity: &'a Activity, timeouts: &'a Timeouts) -> Self {
        let tick = (timeouts.head / 2).min(timeouts.idle / 4).min(timeouts.write / 4);
        let tick = tick.max(Duration::from_millis(10));
        let (in_head, waiting, owing) = Default::default();
        Self { activity, timeouts, tick, in_head, waiting, owing, silent: Duration::ZERO }
    }

    /// Returns once the connection took too long.
    pub(crate) async fn bites(&mut self) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            when_woken(pin!(ticks.tick())).await;
            if self.is_over() {
                return;
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let activity = self.activity;
        let (heads, waits) = (activity.heads.load(Ordering::Relaxed), activity.waits.load(Ordering::Relaxed));
        self.in_head.tick(heads % 2 == 1, heads, self.tick);
        self.waiting.tick(waits % 2 == 1, waits, self.tick);
        let owes = activity.owed.load(Ordering::Relaxed) > 0;
        self.owing.tick(owes, activity.taken.load(Ordering::Relaxed), self.tick);
        if activity.moved.swap(false, Ordering::Relaxed) {
            self.silent = Duration::ZERO;
        } else {
            self.silent += self.tick;
        }
        let stalled = self.waiting.length.max(self.owing.length) >= self.timeouts.write;
        activity.stalled.store(stalled, Ordering::Relaxed);
        stalled || self.in_head.length >= self.timeouts.head || self.silent >= self.timeouts.idle
    }
}

// === impl Span ===

impl Span {
    /// Lengthens it where it lasts, as it did at the last tick, with the same count.
    fn tick(&mut self, lasts: bool, count: u32, tick: Duration) {
        let count = lasts.then_some(count);
        if lasts && count == self.count {
            self.length += tick;
        } else {
            self.length = Duration::ZERO;
        }
        self.count = count;
    }
}

// === impl Watched ===

impl Watched {
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { inner: TokioIo::new(stream), activity, linger: Linger::default() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.activity.stalled.load(Ordering::Relaxed) {
            // Else the kernel kept what nobody reads, for minutes. Where the client is gone already, so is that.
            let _ = self.inner.inner().set_zero_linger();
        }
    }
}

impl Read for Watched {
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

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.activity.note_write(&polled);
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
        self.activity.note_write(&polled);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
    };

    /// Ticks until the watchdog bites, at most `most`; `between` acts between ticks.
    fn ticks(activity: &Arc<Activity>, most: u32, between: impl Fn(&Activity)) -> Option<u32> {
        let mut watchdog = Watchdog::new(activity, &TIMEOUTS);
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
            activity.head_read(false, false);
            activity.wrote();
            activity.answered(StatusCode::OK);
        };
        assert_eq!(ticks(&activity, 1000, request), None);
    }

    #[test]
    fn what_http2_says_between_requests_is_no_head() {
        let activity = Activity::new();
        activity.read();
        activity.head_read(false, true);
        activity.answered(StatusCode::OK);
        assert_eq!(ticks(&activity, 1000, Activity::read), None);
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
        activity.head_read(false, false);
        assert_eq!(ticks(&activity, 1000, Activity::wrote), None);
    }

    #[test]
    fn who_reads_nothing_ends_it_however_much_they_send() {
        let activity = Activity::new();
        activity.read();
        activity.head_read(false, false);
        let sends = |activity: &Activity| {
            activity.read();
            activity.waits_to_write();
        };
        assert_eq!(ticks(&activity, 100, sends), Some(7), "5 s ticks: seen first, then six more");
        assert!(activity.stalled.load(Ordering::Relaxed));
    }

    #[test]
    fn who_reads_slowly_does_not() {
        let activity = Activity::new();
        activity.read();
        activity.head_read(false, false);
        let reads = |activity: &Activity| {
            activity.wrote();
            activity.waits_to_write();
        };
        assert_eq!(ticks(&activity, 1000, reads), None);
        assert!(!activity.stalled.load(Ordering::Relaxed));
    }

    #[test]
    fn an_answer_that_nobody_takes_ends_it_however_much_is_said_besides() {
        let activity = Activity::new();
        activity.owes();
        assert_eq!(ticks(&activity, 100, Activity::wrote), Some(7));
        assert!(activity.stalled.load(Ordering::Relaxed));
    }

    #[test]
    fn one_that_is_taken_bit_by_bit_does_not() {
        let activity = Activity::new();
        activity.owes();
        let takes = |activity: &Activity| {
            activity.owes_no_more();
            activity.owes();
            activity.wrote();
        };
        assert_eq!(ticks(&activity, 1000, takes), None);
    }
}
