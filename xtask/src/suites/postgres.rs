//! What stores anything, on PostgreSQL.

use std::path::Path;

use crate::children::Children;
use crate::cluster::{self, Cluster};
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::workspace::Workspace;

/// The tests of services and server once more, on a PostgreSQL cluster of their own.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    test(children, workspace, &["store", "services", "server", "postgres"], Some(binary))
}

/// The tests of services alone; nothing where PostgreSQL is not installed.
pub(crate) fn run_services(children: &Children, workspace: &Workspace) -> Result<Tally, Failure> {
    if !cluster::is_possible() {
        println!("not installed; `cargo xtask test` installs it");
        return Ok(Tally::default());
    }
    test(children, workspace, &["store", "services"], None)
}

/// Unit tests and these targets.
fn test(
    children: &Children,
    workspace: &Workspace,
    targets: &[&str],
    binary: Option<&Path>,
) -> Result<Tally, Failure> {
    let cluster = Cluster::start(children)?;
    let mut command = workspace.cargo("test");
    // Of the whole workspace, as before: nothing is built a second time.
    command.args(["--workspace", "--no-fail-fast", "--lib"]);
    for target in targets {
        command.args(["--test", target]);
    }
    cluster.show_to(&mut command);
    if let Some(binary) = binary {
        command.env("FLAGSTONE_BIN", binary);
    }
    children.count(command, Reports::Libtest)
}
