//! `/metrics` (R47).

use flagstone_layers::kernel::{Access, Problem, Response, RouteSpec};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

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

/// `GET /metrics`: OpenMetrics to who accepts it, else Prometheus' text format.
pub(crate) async fn show(context: Context) -> Result<Response, Problem> {
    let mut response = reply::json_bytes(context.state.figures.encode());
    response.headers_mut().insert(CONTENT_TYPE, content_type(context.head.headers()));
    Ok(response)
}

/// What figures are called to who asks with these headers. One text is right in both formats.
pub fn content_type(headers: &HeaderMap) -> HeaderValue {
    let open = |accepted: &HeaderValue| {
        accepted.to_str().is_ok_and(|accepted| accepted.contains("application/openmetrics-text"))
    };
    HeaderValue::from_static(match headers.get_all(ACCEPT).iter().any(open) {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    })
}
