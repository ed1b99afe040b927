//! `/metrics` (R47).

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use http::{HeaderValue, header::CONTENT_TYPE};

use crate::{
    GET, Routes,
    context::Context,
    openapi::{Operation, of},
    reply,
};

pub(crate) fn add(routes: &mut Routes) {
    routes.add(
        RouteSpec::new(GET, "/metrics", "metrics", Access::Public).optional(),
        Operation::new("Health", "The server's figures")
            .described("Only where the pipeline has an entry for it; the admin listener always has it.")
            .answers(200, "Prometheus' text format.", "text/plain", of::<String>),
        show,
    );
}

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    let mut response = reply::json_bytes(context.state.figures.encode());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}
