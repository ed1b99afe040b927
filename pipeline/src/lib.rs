//! Declared, proven, hot-reloaded pipelines of layers for any hyper server.
//!
//! A pipeline file names layers, chains of them and the routes that run them. [`plan()`] reads it: every fault at once,
//! each with its place, and a proof that every route has the access it needs and every layer what it relies on.
//! [`Pipeline`] runs it, and replaces it while it runs: whole or not at all, and at no request's cost.

mod alias;
mod build;
pub mod diagnostic;
mod diff;
mod document;
mod explain;
mod fields;
mod fingerprint;
#[cfg(test)]
mod harness;
mod host;
mod log;
mod mailbox;
mod outcome;
mod pattern;
mod pipeline;
pub mod plan;
mod proof;
mod reload;
mod schema;
mod secret;
mod settings;
mod snapshot;
mod state;
mod status;
mod value;
mod watch;

use std::sync::Arc;

pub use self::{
    diagnostic::{Diagnostic, Format, Location, Report, Severity},
    diff::{Changes, Reset},
    explain::{ExplainedLayer, Explanation, explain},
    fingerprint::Fingerprint,
    host::{Host, SettingsSource},
    outcome::{Applied, Attempt, Outcome, OutcomeKind, Trigger},
    pipeline::Pipeline,
    plan::{Plan, Planned, PlannedAlias, PlannedInstance, PlannedRoute, PlannedTest, Step, plan, plan_bytes},
    schema::schema,
    settings::{Finding, Settings, SettingsEnvironment, read_settings},
    snapshot::Snapshot,
    status::{Draining, InstanceStatus, Reloads, Status},
    watch::{Watcher, Watching},
};

/// How environment variables are looked up, so that a test needs none.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
