//! The server held against its own OpenAPI document.

use std::path::Path;
use std::process::Command;

use crate::children::Children;
use crate::failure::Failure;
use crate::server::Server;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// Limits that a run of some thousand requests from one address does not run into.
const LIMITS: [(&str, &str); 3] =
    [("RATE_LIMIT_MAX", "0"), ("LOGIN_RATE_LIMIT_MAX", "0"), ("STRICT_RATE_LIMIT_MAX", "0")];

/// Asks every operation once with its own example, then lets schemathesis ask what comes to its mind. Each operation
/// counts as a test.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let folder = workspace.root.join("tests/schemathesis");
    let interpreter = tools::python_environment(children, workspace, &folder)?;
    let mut total = Tally::default();
    // The first changes what the second begins with, so each has a server of its own.
    for (arguments, reports) in [
        (["-m", "unittest", "-v"].as_slice(), Reports::Unittest),
        (["run.py"].as_slice(), Reports::Schemathesis),
    ] {
        let server = Server::start_with(children, workspace, binary, &LIMITS)?;
        let mut command = Command::new(&interpreter);
        command
            .arg("-B")
            .args(arguments)
            .current_dir(&folder)
            .env("FLAGSTONE_READY_FILE", &server.ready_file);
        let tally = children.count(command, reports)?;
        if tally.failed > 0 {
            server.show_log();
        }
        server.stop()?;
        total += tally;
    }
    Ok(total)
}
