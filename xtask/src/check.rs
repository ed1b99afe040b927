//! `cargo xtask check`: everything that needs no test run.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::children::Children;
use crate::failure::Failure;
use crate::packages;
use crate::sources;
use crate::workspace::{self, Workspace};

/// A check and its name.
type Step<'a> = (&'static str, &'a dyn Fn() -> Result<(), Failure>);

/// Runs all checks that need no built server, and names those that failed.
pub(crate) fn run(children: &Children, workspace: &Workspace) -> Result<(), Failure> {
    let steps: [Step<'_>; 6] = [
        ("formatting", &|| {
            let mut command = workspace::cargo("fmt");
            command.args(["--all", "--check"]).current_dir(&workspace.root);
            children.run(command)
        }),
        ("lints", &|| {
            let mut command = workspace.cargo("clippy");
            command.args(["--workspace", "--all-targets", "--keep-going", "--", "--deny", "warnings"]);
            children.run(command)?;
            // The slow suites, which are no part of all.
            let mut command = workspace.cargo("clippy");
            command.args(["--workspace", "--test", "*", "--keep-going", "--", "--deny", "warnings"]);
            children.run(command)
        }),
        ("documentation", &|| {
            let mut command = workspace.cargo("doc");
            command.args(["--workspace", "--no-deps", "--keep-going"]).env("RUSTDOCFLAGS", "--deny warnings");
            children.run(command)
        }),
        ("packages", &|| packages::check(children, workspace)),
        ("cargo-deny", &|| cargo_deny(children, workspace)),
        ("sources", &|| sources::check(workspace)),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        println!("-- {name}");
        match step() {
            Ok(()) => {}
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => {
                println!("{failure}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Steps(failed)) }
}

/// Lets the server check every configuration that the repository ships.
pub(crate) fn configuration(
    children: &Children,
    workspace: &Workspace,
    binary: &Path,
) -> Result<(), Failure> {
    println!("-- configuration");
    let mut folders = Vec::new();
    for shipped in ["config", "deploy"] {
        folders.extend(sources::configurations(&workspace.root.join(shipped))?);
    }
    if !folders.contains(&workspace.root.join("config")) {
        return Err(Failure::Problems(vec!["config/pipeline.toml is missing".to_owned()]));
    }
    for folder in folders {
        let mut command = Command::new(binary);
        command.arg("check").arg("--config").arg(folder).current_dir(&workspace.root);
        // The shipped values count, not what happens to be set here.
        command.env_clear();
        children.run(command)?;
    }
    Ok(())
}

/// The same rules and more, by the tool that `deny.toml` is written for, where it is installed. It compiles for
/// minutes, so it is not installed here; `packages` covers what matters most.
fn cargo_deny(children: &Children, workspace: &Workspace) -> Result<(), Failure> {
    let mut probe = workspace::cargo("deny");
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match children.run(probe) {
        Ok(()) => {}
        Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        Err(_) => {
            println!("not installed; `cargo install --locked cargo-deny` adds it");
            return Ok(());
        }
    }
    let mut command = workspace::cargo("deny");
    command.args(["--offline", "check", "bans", "licenses", "sources"]).current_dir(&workspace.root);
    children.run(command)
}
