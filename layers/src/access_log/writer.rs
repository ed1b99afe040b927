use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(super) use super::output::Output;
use super::sink::Shared;

/// The thread that writes the lines of an [`AccessLogSink`](super::AccessLogSink). Dropped without
/// [`close`](Self::close), it writes what waits and ends, but nobody waits for it.
#[derive(Debug)]
pub struct AccessLogWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked to do and what it did.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A buffer fills up: do not wait for the next tick.
    hurry: bool,
    /// How many times writing was asked for, and up to which of them it was done.
    asked: u64,
    done: u64,
    closing: bool,
    closed: bool,
}

/// The thread's work.
struct Work<W> {
    shared: Arc<Shared>,
    output: Output<W>,
    interval: Duration,
    spare: Vec<u8>,
    report: Report,
}

/// Reports errors as they begin and end, and drops once writing works again, but not at every tick.
struct Report {
    reported: u64,
    last: Option<Instant>,
    failing: bool,
}

// === impl AccessLogWriter ===

impl AccessLogWriter {
    pub(super) fn start(
        shared: Arc<Shared>,
        target: impl io::Write + Send + 'static,
        interval: Duration,
    ) -> io::Result<Self> {
        let report = Report { reported: 0, last: None, failing: false };
        let output = Output::new(target);
        let work = Work { shared: shared.clone(), output, interval, spare: Vec::new(), report };
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || work.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until the lines of all requests that ended before are written, but not longer than `timeout`. Blocks the
    /// thread. Returns whether they are.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mailbox = &self.shared.mailbox;
        let mut state = mailbox.lock();
        state.asked += 1;
        let asked = state.asked;
        mailbox.changed.notify_all();
        mailbox.wait(state, timeout, |state| state.done < asked && !state.closed)
    }

    /// Writes what waits and ends the thread; later lines are dropped and counted. Waits as [`flush`](Self::flush) does:
    /// where the reader of the log hangs, false is returned and the thread is left behind.
    pub fn close(mut self, timeout: Duration) -> bool {
        let mailbox = &self.shared.mailbox;
        let mut state = mailbox.lock();
        state.closing = true;
        mailbox.changed.notify_all();
        let closed = mailbox.wait(state, timeout, |state| !state.closed);
        if closed && let Some(thread) = self.thread.take() {
            return thread.join().is_ok();
        }
        closed
    }
}

impl Drop for AccessLogWriter {
    fn drop(&mut self) {
        self.shared.mailbox.lock().closing = true;
        self.shared.mailbox.changed.notify_all();
    }
}

// === impl Mailbox ===

impl Mailbox {
    /// A buffer fills up: it is to be written now.
    pub(super) fn hurry(&self) {
        self.lock().hurry = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `condition` holds; false if it still does at the end.
    fn wait(
        &self,
        state: MutexGuard<'_, State>,
        timeout: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> bool {
        let waited = self.changed.wait_timeout_while(state, timeout, |state| condition(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !condition(&state)
    }
}

// === impl Work ===

impl<W: io::Write> Work<W> {
    fn run(mut self) {
        loop {
            let (asked, closing) = self.next();
            if closing {
                // What is reported now is still taken.
                self.report.drops(self.shared.dropped(), true);
            }
            let written = self.shared.write_out(&mut self.output, &mut self.spare, closing);
            self.report.errors(&written);
            if !self.report.failing {
                self.report.drops(self.shared.dropped(), false);
            }
            let mut state = self.shared.mailbox.lock();
            state.done = asked;
            state.closed = closing;
            drop(state);
            self.shared.mailbox.changed.notify_all();
            if closing {
                return;
            }
        }
    }

    /// Waits for the next tick, or until there is a reason not to.
    fn next(&self) -> (u64, bool) {
        let mailbox = &self.shared.mailbox;
        let idle = |state: &mut State| state.asked == state.done && !state.hurry && !state.closing;
        let waited = mailbox.changed.wait_timeout_while(mailbox.lock(), self.interval, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        (state.asked, state.closing)
    }
}

// === impl Report ===

impl Report {
    /// How often drops are reported at most.
    const INTERVAL: Duration = Duration::from_secs(10);

    /// `written` says whether anything was: with nothing to write, nothing is known to work again.
    fn errors(&mut self, written: &io::Result<bool>) {
        match written {
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "the log cannot be written");
            }
            Ok(true) if self.failing => {
                self.failing = false;
                tracing::info!("the log is written again");
            }
            _ => {}
        }
    }

    fn drops(&mut self, dropped: u64, last: bool) {
        let due = last || self.last.is_none_or(|last| last.elapsed() >= Self::INTERVAL);
        if dropped > self.reported && due {
            let lines = dropped - self.reported;
            self.reported = dropped;
            self.last = Some(Instant::now());
            tracing::warn!(
                lines,
                "lines of the log were dropped: its reader was too slow, or they could not be written"
            );
        }
    }
}
