//! `flagstone reference`: what `docs/` has from the program itself.

use clap::Subcommand;

use super::Exit;
use crate::{figures, settings};

/// What there is a reference of.
#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// Every metric: its type, labels and meaning (docs/metrics.md)
    Metrics,
    /// Every setting: its type, default, variables and meaning (docs/settings.md)
    Settings,
}

impl Reference {
    pub(super) fn run(self) -> Exit {
        let text = match self {
            Self::Metrics => figures::reference(),
            Self::Settings => settings::reference(),
        };
        super::write_out(format_args!("{text}"));
        Exit::Done
    }
}
