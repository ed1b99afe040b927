//! A private server for the client libraries: throw-away database, free loopback ports.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::children::{Children, Running};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// A new server makes its database, its administrator and its keys first.
const START: Duration = Duration::from_secs(60);
/// The server gives itself 10 seconds (R74).
const STOP: Duration = Duration::from_secs(15);
/// How much of the log is shown when something went wrong.
const SHOWN_LINES: usize = 50;

/// A running `flagstone serve --demo`. Dropping it kills it.
pub(crate) struct Server {
    running: Running,
    log: PathBuf,
    pub(crate) ready_file: PathBuf,
}

impl Server {
    /// Starts the server and returns once it listens.
    pub(crate) fn start(children: &Children, workspace: &Workspace, binary: &Path) -> Result<Self, Failure> {
        Self::start_with(children, workspace, binary, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_with(
        children: &Children,
        workspace: &Workspace,
        binary: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let folder = workspace.target.join("xtask");
        fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
        let log = folder.join("server.log");
        let ready_file = folder.join("ready.json");
        if ready_file.exists() {
            fs::remove_file(&ready_file).map_err(Failure::file(&ready_file))?;
        }
        let output = File::create(&log).map_err(Failure::file(&log))?;
        let errors = output.try_clone().map_err(Failure::file(&log))?;

        let mut command = Command::new(binary);
        command
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .arg("--ready-file")
            .arg(&ready_file)
            .current_dir(&workspace.root)
            // No database and no setting of the surroundings.
            .env_clear()
            .envs(variables.iter().copied())
            .stdout(output)
            .stderr(errors);
        let server = Self { running: children.spawn(command)?, log, ready_file };

        let ready = Cell::new(false);
        let ended = server.running.ends_within(START, || {
            // The server writes the file at once or not at all; a part of it is not JSON.
            let text = fs::read(&server.ready_file).unwrap_or_default();
            ready.set(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
            ready.get()
        });
        if children.interrupted() {
            return Err(Failure::Interrupted);
        }
        if ready.get() && !ended {
            return Ok(server);
        }
        server.show_log();
        let problem = if ended { "ended at its start" } else { "was not ready in time" };
        Err(Failure::Server(problem.to_owned()))
    }

    /// Stops the server, which has to end in good order.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let status = self.running.stop(STOP)?;
        if status.success() {
            return Ok(());
        }
        self.show_log();
        Err(Failure::Server(format!("did not end in good order: {status}")))
    }

    /// Prints the end of what the server wrote.
    pub(crate) fn show_log(&self) {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        println!("-- the end of {}", self.log.display());
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
            println!("{line}");
        }
    }
}
