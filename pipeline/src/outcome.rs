//! What a reload comes to.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::{diagnostic::Diagnostic, diff::Changes};

/// What asked for a pipeline to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The process started.
    Start,
    /// A watched file changed.
    Watch,
    /// The process got a signal.
    Signal,
    /// An operator asked for it.
    Admin,
}

/// What came of it. Written as an object whose `outcome` is the variant's name in snake case.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The new pipeline runs. In a dry run: it could.
    Applied(Applied),
    /// The files are those of the pipeline that runs.
    Unchanged {
        /// The generation that goes on.
        generation: u64,
    },
    /// The new pipeline has faults; the last good one goes on.
    Rejected {
        /// All of them.
        diagnostics: Vec<Diagnostic>,
        /// Settings of the host that changed and need a restart.
        fields: Vec<String>,
    },
    /// Settings of the host changed that need a restart. The pipeline was applied all the same.
    RestartRequired {
        /// The settings' names.
        fields: Vec<String>,
        /// What was applied; `None` where the pipeline did not change.
        applied: Option<Applied>,
    },
}

/// A pipeline that was applied.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// The number of its generation. In a dry run: the one it would have had.
    pub generation: u64,
    /// The SHA-256 of what it was made from, in hexadecimal.
    pub digest: String,
    /// What it changed.
    pub changes: Changes,
    /// Doubts that did not stop it.
    pub diagnostics: Vec<Diagnostic>,
}

/// An [`Outcome`] by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// [`Outcome::Applied`]
    Applied,
    /// [`Outcome::Unchanged`]
    Unchanged,
    /// [`Outcome::Rejected`]
    Rejected,
    /// [`Outcome::RestartRequired`]
    RestartRequired,
}

/// One attempt to load a pipeline, as the status shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// What asked for it.
    pub trigger: Trigger,
    /// What came of it.
    pub outcome: OutcomeKind,
    /// When it ended.
    pub at: Timestamp,
    /// The SHA-256 of what was read.
    pub digest: String,
    /// The faults where it was rejected, else the doubts.
    pub diagnostics: Vec<Diagnostic>,
    /// Settings of the host that changed and need a restart.
    pub fields: Vec<String>,
    /// What it changed, where something was applied.
    pub changes: Option<Changes>,
    /// The files that were read, or would have been had they been there.
    pub sources: Vec<PathBuf>,
}

// === impl Trigger ===

impl Trigger {
    /// Every trigger, in the order above.
    pub const ALL: [Self; 4] = [Self::Start, Self::Watch, Self::Signal, Self::Admin];

    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Watch => "watch",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Its name.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Applied(_) => OutcomeKind::Applied,
            Self::Unchanged { .. } => OutcomeKind::Unchanged,
            Self::Rejected { .. } => OutcomeKind::Rejected,
            Self::RestartRequired { .. } => OutcomeKind::RestartRequired,
        }
    }

    /// What was found: the faults where it was rejected, else the doubts.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Rejected { diagnostics, .. } => diagnostics,
            _ => self.applied().map_or(&[], |applied| &applied.diagnostics),
        }
    }

    /// Settings of the host that changed and need a restart.
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Rejected { fields, .. } | Self::RestartRequired { fields, .. } => fields,
            Self::Applied(_) | Self::Unchanged { .. } => &[],
        }
    }

    /// What was applied, if anything was.
    pub fn applied(&self) -> Option<&Applied> {
        match self {
            Self::Applied(applied) | Self::RestartRequired { applied: Some(applied), .. } => Some(applied),
            _ => None,
        }
    }
}

// === impl OutcomeKind ===

impl OutcomeKind {
    /// Every outcome, in the order above.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Unchanged, Self::Rejected, Self::RestartRequired];

    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::RestartRequired => "restart_required",
        }
    }

    /// Whether the pipeline that runs is the one of the files.
    pub fn is_success(self) -> bool {
        self != Self::Rejected
    }
}
