//! `/health` and `/health/ready` (R45, R46).

use std::time::Instant;

use flagstone_layers::kernel::{Problem, Response};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use crate::{context::Context, reply};

/// `GET /health`: the process runs. Touches nothing it depends on.
pub(crate) async fn live(context: Context) -> Result<Response, Problem> {
    let state = &context.state;
    let now = Timestamp::now();
    Ok(reply::json(&json!({
        "status": "ok",
        "timestamp": now,
        "uptime_seconds": now.as_second().saturating_sub(state.started.as_second()),
        "version": state.version,
    })))
}

/// `GET /health/ready`: the server takes requests and what it depends on answers.
pub(crate) async fn ready(context: Context) -> Result<Response, Problem> {
    let state = &context.state;
    let began = Instant::now();
    let database = state.services.ready().await;
    let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let database = match &database {
        Ok(()) => json!({ "status": "healthy", "latency_ms": latency }),
        Err(error) => json!({ "status": "unhealthy", "latency_ms": latency, "error": error.to_string() }),
    };
    let is_ready = state.readiness.is_serving() && database["status"] == "healthy";
    let mut response = reply::json(&json!({
        "status": if is_ready { "ready" } else { "not ready" },
        "timestamp": Timestamp::now(),
        "checks": { "database": database },
    }));
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}
