//! What a service's error is answered with.

use flagstone_layers::kernel::{Fault, Problem};
use flagstone_services::error::ServiceError;
use http::StatusCode;

/// Turns a service's error into the answer of DESIGN's table.
pub(crate) fn from_service(error: ServiceError) -> Problem {
    match error {
        ServiceError::NotFound(what) => {
            Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("There is no such {what}."))
        }
        ServiceError::Conflict { code, detail } => {
            Problem::new(StatusCode::CONFLICT, "CONFLICT", detail.clone()).errors(vec![Fault {
                pointer: String::new(),
                code: code.into(),
                detail,
            }])
        }
        ServiceError::StaleVersion { current } => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "STALE_VERSION",
            format!("It has version {current} by now: read it again and repeat the change."),
        ),
        ServiceError::Invalid(faults) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "INVALID",
            "The document has faults: see `errors`.",
        )
        .errors(
            faults
                .into_iter()
                .map(|fault| Fault { pointer: fault.pointer, code: fault.code.into(), detail: fault.detail })
                .collect(),
        ),
        ServiceError::Unauthenticated => {
            Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "The credentials are not valid.")
        }
        ServiceError::Forbidden => {
            Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", "You are not allowed to do this.")
        }
        ServiceError::TooManyAttempts { retry_after } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TOO_MANY_ATTEMPTS",
            "Too many attempts failed: wait before the next.",
        )
        .retry_after(retry_after.as_secs().max(1)),
        ServiceError::Unavailable { retry_after, reason } => {
            tracing::warn!(%reason, "a request could not be served");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "The database cannot be reached at the moment. Flags are still evaluated.",
            )
            .retry_after(retry_after.as_secs().max(1))
        }
        ServiceError::Internal(reason) => {
            tracing::error!(%reason, "a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "The server could not answer.")
        }
    }
}
