//! Declared, proven, hot-reloaded pipelines of layers for any hyper server.
//!
//! A pipeline file names layers, chains of them and the routes that run them. [`plan()`] reads it: every fault at once,
//! each with its place, and a proof that every route has the access it needs and every layer what it relies on.

pub mod diagnostic;
pub mod plan;
mod secret;

use std::sync::Arc;

pub use self::{
    diagnostic::{Diagnostic, Format, Location, Report, Severity},
    plan::{Plan, Planned, PlannedAlias, PlannedInstance, PlannedRoute, PlannedTest, Step},
};

/// How environment variables are looked up, so that a test needs none.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
