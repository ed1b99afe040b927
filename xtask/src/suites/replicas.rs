//! Several instances while everything around them breaks.

use std::path::Path;

use crate::children::Children;
use crate::cluster;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::workspace::Workspace;

/// The test makes, breaks and heals its own PostgreSQL cluster: it only has to find the programs.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let mut command = workspace.cargo("test");
    command.args(["--package", "flagstone", "--test", "replicas", "--", "--nocapture"]);
    command.env("FLAGSTONE_BIN", binary);
    cluster::show_programs_to(children, &mut command)?;
    children.count(command, Reports::Libtest)
}
