//! `/api/management/pipeline`

use flagstone_layers::kernel::{Problem, Response};

use crate::{context::Context, reply};

/// `GET /api/management/pipeline`: what runs, and how the last attempt to change it ended.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    Ok(reply::json(&context.state.pipeline.status()))
}
