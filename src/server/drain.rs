//! The phases of a server's end (R74), as everybody who takes part sees them.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{runtime::Handle, sync::watch};
use tokio_util::task::TaskTracker;

use super::when_woken::when_woken;

/// How far the end has come. Phases only go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// All is well.
    Serving,
    /// Readiness fails, so that load balancers send nobody new; requests are served.
    NotReady,
    /// Nobody new is accepted; connections end after the request they are at.
    Draining,
    /// Time is up: connections are dropped.
    Aborting,
}

/// Leads through the phases and counts who is still there.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    phase: watch::Sender<Phase>,
    tasks: TaskTracker,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), tasks: TaskTracker::new() }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// A receiver of one's own: thousands of waiters on one notifier would contend.
    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Runs a task that the end waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a task that the end waits for on another runtime.
    pub(crate) fn spawn_on(&self, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.tasks.spawn_on(task, runtime);
    }

    /// The tasks that still run.
    pub(crate) fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until all tasks are done; `false` when they are not within `deadline`.
    pub(crate) async fn finished(&self, deadline: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok()
    }
}

/// Waits until the phase is `phase` or a later one.
pub(crate) async fn reached(watch: &mut watch::Receiver<Phase>, phase: Phase) {
    // The sender lives as long as the server; without it there is nothing to wait for.
    let _ = when_woken(pin!(watch.wait_for(|now| *now >= phase))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_go_forward() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        drain.enter(Phase::Draining);
        drain.enter(Phase::NotReady);
        assert_eq!(drain.phase(), Phase::Draining);
        reached(&mut watch, Phase::NotReady).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_tasks_until_its_deadline() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        drain.spawn(async move { reached(&mut watch, Phase::Aborting).await });
        assert!(!drain.finished(Duration::from_secs(1)).await);
        drain.enter(Phase::Aborting);
        assert!(drain.finished(Duration::from_secs(1)).await);
        assert_eq!(drain.running(), 0);
    }
}
