//! What an environment answers from: immutable, in memory, swapped as a whole.

mod dependents;
mod registry;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use flagstone_engine::{self as engine, Change};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) use dependents::{Reference, With};
pub use registry::Snapshots;

use crate::hub::{Channel, StreamCounters};
use crate::projects::Environment;
use crate::store::{Executor, StoreError, flags, segments};

/// One state of an environment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts the environment's changes.
    pub revision: u64,
    /// When this state was made.
    pub changed_at: Timestamp,
    /// The definitions, by key: what server SDKs evaluate for themselves.
    pub flags: BTreeMap<Arc<str>, Arc<FlagDefinition>>,
    /// The segments, by key.
    pub segments: BTreeMap<Arc<str>, Arc<Segment>>,
    /// The same, compiled: what is evaluated.
    pub compiled: engine::Environment,
}

/// A flag as one environment has it.
#[derive(Debug, Clone)]
pub struct FlagDefinition {
    /// Its own fields.
    pub flag: Arc<Flag>,
    /// The version of its own fields.
    pub version: u64,
    /// Its configuration here.
    pub config: FlagConfig,
    /// The configuration's version; 0 where none is stored.
    pub config_version: u64,
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
    PutFlag(Arc<FlagDefinition>),
    RemoveFlag(Box<str>),
    PutSegment(Arc<Segment>),
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
        let mut configs = flags::configs_of_environment(executor, environment.id).await?;
        let records = flags::of_project(executor, environment.project_id).await?;
        let definitions = records.into_iter().map(|record| {
            let stored = configs.remove(&(record.id, environment.id));
            let definition = FlagDefinition {
                version: record.version,
                config_version: stored.as_ref().map_or(0, |stored| stored.version),
                config: stored.map_or_else(|| FlagConfig::implicit(&record.flag), |stored| stored.config),
                flag: record.flag,
            };
            (definition.flag.key.as_str().into(), Arc::new(definition))
        });
        let flags: BTreeMap<_, _> = definitions.collect();
        let records = segments::of_project(executor, environment.project_id).await?;
        let segments: BTreeMap<Arc<str>, _> =
            records.into_iter().map(|record| (record.segment.key.as_str().into(), record.segment)).collect();
        let compiled = engine::Environment::new(
            flags.values().map(|definition: &Arc<FlagDefinition>| (&*definition.flag, &definition.config)),
            segments.values().map(|segment| &**segment),
        );
        let (revision, changed_at) = (environment.revision, environment.changed_at);
        Ok(Self { revision, changed_at, flags, segments, compiled })
    }

    /// Whether this is the state that the database has.
    pub(crate) fn is_current(&self, environment: &Environment) -> bool {
        (self.revision, self.changed_at) == (environment.revision, environment.changed_at)
    }

    /// This state with one change. What did not change is shared.
    pub(crate) fn patched(&self, revision: u64, now: Timestamp, patch: &Patch) -> Self {
        let (mut flags, mut segments) = (self.flags.clone(), self.segments.clone());
        let change = match patch {
            Patch::PutFlag(definition) => {
                flags.insert(definition.flag.key.as_str().into(), definition.clone());
                Change::Flag(&definition.flag, &definition.config)
            }
            Patch::RemoveFlag(key) => {
                flags.remove(&**key);
                Change::NoFlag(key)
            }
            Patch::PutSegment(segment) => {
                segments.insert(segment.key.as_str().into(), segment.clone());
                Change::Segment(segment)
            }
            Patch::RemoveSegment(key) => {
                segments.remove(&**key);
                Change::NoSegment(key)
            }
        };
        let compiled = self.compiled.patched([change]);
        Self { revision, changed_at: now, flags, segments, compiled }
    }
}
