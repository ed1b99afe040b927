//! `cargo xtask test`: everything, in stages. The last line of its output sums up the tests.

use std::path::Path;
use std::time::Instant;

use crate::check;
use crate::children::Children;
use crate::failure::Failure;
use crate::suites::{self, Suite};
use crate::tally::{Reports, Tally};
use crate::tools;
use crate::workspace::{Profile, Workspace};

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything, on the release build.
    Whole,
    /// Without the slow suites, on the debug build.
    Quick,
}

/// Runs the stages and returns whether all of it passed.
pub(crate) fn run(extent: Extent) -> Result<bool, Failure> {
    let children = Children::new()?;
    let workspace = Workspace::load(&children)?;
    let mut stages = Stages { children: &children, total: Tally::default() };
    let whole = extent == Extent::Whole;

    stages.run("set-up", || {
        tools::rust_components(&children)?;
        if whole { tools::debian_packages(&children) } else { Ok(()) }
    });
    stages.run("check", || check::run(&children, &workspace));
    let profile = if whole { Profile::Release } else { Profile::Debug };
    let binary = stages.run("build", || workspace.build(&children, profile));
    if let Some(binary) = &binary {
        stages.run("configuration", || check::configuration(&children, &workspace, binary));
    }
    // Without a binary too: the tests of the other crates may pass and say more.
    stages.count("tests", || cargo_test(&children, &workspace, binary.as_deref()));
    if !whole {
        stages.count("services on PostgreSQL", || suites::postgres::run_services(&children, &workspace));
    }
    if let (Some(binary), true) = (&binary, whole) {
        for suite in &suites::SLOW {
            stages.count(suite.name, || suite.run(&children, &workspace, binary));
        }
    }

    println!("\n{}", stages.total);
    Ok(stages.total.failed == 0)
}

/// Runs one slow suite and returns whether it passed.
pub(crate) fn run_suite(suite: &Suite) -> Result<bool, Failure> {
    let children = Children::new()?;
    let workspace = Workspace::load(&children)?;
    tools::debian_packages(&children)?;
    let binary = workspace.build(&children, Profile::Release)?;
    let tally = suite.run(&children, &workspace, &binary)?;
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

struct Stages<'a> {
    children: &'a Children,
    total: Tally,
}

impl Stages<'_> {
    /// A stage that reports tests.
    fn count(&mut self, name: &str, work: impl FnOnce() -> Result<Tally, Failure>) {
        if let Some(tally) = self.run(name, work) {
            println!("== {name}: {tally}");
            self.total += tally;
        }
    }

    /// Does a piece of work with its name and duration printed. One that cannot be done counts as a failed test,
    /// so that the sum cannot look clean; after an interruption nothing is begun.
    fn run<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Option<T> {
        if self.children.interrupted() {
            self.total.failed = self.total.failed.max(1);
            return None;
        }
        println!("\n== {name}");
        let begun = Instant::now();
        let outcome = work();
        let seconds = begun.elapsed().as_secs_f64();
        match outcome {
            Ok(result) => {
                println!("== {name}: done in {seconds:.1} s");
                Some(result)
            }
            Err(failure) => {
                println!("{failure}\n== {name}: FAILED after {seconds:.1} s");
                self.total.failed += 1;
                None
            }
        }
    }
}

/// Unit, documentation and whole-server tests; the latter find the server by `FLAGSTONE_BIN`.
fn cargo_test(children: &Children, workspace: &Workspace, binary: Option<&Path>) -> Result<Tally, Failure> {
    let mut command = workspace.cargo("test");
    command.args(["--workspace", "--no-fail-fast"]);
    if let Some(binary) = binary {
        command.env("FLAGSTONE_BIN", binary);
    }
    children.count(command, Reports::Libtest)
}
