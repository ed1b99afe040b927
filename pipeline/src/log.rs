//! What is said of attempts in the log.

use crate::{
    diagnostic::{Diagnostic, Severity},
    outcome::{Attempt, Outcome},
};

/// Says what came of an attempt, and each thing that was found.
pub(crate) fn attempt(attempt: &Attempt, outcome: &Outcome) {
    let trigger = attempt.trigger.as_str();
    let digest = attempt.digest.as_str();
    for diagnostic in &attempt.diagnostics {
        found(diagnostic);
    }
    if let Some(applied) = outcome.applied() {
        let (generation, changes) = (applied.generation, &applied.changes);
        tracing::info!(trigger, generation, digest, %changes, "pipeline applied");
    }
    match outcome {
        Outcome::Applied(_) => {}
        Outcome::Unchanged { generation } => {
            tracing::info!(trigger, generation, digest, "pipeline unchanged");
        }
        Outcome::Rejected { diagnostics, .. } => {
            let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
            tracing::error!(trigger, digest, errors, "pipeline rejected; the last good one goes on");
        }
        Outcome::RestartRequired { .. } => {}
    }
    if !attempt.fields.is_empty() {
        let fields = attempt.fields.join(", ");
        tracing::warn!(trigger, fields, "changed settings need a restart to be applied");
    }
}

fn found(diagnostic: &Diagnostic) {
    let Diagnostic { code, severity, message, file, line, column, help, .. } = diagnostic;
    let help = help.as_deref().unwrap_or_default();
    match severity {
        Severity::Error => tracing::error!(code, file, line, column, help, "{message}"),
        Severity::Warning => tracing::warn!(code, file, line, column, help, "{message}"),
    }
}
