//! What runs, what ran, and what came of the last attempt.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use flagstone_layers::kernel::{Generation, Readmission};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    outcome::{Attempt, OutcomeKind, Trigger},
    snapshot::{Running, Snapshot},
};

/// A pipeline's state, for people and for metrics. Times are written as RFC 3339.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The number of the generation that runs; the first is 1.
    pub generation: u64,
    /// The SHA-256 of what it was made from, in hexadecimal.
    pub digest: String,
    /// Since when it runs.
    pub applied_at: Timestamp,
    /// The last attempt to load one, whether it came to something or not.
    pub last_attempt: Attempt,
    /// The layers' instances.
    pub instances: Vec<InstanceStatus>,
    /// Older generations that requests or streams still run on.
    pub draining: Vec<Draining>,
    /// Streams that were ended because a reload made rules that refuse them.
    pub streams_ended: u64,
    /// Snapshots in memory: one, but for the moment of a swap.
    pub snapshots: usize,
    /// When an attempt last went well.
    pub last_success_at: Timestamp,
    /// How many attempts there were, by trigger and outcome.
    pub reloads: Vec<Reloads>,
}

/// A layer's instance as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// Its name in the file.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it only counts what it would have refused.
    pub observe: bool,
    /// The generation since which its settings are what they are.
    pub since_generation: u64,
    /// Whether its state comes from the generation before.
    pub carried: bool,
    /// Why the last reload gave its state up, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<&'static str>,
    /// Requests it refused since it is there.
    pub refused: u64,
    /// Requests it would have refused, had it not been in observe mode.
    pub observed: u64,
}

/// An older generation that something still runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draining {
    /// Its number.
    pub generation: u64,
    /// Requests without an answer yet, or whose answer is still being sent.
    pub requests: usize,
    /// Open streams.
    pub streams: usize,
}

/// How many attempts came to one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reloads {
    /// What asked for them.
    pub trigger: Trigger,
    /// What came of them.
    pub outcome: OutcomeKind,
    /// How many.
    pub count: u64,
}

/// The generations that were replaced and may still be run on.
#[derive(Default)]
pub(crate) struct Retired(Vec<(Weak<Generation>, Weak<Snapshot>)>);

/// Counts attempts.
#[derive(Default)]
pub(crate) struct ReloadCounts {
    counts: BTreeMap<(Trigger, OutcomeKind), u64>,
    last_success: Timestamp,
}

// === impl InstanceStatus ===

impl From<&Running> for InstanceStatus {
    fn from(running: &Running) -> Self {
        Self {
            name: running.name.to_string(),
            kind: running.kind,
            observe: running.observe,
            since_generation: running.since,
            carried: running.carried,
            reset: running.reset,
            refused: running.stats.refused(),
            observed: running.stats.observed(),
        }
    }
}

// === impl Retired ===

impl Retired {
    pub(crate) fn add(&mut self, snapshot: &Arc<Snapshot>) {
        self.0.retain(|(generation, _)| generation.strong_count() > 0);
        self.0.push((Arc::downgrade(&snapshot.generation), Arc::downgrade(snapshot)));
    }

    /// Has the streams that still run on them asked again: those that are refused now end.
    pub(crate) fn recheck(&self, readmission: &dyn Readmission) {
        for generation in self.0.iter().filter_map(|(generation, _)| generation.upgrade()) {
            generation.recheck(readmission);
        }
    }

    /// What still runs on them. Counts are of one moment each and may be off by a request that just ended.
    pub(crate) fn draining(&self) -> Vec<Draining> {
        self.0.iter().filter_map(|(generation, snapshot)| draining(generation, snapshot)).collect()
    }
}

fn draining(generation: &Weak<Generation>, snapshot: &Weak<Snapshot>) -> Option<Draining> {
    let generation = generation.upgrade()?;
    let streams = generation.streams();
    // This very handle and a snapshot that is still in memory hold it too.
    let others = 1 + usize::from(snapshot.strong_count() > 0);
    let requests = Arc::strong_count(&generation).saturating_sub(others + streams);
    (requests + streams > 0).then(|| Draining { generation: generation.number(), requests, streams })
}

// === impl ReloadCounts ===

impl ReloadCounts {
    pub(crate) fn count(&mut self, attempt: &Attempt) {
        *self.counts.entry((attempt.trigger, attempt.outcome)).or_default() += 1;
        if attempt.outcome.is_success() {
            self.last_success = attempt.at;
        }
    }

    pub(crate) fn last_success(&self) -> Timestamp {
        self.last_success
    }

    pub(crate) fn list(&self) -> Vec<Reloads> {
        let reloads = self.counts.iter();
        reloads.map(|(&(trigger, outcome), &count)| Reloads { trigger, outcome, count }).collect()
    }
}
