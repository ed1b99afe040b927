//! What Cargo knows about the workspace.

use std::env;
use std::path::{Display, Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::children::Children;
use crate::failure::Failure;

/// Where the workspace is and where its builds go.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

/// How the server is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) fn load(children: &Children) -> Result<Self, Failure> {
        let mut command = cargo("metadata");
        command.args(["--format-version", "1", "--no-deps"]);
        read_json("cargo metadata", &children.read(command)?)
    }

    /// Builds the server and returns the path of the binary.
    pub(crate) fn build(&self, children: &Children, profile: Profile) -> Result<PathBuf, Failure> {
        let mut command = self.cargo("build");
        command.args(["--package", "flagstone", "--bin", "flagstone"]);
        if profile == Profile::Release {
            command.arg("--release");
        }
        children.run(command)?;
        let folder = if profile == Profile::Release { "release" } else { "debug" };
        Ok(self.target.join(folder).join("flagstone"))
    }

    /// A Cargo command that runs in the workspace's root and leaves the lock file as it is.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = cargo(subcommand);
        command.arg("--locked").current_dir(&self.root);
        command
    }

    /// `path` as seen from the root, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// The Cargo that runs this, so that both use the same toolchain.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand);
    command
}

/// `origin` names the text in the message of a failure.
pub(crate) fn read_json<T: DeserializeOwned>(origin: &str, text: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::Unreadable { origin: origin.to_owned(), reason: error.to_string() })
}
