//! `flagstone schema`

use clap::Args;

use super::Exit;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self) -> Exit {
        say!("{:#}", flagstone_pipeline::schema(&flagstone_layers::registry()));
        Exit::Done
    }
}
