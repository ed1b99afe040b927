//! Watching the files a pipeline is made from.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecursiveMode, Watcher as _, event::AccessKind, event::AccessMode};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    outcome::Trigger,
    pipeline::{Inner, Pipeline},
};

/// Reloads a pipeline when a file it was made from changes, until it is dropped.
///
/// It watches folders, not files: a file that is replaced by renaming another, or by a symbolic link elsewhere, is
/// another file afterwards. Any event in such a folder makes it look; what counts is what the files hold.
#[derive(Debug)]
#[must_use = "dropping it ends the watching"]
pub struct Watcher {
    task: AbortHandle,
    idle: watch::Receiver<bool>,
}

/// When a watcher looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watching {
    /// How long nothing must have happened before it looks: an editor saves in several steps.
    pub quiet: Duration,
    /// The longest it waits for that.
    pub longest: Duration,
    /// How often it looks without having been told, for what the system does not tell: network file systems, links
    /// that change further up.
    pub poll: Duration,
}

/// Folders the system tells about.
struct Eyes {
    _watcher: notify::RecommendedWatcher,
}

impl Default for Watching {
    /// 250 ms, at most 2 s, every 30 s.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(250),
            longest: Duration::from_secs(2),
            poll: Duration::from_secs(30),
        }
    }
}

// === impl Watcher ===

impl Watcher {
    pub(crate) fn start(pipeline: Pipeline, watching: Watching) -> Self {
        let (working, idle) = watch::channel(false);
        Self { task: tokio::spawn(keep_watch(pipeline, watching, working)).abort_handle(), idle }
    }

    /// Waits until it watches, and has nothing to look at.
    pub async fn idle(&self) {
        // The other end is only gone where the runtime shuts down.
        _ = self.idle.clone().wait_for(|idle| *idle).await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_watch(pipeline: Pipeline, watching: Watching, idle: watch::Sender<bool>) {
    let mut attempts = pipeline.attempts();
    let wake = Arc::new(Notify::new());
    let mut eyes = None;
    loop {
        attempts.borrow_and_update();
        // The folders first, then the files: what changes in between wakes. The folders are opened anew each time,
        // because they may be others now, and a watcher may have died.
        let opened = open(&pipeline, &wake).await;
        if opened.is_none() && eyes.is_some() {
            tracing::warn!("the system tells of no changes any more; looking every {:?}", watching.longest);
        }
        eyes = opened;
        if is_stale(&pipeline).await {
            pipeline.reload(Trigger::Watch).await;
            // Never more often than this, whatever the files do. Then again: the files may be others now.
            sleep(watching.quiet).await;
            continue;
        }
        idle.send_replace(true);
        let pause = if eyes.is_some() { watching.poll } else { watching.longest };
        tokio::select! {
            () = wake.notified() => {
                idle.send_replace(false);
                settle(&wake, &watching).await;
            }
            // The files may be others now, whoever asked for the attempt.
            _ = attempts.changed() => {}
            () = sleep(pause) => {}
        }
        idle.send_replace(false);
    }
}

/// Waits until nothing happens any more.
async fn settle(wake: &Notify, watching: &Watching) {
    let end = Instant::now() + watching.longest;
    loop {
        let quiet = Instant::now() + watching.quiet;
        tokio::select! {
            () = wake.notified() => {}
            () = sleep_until(quiet.min(end)) => return,
        }
    }
}

/// Where a setting of the host cannot be asked for, nothing is known to have changed: the next look will tell.
async fn is_stale(pipeline: &Pipeline) -> bool {
    pipeline.in_background(Inner::is_stale).await.unwrap_or(false)
}

async fn open(pipeline: &Pipeline, wake: &Arc<Notify>) -> Option<Eyes> {
    let wake = Arc::clone(wake);
    pipeline.in_background(move |inner| Eyes::open(&inner.watched(), &wake)).await.ok().flatten()
}

// === impl Eyes ===

impl Eyes {
    /// Has the system tell of whatever happens in the folders of these files. `None` where it cannot.
    fn open(files: &[PathBuf], wake: &Arc<Notify>) -> Option<Self> {
        let wake = Arc::clone(wake);
        let told = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_reading(&event.kind)) {
                return;
            }
            wake.notify_one();
        };
        let seen = notify::recommended_watcher(told).and_then(|mut watcher| {
            for folder in files.iter().flat_map(|file| folders(file)).collect::<BTreeSet<_>>() {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        match seen {
            Ok(watcher) => Some(Self { _watcher: watcher }),
            Err(error) => {
                tracing::debug!(%error, "cannot be told of changes");
                None
            }
        }
    }
}

/// Looking at the files is an event too; who heeds it never rests.
fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

/// The folders whose changes can change what a path leads to: its own (or the nearest that is there), and that of
/// every symbolic link on the way.
fn folders(path: &Path) -> BTreeSet<PathBuf> {
    /// As many links as Linux follows.
    const LINKS: usize = 40;
    let mut folders = BTreeSet::new();
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for _ in 0..LINKS {
        let Some((link, target)) = first_link(&path) else { break };
        let Some(folder) = link.parent() else { break };
        let target = folder.join(target);
        let further = match path.strip_prefix(&link) {
            Ok(rest) if !rest.as_os_str().is_empty() => target.join(rest),
            _ => target,
        };
        folders.insert(folder.to_path_buf());
        path = further;
    }
    folders.extend(path.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_path_buf));
    folders
}

/// The first symbolic link on the way to a path, and what it says.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|part| Some((part.to_path_buf(), part.read_link().ok()?)))
}

#[cfg(test)]
mod tests;
