//! A broken database file, kills, no descriptors, a clock that jumps.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::workspace::Workspace;

/// The test target `faults`.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let mut command = workspace.cargo("test");
    command
        .args(["--package", "flagstone", "--test", "faults", "--", "--nocapture"])
        .env("FLAGSTONE_BIN", binary);
    children.count(command, Reports::Libtest)
}
