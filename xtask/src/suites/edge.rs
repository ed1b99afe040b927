//! The HTTP edge behind nginx, HAProxy and Caddy; slow clients and floods.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// The test target `edge`, which finds wrk by `FLAGSTONE_WRK`.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let mut command = workspace.cargo("test");
    command
        // One by one: a flood is to meet nothing but its own server.
        .args(["--package", "flagstone", "--test", "edge", "--", "--nocapture", "--test-threads=1"])
        .env("FLAGSTONE_BIN", binary)
        .env("FLAGSTONE_WRK", tools::wrk(children)?);
    children.count(command, Reports::Libtest)
}
