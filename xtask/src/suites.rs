//! The slow suites: what needs other programs, a release build or much time. One file each.

use std::path::Path;

use crate::children::Children;
use crate::failure::Failure;
use crate::tally::Tally;
use crate::workspace::Workspace;

mod clients;
mod edge;
mod faults;
mod load;
mod observatory;
mod oracles;
pub(crate) mod postgres;
mod schemathesis;

/// A suite and the name of its stage.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// Runs it against the release binary.
    pub(crate) run: fn(&Children, &Workspace, &Path) -> Result<Tally, Failure>,
}

/// The slow suites, in the order they run.
pub(crate) static SLOW: [Suite; 8] = [
    Suite { name: "clients", run: clients::run },
    Suite { name: "load", run: load::run },
    Suite { name: "faults", run: faults::run },
    Suite { name: "observatory", run: observatory::run },
    Suite { name: "oracles", run: oracles::run },
    Suite { name: "edge", run: edge::run },
    Suite { name: "postgres", run: postgres::run },
    Suite { name: "schemathesis", run: schemathesis::run },
];
