//! `flagstone settings`

use std::path::Path;

use clap::Args;

use super::{Exit, ReportFormat, fail, load_settings};

/// Arguments of `settings`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// How faults are written
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

impl Show {
    pub(super) fn run(self, config: &Path) -> Exit {
        let loaded = match load_settings(config, self.format) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        match toml::to_string_pretty(&loaded.settings) {
            Ok(text) => super::write_out(format_args!("{text}")),
            Err(error) => return fail(error),
        }
        Exit::Done
    }
}
