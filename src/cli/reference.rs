//! `flagstone reference`: what `docs/` has from the program itself.

use clap::Subcommand;

use super::Exit;
use crate::figures;

/// What there is a reference of.
#[derive(Debug, Subcommand)]
pub(super) enum Reference {
    /// Every metric: its type, labels and meaning (docs/metrics.md)
    Metrics,
}

impl Reference {
    pub(super) fn run(self) -> Exit {
        let text = match self {
            Self::Metrics => figures::reference(),
        };
        super::write_out(format_args!("{text}"));
        Exit::Done
    }
}
