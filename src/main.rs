//! Flagstone: a self-hosted feature-flag server. Arguments in, exit code out.

mod app;
mod cli;
mod demo;
mod figures;
mod logging;
mod principals;
mod redis_counters;
mod server;
mod settings;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let dotenv = dotenv();
    let arguments = cli::Arguments::parse();
    if let Err(problem) = dotenv {
        cli::fail(problem);
        return cli::Exit::Refused.into();
    }
    arguments.run().into()
}

/// Adds what `.env` in the working directory says to the environment, which wins where it has a variable already.
/// Without the file nothing is missing.
fn dotenv() -> Result<(), String> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(format!(".env cannot be read: {error}")),
        // What the line says may be a secret.
        Err(_) => {
            Err(".env cannot be read: each line is to be NAME=value; quote a value that holds blanks or #"
                .to_owned())
        }
    }
}
