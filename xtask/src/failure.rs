//! What can go wrong outside the tests themselves.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("interrupted")]
    Interrupted,
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot run {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("{command}: {status}")]
    Exit { command: String, status: ExitStatus },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{origin}: cannot be read: {reason}")]
    Unreadable { origin: String, reason: String },
    #[error("failed: {}", .0.join(", "))]
    Steps(Vec<&'static str>),
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
    #[error("{0}")]
    Setup(String),
    #[error("the server {0}")]
    Server(String),
}

impl Failure {
    /// For `map_err` on an operation on the file at `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    /// `Ok` when nothing was found.
    pub(crate) fn unless_empty(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::Problems(problems)) }
    }
}
