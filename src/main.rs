//! Flagstone: a self-hosted feature-flag server. Arguments in, exit code out.

mod app;
mod cli;
mod demo;
mod figures;
mod logging;
mod principals;
mod server;
mod settings;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A `.env` beside the process is a convenience for development; without one nothing is missing.
    let dotenv = dotenvy::dotenv();
    let arguments = cli::Arguments::parse();
    if let Err(error) = dotenv
        && !error.not_found()
    {
        return cli::fail(format_args!(".env cannot be read: {error}")).into();
    }
    arguments.run().into()
}
