//! Layers held against helmet and express-rate-limit.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// The test target `oracles`.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    tools::npm_packages(children, workspace, &workspace.root.join("tests/oracles"))?;
    let mut command = workspace.cargo("test");
    command
        .args(["--package", "flagstone", "--test", "oracles", "--", "--nocapture"])
        .env("FLAGSTONE_BIN", binary);
    children.count(command, Reports::Libtest)
}
