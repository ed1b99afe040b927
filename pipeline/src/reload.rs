//! One attempt to load a pipeline: read, prove, prepare; then swap, or leave everything as it is.

use std::{path::Path, sync::Arc, time::Instant};

use flagstone_layers::kernel::RouteSpec;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    build::{Before, build},
    diagnostic::Report,
    diff::Changes,
    fingerprint::Fingerprint,
    host::Host,
    outcome::{Applied, Attempt, Outcome, Trigger},
    plan::{Planned, plan_file},
    schema::Schemas,
    snapshot::Snapshot,
    state::States,
};

/// The most times a file is read anew because it names further files.
const ROUNDS: usize = 4;

/// What is read, and for whom: the same at every attempt.
pub(crate) struct Loader {
    path: Box<Path>,
    host: Host,
    specs: Vec<RouteSpec>,
    schemas: Schemas,
    alive: Arc<watch::Sender<usize>>,
}

/// What was read, whatever it is worth.
pub(crate) struct Read {
    planned: Planned,
    /// What the files were. Taken before they were read: a change since then is seen.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) fields: Vec<String>,
}

/// A pipeline that could run.
pub(crate) struct Candidate {
    pub(crate) snapshot: Snapshot,
    pub(crate) states: States,
    /// What it changes; nothing at the start.
    pub(crate) changes: Changes,
    /// The doubts.
    pub(crate) report: Report,
}

// === impl Loader ===

impl Loader {
    pub(crate) fn new(path: &Path, host: Host) -> Self {
        let specs = host.routes.iter().map(|(spec, _)| spec.clone()).collect();
        let schemas = Schemas::new(&host.registry);
        Self { path: path.into(), host, specs, schemas, alive: Arc::new(watch::Sender::new(0)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// How many snapshots are in memory.
    pub(crate) fn alive(&self) -> &watch::Sender<usize> {
        &self.alive
    }

    /// Reads and proves. `known` are the files of the last attempt.
    pub(crate) fn read(&self, known: &Fingerprint) -> Read {
        let mut fingerprint = Fingerprint::of(known.paths().chain([&*self.path]));
        let mut planned = self.plan();
        for _ in 1..ROUNDS {
            if fingerprint.covers(&planned.sources) {
                break;
            }
            fingerprint = Fingerprint::of(planned.sources.iter().map(|path| &**path).chain([&*self.path]));
            planned = self.plan();
        }
        fingerprint.keep(&planned.sources, &self.path);
        let fields = self.changed_settings();
        Read { planned, fingerprint, fields }
    }

    fn plan(&self) -> Planned {
        let Host { registry, variables, .. } = &self.host;
        plan_file(&self.path, &self.schemas, registry, &self.specs, variables)
    }

    /// The settings of the host that need a restart.
    pub(crate) fn changed_settings(&self) -> Vec<String> {
        self.host.settings.as_ref().map(|settings| settings.changed()).unwrap_or_default()
    }

    /// Prepares what was read. Changes nothing.
    pub(crate) fn prepare(
        &self,
        read: &mut Read,
        before: Option<&Snapshot>,
        states: &States,
    ) -> Result<Candidate, Report> {
        let mut report = std::mem::take(&mut read.planned.report);
        let Some(plan) = &read.planned.plan else { return Err(report) };
        let mut draft = states.draft();
        let digest = read.planned.digest.clone();
        let before = Before { snapshot: before, alive: &self.alive };
        match build(plan, digest, &self.host, &mut draft, &before) {
            Ok(snapshot) => {
                let changes = before
                    .snapshot
                    .map(|before| Changes::between(before, &snapshot, &self.specs))
                    .unwrap_or_default();
                Ok(Candidate { snapshot, states: draft.commit(Instant::now()), changes, report })
            }
            Err(faults) => {
                report.extend(faults);
                Err(report)
            }
        }
    }
}

// === impl Read ===

impl Read {
    pub(crate) fn digest(&self) -> &str {
        &self.planned.digest
    }

    /// What it comes to where the pipeline runs already.
    pub(crate) fn unchanged(&self, generation: u64) -> Outcome {
        match &*self.fields {
            [] => Outcome::Unchanged { generation },
            fields => Outcome::RestartRequired { fields: fields.to_vec(), applied: None },
        }
    }

    pub(crate) fn rejected(&self, report: Report) -> Outcome {
        Outcome::Rejected { diagnostics: report.diagnostics, fields: self.fields.clone() }
    }

    pub(crate) fn attempt(&self, trigger: Trigger, outcome: &Outcome) -> Attempt {
        Attempt {
            trigger,
            outcome: outcome.kind(),
            at: Timestamp::now(),
            digest: self.planned.digest.clone(),
            diagnostics: outcome.diagnostics().to_vec(),
            fields: self.fields.clone(),
            changes: outcome.applied().map(|applied| applied.changes.clone()),
            sources: self.planned.sources.clone(),
        }
    }
}

// === impl Candidate ===

impl Candidate {
    /// What it comes to once it runs.
    pub(crate) fn applied(&self, fields: &[String]) -> Outcome {
        let applied = Applied {
            generation: self.snapshot.generation.number(),
            digest: self.snapshot.digest.clone(),
            changes: self.changes.clone(),
            diagnostics: self.report.diagnostics.clone(),
        };
        match fields {
            [] => Outcome::Applied(applied),
            fields => Outcome::RestartRequired { fields: fields.to_vec(), applied: Some(applied) },
        }
    }
}
