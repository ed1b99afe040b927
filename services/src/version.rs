//! Optimistic versions: who changes something says what it was when they read it.

use crate::error::ServiceError;

/// The version a caller expects, from `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// `If-Match: *`: whatever it is by now.
    Any,
    /// This version.
    Version(u64),
}

impl Expected {
    /// Compares with the version it has.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`].
    pub(crate) fn check(self, current: u64) -> Result<(), ServiceError> {
        match self {
            Self::Version(version) if version != current => Err(ServiceError::StaleVersion { current }),
            Self::Any | Self::Version(_) => Ok(()),
        }
    }
}
