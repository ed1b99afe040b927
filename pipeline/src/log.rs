//! What is said of attempts in the log.

use crate::{
    diagnostic::{Diagnostic, Severity},
    outcome::{Applied, Attempt, Outcome, Trigger},
};

const TARGET: &str = "flagstone_pipeline";

/// Says what came of an attempt, and each thing that was found.
pub(crate) fn attempt(attempt: &Attempt, outcome: &Outcome) {
    let trigger = attempt.trigger.as_str();
    let digest = attempt.digest.as_str();
    for diagnostic in &attempt.diagnostics {
        found(diagnostic);
    }
    match (outcome, outcome.applied()) {
        (Outcome::Rejected { diagnostics, .. }, _) => {
            let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
            tracing::error!(target: TARGET, trigger, digest, errors, "pipeline rejected; the last good one goes on");
        }
        (Outcome::Unchanged { generation }, _) => {
            tracing::info!(target: TARGET, trigger, digest, generation, "pipeline unchanged");
        }
        (_, Some(Applied { generation, .. })) if attempt.trigger == Trigger::Start => {
            tracing::info!(target: TARGET, digest, generation, "pipeline loaded");
        }
        (_, Some(Applied { generation, changes, .. })) => {
            tracing::info!(target: TARGET, trigger, digest, generation, %changes, "pipeline applied");
        }
        (_, None) => {}
    }
    if !attempt.fields.is_empty() {
        let fields = attempt.fields.join(", ");
        tracing::warn!(target: TARGET, trigger, fields, "changed settings need a restart to be applied");
    }
}

fn found(diagnostic: &Diagnostic) {
    let Diagnostic { code, severity, message, file, line, column, help, .. } = diagnostic;
    let help = help.as_deref().unwrap_or_default();
    match severity {
        Severity::Error => tracing::error!(target: TARGET, code, file, line, column, help, "{message}"),
        Severity::Warning => tracing::warn!(target: TARGET, code, file, line, column, help, "{message}"),
    }
}
