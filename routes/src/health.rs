//! `/health` and `/health/ready` (R45, R46).

use std::time::{Duration, Instant};

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    GET, Routes,
    context::Context,
    openapi::{Operation, of},
    reply,
    state::Dependency,
};

#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
    timestamp: Timestamp,
    /// Whole seconds since the start.
    uptime_seconds: i64,
    version: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Readiness {
    /// `ready` or `not ready`.
    status: &'static str,
    timestamp: Timestamp,
    checks: Checks,
}

/// What the server depends on.
#[derive(Serialize, JsonSchema)]
struct Checks {
    database: Check,
    /// The connection that hears of what other instances change, where they share the database. Without it the server
    /// looks for it once a second, and is ready all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    change_listener: Option<Check>,
    /// Where rate limits are shared through it. Without it each server counts alone, and is ready all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Check>,
}

#[derive(Serialize, JsonSchema)]
struct Check {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// How long the answer took, in milliseconds.
    latency_ms: u64,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn add(routes: &mut Routes) {
    routes.add(
        RouteSpec::new(GET, "/health", "health", Access::Public).inline(),
        Operation::new("Health", "Whether the process runs").gives("It runs.", of::<Health>),
        live,
    );
    routes.add(
        RouteSpec::new(GET, "/health/ready", "readiness", Access::Public),
        Operation::new("Health", "Whether the server takes requests and what it depends on answers")
            .gives("It is ready.", of::<Readiness>)
            .answers(503, "It is not ready.", "application/json", of::<Readiness>),
        ready,
    );
}

/// `GET /health`: the process runs. Touches nothing it depends on.
pub(crate) async fn live(context: Context) -> Result<Response, Problem> {
    let state = &context.state;
    let now = Timestamp::now();
    Ok(reply::json(&Health {
        status: "ok",
        timestamp: now,
        uptime_seconds: now.as_second().saturating_sub(state.started.as_second()),
        version: state.version,
    }))
}

/// `GET /health/ready`: the server takes requests and what it depends on answers.
pub(crate) async fn ready(context: Context) -> Result<Response, Problem> {
    let state = &context.state;
    let began = Instant::now();
    let database = state.services.ready().await;
    let is_ready = state.readiness.is_serving() && database.is_ok();
    let database = Check::new(Dependency {
        latency: began.elapsed(),
        error: database.err().map(|error| error.to_string()),
    });
    let change_listener = state.services.following().map(|following| {
        let (latency, error) = match following.listener {
            Ok(latency) => (latency, None),
            Err(error) => (Duration::ZERO, Some(error)),
        };
        Check::new(Dependency { latency, error })
    });
    let mut response = reply::json(&Readiness {
        status: if is_ready { "ready" } else { "not ready" },
        timestamp: Timestamp::now(),
        checks: Checks { database, change_listener, redis: state.readiness.redis().map(Check::new) },
    });
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

// === impl Check ===

impl Check {
    fn new(dependency: Dependency) -> Self {
        let Dependency { latency, error } = dependency;
        Self {
            status: if error.is_none() { "healthy" } else { "unhealthy" },
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            error,
        }
    }
}
