//! The pipeline that runs, and the way to the next one.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use flagstone_layers::kernel::{Exchange, Panic, Readmission};
use jiff::Timestamp;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::{
    diagnostic::{Diagnostic, Location, Report, Source},
    fingerprint::Fingerprint,
    host::Host,
    log,
    mailbox::{Duty, Mailbox},
    outcome::{Attempt, Outcome, Trigger},
    reload::{Candidate, Loader, Read},
    snapshot::Snapshot,
    state::States,
    status::{InstanceStatus, ReloadCounts, Retired, Status},
    watch::{Watcher, Watching},
};

/// A pipeline that runs and can be replaced while it does. Cloning it makes another handle on the same.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    loader: Loader,
    current: ArcSwap<Snapshot>,
    attempts: watch::Sender<Arc<Attempt>>,
    mailbox: Arc<Mailbox>,
    states: Mutex<States>,
    seen: Mutex<Fingerprint>,
    retired: Mutex<Retired>,
    reloads: Mutex<ReloadCounts>,
    streams_ended: AtomicU64,
}

/// What an attempt came to before it has any effect.
struct Made {
    read: Read,
    before: Arc<Snapshot>,
    /// What could run next; `None` where it is what runs already.
    candidate: Result<Option<Candidate>, Report>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Loads a pipeline for the first time. Reads files, so it may block.
    ///
    /// # Errors
    ///
    /// All faults of the file, where it has any.
    pub fn load(path: &Path, host: Host) -> Result<Self, Report> {
        let loader = Loader::new(path, host);
        let mut read = loader.read(&Fingerprint::default());
        let candidate = loader.prepare(&mut read, None, &States::default())?;
        let outcome = candidate.applied(&read.fields);
        let attempt = read.attempt(Trigger::Start, &outcome);
        log::attempt(&attempt, &outcome);
        let mut reloads = ReloadCounts::default();
        reloads.count(&attempt);
        let inner = Inner {
            loader,
            current: ArcSwap::from_pointee(candidate.snapshot),
            attempts: watch::Sender::new(Arc::new(attempt)),
            mailbox: Arc::default(),
            states: Mutex::new(candidate.states),
            seen: Mutex::new(read.fingerprint),
            retired: Mutex::default(),
            reloads: Mutex::new(reloads),
            streams_ended: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The snapshot that runs now. Load it for each request, and let it go once the chain is called.
    pub fn current(&self) -> Guard<Arc<Snapshot>> {
        self.inner.current.load()
    }

    /// Loads the files anew. Requests run on undisturbed; whatever goes wrong, the last good pipeline goes on.
    ///
    /// Calls that come while another is at work are met together, by one attempt made for the latest of them. Dropping
    /// the future does not stop the attempt. Must be called within a Tokio runtime.
    pub async fn reload(&self, trigger: Trigger) -> Outcome {
        let (outcome, duty) = self.inner.mailbox.leave(trigger);
        if let Some(duty) = duty {
            tokio::spawn(self.clone().meet_wishes(duty));
        }
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => self.inner.broken("the reload was cut off: the server shuts down"),
        }
    }

    /// What [`reload`](Self::reload) would come to. Has no effect, and is not shown by the status.
    pub async fn dry_run(&self) -> Outcome {
        let outcome = self.in_background(Inner::dry_run).await;
        outcome.unwrap_or_else(|error| self.inner.broken(&error.to_string()))
    }

    /// What runs, what ran, and what came of the last attempt.
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// The last attempt, and a way to wait for the next.
    pub fn attempts(&self) -> watch::Receiver<Arc<Attempt>> {
        self.inner.attempts.subscribe()
    }

    /// Watches every file the pipeline was made from, and the host's settings, until the watcher is dropped. Must be
    /// called within a Tokio runtime.
    pub fn watch(&self) -> Watcher {
        self.watch_with(Watching::default())
    }

    /// As [`watch`](Self::watch), with other times.
    pub fn watch_with(&self, watching: Watching) -> Watcher {
        Watcher::start(self.clone(), watching)
    }

    /// Makes attempts until nobody waits for one.
    async fn meet_wishes(self, mut duty: Duty) {
        while let Some(wish) = duty.next() {
            // Only where the runtime shuts down is there no outcome; those who wait learn that as the wish is dropped.
            let Some((outcome, replaced)) = self.attempt(wish.trigger).await else { return };
            if let Some(replaced) = replaced {
                tokio::spawn(self.clone().retire(replaced));
            }
            wish.answer(&outcome);
        }
    }

    /// One attempt, and the snapshot that it replaced. The next one is built in the background, and put in its place by
    /// a thread that is not: streams wait for what is locked meanwhile.
    async fn attempt(&self, trigger: Trigger) -> Option<(Outcome, Option<Arc<Snapshot>>)> {
        let made = self.in_background(|inner| Panic::catch(|| inner.make())).await.ok()?;
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.finish(trigger, made)).await.ok()
    }

    /// Runs what takes a while, where that delays nobody.
    pub(crate) fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let inner = Arc::clone(&self.inner);
        let background = self.inner.loader.host().background.clone();
        background.unwrap_or_else(Handle::current).spawn_blocking(move || work(&inner))
    }

    /// Lets go of a snapshot where that holds up no request: a request that is being routed at this moment may hold it
    /// too, and the last to let go pays for taking it down.
    async fn retire(self, snapshot: Arc<Snapshot>) {
        const PAUSE: Duration = Duration::from_millis(20);
        const PAUSES: usize = 50;
        for _ in 0..PAUSES {
            if Arc::strong_count(&snapshot) == 1 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.in_background(move |_| drop(snapshot));
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("current", &*self.current()).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// Reads the files and builds what they say. Changes nothing.
    fn make(&self) -> Made {
        let known = lock(&self.seen).clone();
        let mut read = self.loader.read(&known);
        let before = self.current.load_full();
        let candidate = self.candidate(&mut read, &before);
        Made { read, before, candidate }
    }

    /// Has what was made take effect. A panic is an outcome too: it refuses the pipeline.
    fn finish(
        self: &Arc<Self>,
        trigger: Trigger,
        made: Result<Made, Panic>,
    ) -> (Outcome, Option<Arc<Snapshot>>) {
        made.and_then(|made| Panic::catch(|| self.put(trigger, made)))
            .unwrap_or_else(|panic| (self.failed(trigger, &panic), None))
    }

    fn put(self: &Arc<Self>, trigger: Trigger, made: Made) -> (Outcome, Option<Arc<Snapshot>>) {
        let Made { read, before, candidate } = made;
        let (outcome, replaced) = match candidate {
            Ok(Some(candidate)) => {
                let outcome = candidate.applied(&read.fields);
                *lock(&self.states) = candidate.states;
                self.current.store(Arc::new(candidate.snapshot));
                self.replaced(&before);
                (outcome, Some(before))
            }
            Ok(None) => (read.unchanged(before.generation().number()), None),
            Err(report) => (read.rejected(report), None),
        };
        let attempt = read.attempt(trigger, &outcome);
        log::attempt(&attempt, &outcome);
        self.note(attempt, read.fingerprint);
        (outcome, replaced)
    }

    /// A new snapshot runs: whoever streams on an older one goes on where the new one would let it in.
    fn replaced(self: &Arc<Self>, before: &Arc<Snapshot>) {
        let readmission: Weak<Self> = Arc::downgrade(self);
        before.generation().retire(readmission);
        let mut retired = lock(&self.retired);
        retired.add(before);
        let ended = self.streams_ended.load(Ordering::Relaxed);
        retired.recheck(&**self);
        let ended = self.streams_ended.load(Ordering::Relaxed) - ended;
        if ended > 0 {
            tracing::info!(streams = ended, "ended the streams that the new pipeline refuses");
        }
    }

    fn dry_run(&self) -> Outcome {
        let mut read = self.loader.read(&Fingerprint::default());
        let before = self.current.load_full();
        match self.candidate(&mut read, &before) {
            Ok(Some(candidate)) => candidate.applied(&read.fields),
            Ok(None) => read.unchanged(before.generation().number()),
            Err(report) => read.rejected(report),
        }
    }

    fn candidate(&self, read: &mut Read, before: &Snapshot) -> Result<Option<Candidate>, Report> {
        if read.digest() == before.digest() {
            return Ok(None);
        }
        let states = {
            let mut states = lock(&self.states);
            states.prune(Instant::now());
            states.clone()
        };
        self.loader.prepare(read, Some(before), &states).map(Some)
    }

    /// What an attempt comes to that could not be made.
    fn broken(&self, why: &str) -> Outcome {
        tracing::error!(why, "the pipeline could not be loaded; the last good one goes on");
        let source = Source::new(self.loader.path(), String::new(), 0);
        let location = Location::new(Arc::new(source), 0..0);
        let diagnostic = Diagnostic::error("internal", &location, why);
        Outcome::Rejected { diagnostics: vec![diagnostic], fields: Vec::new() }
    }

    fn note(&self, attempt: Attempt, seen: Fingerprint) {
        lock(&self.reloads).count(&attempt);
        *lock(&self.seen) = seen;
        self.attempts.send_replace(Arc::new(attempt));
    }

    /// Notes an attempt that panicked.
    fn failed(&self, trigger: Trigger, panic: &Panic) -> Outcome {
        let outcome = self.broken(&format!("loading the pipeline panicked: {panic}"));
        let seen = lock(&self.seen).again();
        let attempt = Attempt {
            trigger,
            outcome: outcome.kind(),
            at: Timestamp::now(),
            digest: String::new(),
            diagnostics: outcome.diagnostics().to_vec(),
            fields: self.attempts.borrow().fields.clone(),
            changes: None,
            sources: self.attempts.borrow().sources.clone(),
        };
        self.note(attempt, seen);
        outcome
    }

    fn status(&self) -> Status {
        let (last_success_at, reloads) = {
            let reloads = lock(&self.reloads);
            (reloads.last_success(), reloads.list())
        };
        let current = self.current.load();
        Status {
            generation: current.generation().number(),
            digest: current.digest().to_owned(),
            applied_at: current.applied_at,
            last_attempt: Attempt::clone(&self.attempts.borrow()),
            instances: current.instances.iter().map(InstanceStatus::from).collect(),
            draining: lock(&self.retired).draining(),
            streams_ended: self.streams_ended.load(Ordering::Relaxed),
            snapshots: *self.loader.alive().borrow(),
            last_success_at,
            reloads,
        }
    }

    /// Whether a file or a setting is no longer what it was at the last attempt. Reads files. Gives up state whose time
    /// is over, too: with a watcher, this is called again and again.
    pub(crate) fn is_stale(&self) -> bool {
        lock(&self.states).prune(Instant::now());
        let seen = lock(&self.seen).clone();
        seen != seen.again() || self.loader.changed_settings() != self.attempts.borrow().fields
    }

    /// The files whose changes matter.
    pub(crate) fn watched(&self) -> Vec<std::path::PathBuf> {
        let settings = self.loader.host().settings.as_ref();
        let settings = settings.map(|settings| settings.paths()).unwrap_or_default();
        lock(&self.seen).paths().map(Path::to_path_buf).chain(settings).collect()
    }

    /// How many snapshots are in memory.
    #[cfg(test)]
    pub(crate) fn alive(&self) -> watch::Receiver<usize> {
        self.loader.alive().subscribe()
    }
}

impl Readmission for Inner {
    fn readmits(&self, stream: &Exchange) -> bool {
        let readmitted = self.current.load().readmits(stream);
        if !readmitted {
            self.streams_ended.fetch_add(1, Ordering::Relaxed);
        }
        readmitted
    }
}

/// The data behind these locks is whole at every moment: a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
