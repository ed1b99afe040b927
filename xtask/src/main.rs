//! The project's own commands. `cargo xtask` lists them.

mod bench;
mod check;
mod children;
mod cluster;
mod failure;
mod licence;
mod packages;
mod server;
mod sources;
mod suites;
mod tally;
mod test;
mod tools;
mod workspace;

use std::env;
use std::process::ExitCode;

use crate::children::Children;
use crate::failure::Failure;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let suite = |name: &str| suites::SLOW.iter().find(|suite| suite.name == name);
    let outcome = match *arguments.as_slice() {
        ["test"] => test::run(test::Extent::Whole),
        ["test", "--quick"] => test::run(test::Extent::Quick),
        ["test", name] if let Some(suite) = suite(name) => test::run_suite(suite),
        ["bench"] => {
            bench::list();
            return ExitCode::SUCCESS;
        }
        ["bench", name] if let Some(bench) = bench::find(name) => bench.run(),
        ["check"] => check_only(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{}", usage());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{}", usage());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let suites: Vec<&str> = suites::SLOW.iter().map(|suite| suite.name).collect();
    format!(
        "\
Usage: cargo xtask <COMMAND>

Commands:
  test            check, build, and run every test; installs what it needs
  test --quick    the same without the slow suites, on a debug build
  test <SUITE>    one of the slow suites: {}
  bench           lists what can be measured
  bench <NAME>    builds what that takes, and measures it
  check           formatting, lints, documentation, licences, structure, shipped configuration
",
        suites.join(", ")
    )
}

fn check_only() -> Result<bool, Failure> {
    let children = Children::new()?;
    let workspace = Workspace::load(&children)?;
    tools::rust_components(&children)?;
    check::run(&children, &workspace)?;
    let binary = workspace.build(&children, workspace::Profile::Debug)?;
    check::configuration(&children, &workspace, &binary)?;
    Ok(true)
}
