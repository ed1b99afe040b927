//! Other people's OpenFeature clients.

use std::path::Path;
use std::process::Command;

use crate::children::Children;
use crate::failure::Failure;
use crate::server::Server;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// Other people's OpenFeature clients against a running server, which they find by `FLAGSTONE_READY_FILE`.
pub(super) fn run(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Tally, Failure> {
    let web = workspace.root.join("tests/clients/ofrep-web");
    let python = workspace.root.join("tests/clients/ofrep-python");
    tools::npm_packages(children, workspace, &web)?;
    let interpreter = tools::python_environment(children, workspace, &python)?;

    let server = Server::start(children, workspace, binary)?;
    let mut total = Tally::default();

    let mut command = Command::new("npm");
    command.arg("test").current_dir(&web).env("FLAGSTONE_READY_FILE", &server.ready_file);
    total += children.count(command, Reports::Tap)?;

    let mut command = Command::new(interpreter);
    command
        .args(["-B", "-m", "unittest", "-v"])
        .current_dir(&python)
        .env("FLAGSTONE_READY_FILE", &server.ready_file);
    total += children.count(command, Reports::Unittest)?;

    if total.failed > 0 {
        server.show_log();
    }
    server.stop()?;
    Ok(total)
}
