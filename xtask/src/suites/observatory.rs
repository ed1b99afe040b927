//! Mozilla's HTTP Observatory over the shipped pipeline and the shipped nginx configuration.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// The test target `observatory`.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    tools::npm_packages(children, workspace, &workspace.root.join("tests/observatory"))?;
    let mut command = workspace.cargo("test");
    command
        .args(["--package", "flagstone", "--test", "observatory", "--", "--nocapture"])
        .env("FLAGSTONE_BIN", binary);
    children.count(command, Reports::Libtest)
}
