//! `flagstone layers`

use clap::Args;

use super::Exit;

/// Arguments of `layers`.
#[derive(Debug, Args)]
pub(super) struct Layers {}

impl Layers {
    pub(super) fn run(self) -> Exit {
        for layer in flagstone_layers::registry().iter() {
            say!("{:<18} {}", layer.kind, layer.about);
        }
        Exit::Done
    }
}
