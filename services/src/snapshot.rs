//! What an environment answers from: immutable, in memory, swapped as a whole.

mod definitions;
mod dependents;
mod loader;
mod registry;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{self as engine, Change};
use jiff::Timestamp;
use uuid::Uuid;

pub use definitions::{DefinedConfig, DefinedFlag, Definitions, FlagDefinition};
pub(crate) use dependents::{Reference, With};
pub(crate) use loader::Loader;
pub use registry::Snapshots;

use crate::hub::{Channel, StreamCounters};
use crate::projects::Environment;
use crate::store::{Executor, StoreError};

/// One state of an environment.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the environment's changes.
    pub revision: u64,
    /// When this state was made.
    pub changed_at: Timestamp,
    /// The definitions, in the order of the compiled flags: what server SDKs evaluate for themselves.
    pub flags: Vec<FlagDefinition>,
    /// The segments, JSON objects, by key.
    pub segments: BTreeMap<Arc<str>, Arc<str>>,
    /// The same, compiled: what is evaluated.
    pub compiled: engine::Environment,
    /// The definitions as they were last asked for.
    written: Mutex<Option<Bytes>>,
}

/// An environment and its present snapshot. Loading the snapshot never waits.
pub struct EnvironmentHandle {
    /// The environment's id.
    pub id: Uuid,
    /// The project's key.
    pub project: Box<str>,
    /// The environment's key.
    pub environment: Box<str>,
    /// Both as log lines have them (R52).
    pub context: Arc<[(&'static str, Box<str>)]>,
    /// What it answers from.
    pub snapshot: ArcSwap<Snapshot>,
    /// Its streams.
    pub(crate) channel: Channel,
    /// Keys asked for that do not exist, and how often, since the last flush.
    pub(crate) unknown: Mutex<HashMap<Box<str>, u32>>,
}

/// A change of a snapshot.
pub(crate) enum Patch {
    PutFlag(Arc<Flag>, Box<FlagConfig>, FlagDefinition),
    RemoveFlag(Box<str>),
    PutSegment(Arc<Segment>, Arc<str>),
    RemoveSegment(Box<str>),
}

impl EnvironmentHandle {
    pub(crate) fn new(
        environment: &Environment,
        project: &str,
        snapshot: Snapshot,
        counters: &Arc<StreamCounters>,
    ) -> Self {
        Self {
            id: environment.id,
            project: project.into(),
            environment: environment.key.as_str().into(),
            context: [("project", project.into()), ("environment", environment.key.as_str().into())].into(),
            channel: Channel::new(snapshot.revision, counters.clone()),
            snapshot: ArcSwap::from_pointee(snapshot),
            unknown: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for EnvironmentHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "EnvironmentHandle({}/{})", self.project, self.environment)
    }
}

impl Snapshot {
    /// Reads the environment's state as the transaction sees it.
    pub(crate) async fn load(
        executor: &mut impl Executor,
        environment: &Environment,
    ) -> Result<Self, StoreError> {
        Loader::of_project(executor, environment.project_id).await?.environment(executor, environment).await
    }

    /// Whether this is the state that the database has.
    pub(crate) fn is_current(&self, environment: &Environment) -> bool {
        (self.revision, self.changed_at) == (environment.revision, environment.changed_at)
    }

    /// This state with one change. What did not change is shared.
    pub(crate) fn patched(&self, revision: u64, now: Timestamp, patch: &Patch) -> Self {
        let (mut flags, mut segments) = (self.flags.clone(), self.segments.clone());
        let change = match patch {
            Patch::PutFlag(flag, config, _) => Change::Flag(flag, config),
            Patch::RemoveFlag(key) => Change::NoFlag(key),
            Patch::PutSegment(segment, _) => Change::Segment(segment),
            Patch::RemoveSegment(key) => Change::NoSegment(key),
        };
        let compiled = self.compiled.patched([change]);
        match patch {
            Patch::PutFlag(flag, _, definition) => {
                let before = self.compiled.flag_position(&flag.key);
                if let Some(known) = before.and_then(|place| flags.get_mut(place)) {
                    *known = definition.clone();
                } else if let Some(place) = compiled.flag_position(&flag.key) {
                    flags.insert(place, definition.clone());
                }
            }
            Patch::RemoveFlag(key) => {
                if let Some(place) = self.compiled.flag_position(key) {
                    flags.remove(place);
                }
            }
            Patch::PutSegment(segment, text) => {
                segments.insert(segment.key.as_str().into(), text.clone());
            }
            Patch::RemoveSegment(key) => {
                segments.remove(&**key);
            }
        }
        Self { revision, changed_at: now, flags, segments, compiled, written: Mutex::default() }
    }
}
