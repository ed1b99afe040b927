//! `/api/management/pipeline`

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::{GET, Routes, context::Context, openapi::Operation, reply};

pub(crate) fn add(routes: &mut Routes) {
    routes.add(
        RouteSpec::new(GET, "/api/management/pipeline", "pipeline_status", Access::Admin),
        Operation::new("Pipeline", "What runs, and how the last attempt to change it ended")
            .gives("The pipeline's status.", status),
        show,
    );
}

/// The pipeline knows the rest of its status itself.
fn status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "generation": { "type": "integer", "minimum": 1, "description": "Which pipeline runs, from 1." },
            "digest": { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The SHA-256 of what it was made from." },
            "applied_at": { "type": "string", "format": "date-time" },
            "last_attempt": { "type": "object", "description": "What the last attempt to load one came to." },
            "instances": { "type": "array", "items": { "type": "object" }, "description": "The layers with their figures." },
            "draining": { "type": "array", "items": { "type": "object" }, "description": "Older ones that requests still run on." },
        },
        "required": ["generation", "digest", "applied_at", "last_attempt", "instances", "draining"],
        "additionalProperties": true,
    })
}

/// `GET /api/management/pipeline`: what runs, and how the last attempt to change it ended.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    Ok(reply::json(&context.state.pipeline.status()))
}
