//! From a pipeline file to a plan, or to diagnostics.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod access;
mod coverage;
mod diagnostics;
mod explain;
mod input;
mod kinds;
mod order;
mod schema;
mod secrets;
mod values;

use std::{collections::HashMap, path::Path, sync::Arc};

use flagstone_layers::kernel::{Access, RouteSpec};
use flagstone_pipeline::{Format, Plan, Planned, Variables, plan_bytes};
use http::Method;

/// A small server's routes.
fn routes() -> Vec<RouteSpec> {
    vec![
        RouteSpec::new(Method::GET, "/health", "health", Access::Public),
        RouteSpec::new(Method::POST, "/api/auth/login", "login", Access::Public),
        RouteSpec::new(Method::GET, "/api/users", "users.list", Access::Admin),
        RouteSpec::new(Method::GET, "/api/users/{id}", "users.get", Access::Admin),
        RouteSpec::new(Method::GET, "/api/projects", "projects.list", Access::Member),
        RouteSpec::new(Method::POST, "/api/projects", "projects.create", Access::Admin),
        RouteSpec::new(Method::POST, "/sdk/evaluate", "evaluate", Access::AnyKey),
        RouteSpec::new(Method::GET, "/sdk/stream", "stream", Access::AnyKey).streaming(),
        RouteSpec::new(Method::GET, "/metrics", "metrics", Access::Public).optional(),
    ]
}

/// A pipeline for these routes without a fault.
const GOOD: &str = include_str!("good.toml");

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs: HashMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(move |name| pairs.get(name).cloned())
}

fn planned(text: &str) -> Planned {
    plan_with(Path::new("pipeline.toml"), text.as_bytes(), &[])
}

fn plan_with(path: &Path, bytes: &[u8], pairs: &[(&str, &str)]) -> Planned {
    plan_bytes(path, bytes, &kinds::registry(), &routes(), &variables(pairs))
}

/// The plan of a text without faults.
fn plan_of(text: &str) -> Plan {
    let planned = planned(text);
    match planned.plan {
        Some(plan) => plan,
        None => panic!("{}", planned.report.render(Format::Human, false)),
    }
}

/// What a person reads.
fn human(text: &str) -> String {
    planned(text).report.render(Format::Human, false)
}

/// The codes of what was found, in the order of the file.
fn codes(text: &str) -> Vec<&'static str> {
    planned(text).report.diagnostics.iter().map(|found| found.code).collect()
}

/// [`GOOD`] with one text in place of another.
fn changed(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    GOOD.replace(from, to)
}
