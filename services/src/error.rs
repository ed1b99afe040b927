//! Why a service did not do as asked.

use std::time::Duration;

use crate::store::StoreError;

/// How long a client is told to wait where the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a service did not do as asked. The status is what a route answers; the mapping itself is the route's.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// 404: there is none, or not in this project.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// 409: it cannot be done in the present state; the text says what is in the way.
    #[error("{detail}")]
    Conflict {
        /// Stable, for programs: `exists`, `in_use`, `key_limit`, `setup_done`, …
        code: &'static str,
        /// For people: what is in the way and what to do.
        detail: String,
    },
    /// 412: it was changed since the caller read it.
    #[error("it has version {current} by now: read it again and repeat the change")]
    StaleVersion {
        /// The version it has now.
        current: u64,
    },
    /// 422: the document or a field of it is wrong; all faults at once.
    #[error("{} fault(s) in the document", .0.len())]
    Invalid(Vec<Fault>),
    /// 401: wrong credentials, or a session that is over. Says nothing of which.
    #[error("not signed in")]
    Unauthenticated,
    /// 403: this actor may not.
    #[error("not allowed")]
    Forbidden,
    /// 429: too many attempts.
    #[error("too many attempts")]
    TooManyAttempts {
        /// When to try again.
        retry_after: Duration,
    },
    /// 503: the database or a worker cannot do it now.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log, not for the client.
        reason: String,
    },
    /// 500: a fault of this program. The text is for the log, not for the client.
    #[error("internal fault: {0}")]
    Internal(String),
}

/// One thing that is wrong with a document.
pub use flagstone_engine::Fault;

impl ServiceError {
    /// A conflict with its code and what a person reads.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    /// One fault at `pointer` (RFC 6901).
    pub(crate) fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault { pointer: pointer.to_owned(), code, detail: detail.into() }])
    }
}

impl From<StoreError> for ServiceError {
    /// Constraints that a service expects it handles itself; whatever else arrives here is a fault.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::Unavailable { retry_after: RETRY_AFTER, reason },
            StoreError::ZeroCharacter => Self::invalid(
                "",
                "bad_text",
                "no text may hold the character U+0000, in the document as in the address",
            ),
            StoreError::Constraint { .. } | StoreError::Refused(_) | StoreError::Statement(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}
