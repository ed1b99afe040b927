//! Declared, proven, hot-reloaded pipelines of layers for any hyper server.
//!
//! A pipeline file names layers, chains of them and the routes that run them. [`plan()`] reads it: every fault at once,
//! each with its place, and a proof that every route has the access it needs and every layer what it relies on.

mod alias;
pub mod diagnostic;
mod document;
mod explain;
mod fields;
mod pattern;
pub mod plan;
mod proof;
mod schema;
mod secret;
mod value;

use std::sync::Arc;

pub use self::{
    diagnostic::{Diagnostic, Format, Location, Report, Severity},
    explain::{ExplainedLayer, Explanation, explain},
    plan::{Plan, Planned, PlannedAlias, PlannedInstance, PlannedRoute, PlannedTest, Step, plan, plan_bytes},
    schema::schema,
};

/// How environment variables are looked up, so that a test needs none.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
