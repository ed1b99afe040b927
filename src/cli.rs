//! The command line: one file per subcommand.

/// Prints a line. Whoever reads it may have gone, as `head` does: that is no fault.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::cli::write_out(format_args!("{}\n", format_args!($($argument)*)))
    };
}
pub(crate) use say;

mod admin_client;
mod check;
mod explain;
mod healthcheck;
mod layers;
mod reference;
mod reload;
mod schema;
mod serve;
mod settings;
mod status;
mod user;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use flagstone_pipeline::{Format, Report};

use crate::settings::{Loaded, environment_names, environment_variables};

/// A self-hosted feature-flag server whose hardening is a declared, proven, hot-reloaded pipeline.
#[derive(Debug, Parser)]
#[command(name = "flagstone", version, arg_required_else_help = false)]
pub(crate) struct Arguments {
    /// The folder of flagstone.toml and pipeline.toml.
    #[arg(long, global = true, default_value = "config", value_name = "DIR")]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(serve::Serve),
    /// Check the settings and the pipeline, as a start and a reload would
    Check(check::Check),
    /// Show the layers a request goes through, each with its place in the file
    Explain(explain::Explain),
    /// List the kinds of layer a pipeline may use
    Layers(layers::Layers),
    /// Print the JSON schema of pipeline.toml, for editors
    Schema(schema::Schema),
    /// Print a reference of the documentation, as Markdown
    #[command(subcommand)]
    Reference(reference::Reference),
    /// Have a running server load its pipeline anew
    Reload(reload::Reload),
    /// Show the pipeline a running server is on
    Status(status::Status),
    /// Show the settings as a start would read them, without secrets
    Settings(settings::Show),
    /// Ask a running server whether it is ready
    Healthcheck(healthcheck::Healthcheck),
    /// Make users and set passwords
    #[command(subcommand)]
    User(user::User),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Refused,
    RestartRequired,
}

/// Where a running server is found.
#[derive(Debug, Args)]
struct AdminUrl {
    /// The admin listener: `http://127.0.0.1:8081` or `unix:/path`. By default the one of the settings.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

/// How diagnostics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    #[default]
    Human,
    Json,
    Short,
}

// === impl Arguments ===

impl Arguments {
    /// Runs the command.
    pub(crate) fn run(self) -> Exit {
        let config = &self.config;
        match self.command.unwrap_or(Command::Serve(serve::Serve::default())) {
            Command::Serve(command) => command.run(config),
            Command::Check(command) => command.run(config),
            Command::Explain(command) => command.run(config),
            Command::Layers(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::Reference(command) => command.run(),
            Command::Reload(command) => command.run(config),
            Command::Status(command) => command.run(config),
            Command::Settings(command) => command.run(config),
            Command::Healthcheck(command) => command.run(config),
            Command::User(command) => command.run(config),
        }
    }
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            // 2 is clap's, for usage.
            Exit::Refused => 3,
            Exit::RestartRequired => 4,
        })
    }
}

// === impl ReportFormat ===

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Human => Self::Human,
            ReportFormat::Json => Self::Json,
            ReportFormat::Short => Self::Short,
        }
    }
}

/// Writes to standard output, which may be closed.
pub(crate) fn write_out(text: std::fmt::Arguments<'_>) {
    let _ = std::io::stdout().write_fmt(text);
}

/// Writes to standard error, which may be closed.
fn write_error(text: std::fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// Writes a fault to standard error.
pub(crate) fn fail(message: impl std::fmt::Display) -> Exit {
    write_error(format_args!("flagstone: {message}\n"));
    Exit::Failed
}

/// Writes diagnostics to standard error, in colour where a person reads them.
fn show_report(report: &Report, format: ReportFormat) {
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr()) && format == ReportFormat::Human;
    write_error(format_args!("{}\n", report.render(format.into(), color).trim_end()));
}

/// Reads the settings, or says what is wrong with them.
fn load_settings(config: &std::path::Path, format: ReportFormat) -> Result<Loaded, Exit> {
    Loaded::read(config, &environment_names(), &environment_variables()).map_err(|report| {
        show_report(&report, format);
        Exit::Refused
    })
}

/// Runs a future on a runtime of its own, for commands that are soon done.
fn block_on<F: Future<Output = Exit>>(future: F) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => fail(format_args!("the runtime does not start: {error}")),
    }
}
