//! `flagstone check`

use std::path::Path;

use clap::Args;
use flagstone_pipeline::Report;

use super::{Exit, ReportFormat, fail, load_settings, show_report};
use crate::app::{self, StartError};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// How faults are written
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

impl Check {
    pub(super) fn run(self, config: &Path) -> Exit {
        let loaded = match load_settings(config, self.format) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        match app::check(&loaded) {
            Ok(pipeline) => {
                let mut diagnostics = loaded.warnings.diagnostics.clone();
                diagnostics.extend(pipeline.status().last_attempt.diagnostics.iter().cloned());
                if self.format == ReportFormat::Json || !diagnostics.is_empty() {
                    show_report(&Report { diagnostics }, self.format);
                }
                if self.format == ReportFormat::Human {
                    say!("{}: good", loaded.pipeline_file().display());
                }
                Exit::Done
            }
            Err(StartError::Pipeline(mut report)) => {
                report.diagnostics.splice(0..0, loaded.warnings.diagnostics.iter().cloned());
                show_report(&report, self.format);
                Exit::Refused
            }
            Err(error) => {
                fail(error);
                Exit::Refused
            }
        }
    }
}
