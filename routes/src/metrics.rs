//! `/metrics` (R47).

use flagstone_layers::kernel::{Problem, Response};
use http::{HeaderValue, header::CONTENT_TYPE};

use crate::{context::Context, reply};

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    let mut response = reply::json_bytes(context.state.figures.encode());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}
