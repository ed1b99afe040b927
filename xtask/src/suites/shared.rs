//! What any connection goes through, with one runtime for all of them; the other suites have one per core, the default.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::workspace::Workspace;

/// The whole-server tests, and reloads under load.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let mut command = workspace.cargo("test");
    command.args(["--package", "flagstone", "--test", "server", "--test", "load"]);
    command.env("FLAGSTONE_BIN", binary).env("FLAGSTONE_TEST_RUNTIME", "shared");
    children.count(command, Reports::Libtest)
}
