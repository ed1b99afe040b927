//! The slow suites: what needs other programs, a release build or much time.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::Workspace;

mod clients;
pub(crate) mod postgres;
mod replicas;
mod schemathesis;
mod shared;

/// A suite.
pub(crate) struct Suite {
    /// The name of its stage, and of its test target.
    pub(crate) name: &'static str,
    program: Program,
}

/// What runs it.
enum Program {
    /// The test target of its name, with the npm packages that are listed beside it, if any are.
    Target,
    /// The same, its tests one by one: they measure, or take all there is.
    Serial,
    /// Something else, against the release binary.
    Own(fn(&Children, &Workspace, &Path) -> Result<Tally, Failure>),
}

/// The slow suites, in the order they run.
pub(crate) static SLOW: [Suite; 12] = [
    Suite { name: "clients", program: Program::Own(clients::run) },
    Suite { name: "load", program: Program::Target },
    Suite { name: "faults", program: Program::Target },
    Suite { name: "observatory", program: Program::Target },
    Suite { name: "oracles", program: Program::Target },
    Suite { name: "edge", program: Program::Serial },
    Suite { name: "postgres", program: Program::Own(postgres::run) },
    Suite { name: "redis", program: Program::Target },
    Suite { name: "replicas", program: Program::Own(replicas::run) },
    Suite { name: "shared", program: Program::Own(shared::run) },
    Suite { name: "schemathesis", program: Program::Own(schemathesis::run) },
    Suite { name: "instructions", program: Program::Target },
];

impl Suite {
    /// Runs it against the release binary.
    pub(crate) fn run(
        &self,
        children: &Children,
        workspace: &Workspace,
        binary: &Path,
    ) -> Result<Tally, Failure> {
        if let Program::Own(run) = self.program {
            return run(children, workspace, binary);
        }
        let folder = workspace.root.join("tests").join(self.name);
        if folder.join("package.json").exists() {
            tools::npm_packages(children, workspace, &folder)?;
        }
        let mut command = workspace.cargo("test");
        command
            .args(["--package", "flagstone", "--test", self.name, "--", "--nocapture"])
            .env("FLAGSTONE_BIN", binary);
        if matches!(self.program, Program::Serial) {
            command.arg("--test-threads=1");
        }
        children.count(command, Reports::Libtest)
    }
}
