//! What answers a request that no route does.

use flagstone_layers::kernel::{Matched, Problem, Request, Response};
use http::{HeaderValue, StatusCode, header::ALLOW};

/// The longest target of a request, path and query, in bytes. A server routes longer ones to the fallback.
pub const TARGET_BYTES: usize = 8 * 1024;

/// 404 for an unknown path, 405 with `Allow` for a known one, 414 for a target that is too long.
pub(crate) fn answer(request: &Request) -> Response {
    let exchange = request.exchange();
    let target = request.head().uri().path_and_query().map_or(0, |target| target.as_str().len());
    let problem = match exchange.matched() {
        Matched::MethodNotAllowed { allow } => {
            let problem = Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                format!("This path takes {allow}."),
            );
            match HeaderValue::from_str(allow) {
                Ok(allow) => problem.header(ALLOW, allow),
                Err(_) => problem,
            }
        }
        _ if target > TARGET_BYTES => Problem::new(
            StatusCode::URI_TOO_LONG,
            "URI_TOO_LONG",
            format!("A request's target is at most {TARGET_BYTES} bytes."),
        ),
        _ => Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such path."),
    };
    problem.into_response(exchange)
}

/// What a route answers in a process that serves nothing.
pub(crate) fn no_server(request: &Request) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "This process serves nothing.")
        .into_response(request.exchange())
}
