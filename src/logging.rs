//! Logs: lines of events and of requests, through bounded buffers that drop and count rather than block.

mod events;
mod target;

use std::{io, path::Path, time::Duration};

use flagstone_layers::{
    access_log::{AccessLogOptions, AccessLogSink, AccessLogWriter, Format},
    kernel::Panic,
};
use tracing_subscriber::{EnvFilter, fmt};

use self::{events::Events, target::Target};
use crate::settings::{Log, LogFormat};

/// The logs of a process. Closing it writes what waits.
pub(crate) struct Logging {
    /// Where requests and events are written.
    pub(crate) sink: AccessLogSink,
    writer: AccessLogWriter,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error("the log file {path} cannot be opened: {source}")]
    File { path: String, source: io::Error },
    #[error("standard output cannot be logged to: {0}")]
    Stdout(io::Error),
    #[error("the setting log.level: `{level}` is no level such as `info`: {source}")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("the log's thread does not start: {0}")]
    Thread(io::Error),
    #[error("logs are set up already: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

// === impl Logging ===

impl Logging {
    /// Begins to log, panics included. Once in a process.
    pub(crate) fn start(settings: &Log) -> Result<Self, LoggingError> {
        let filter = EnvFilter::try_new(&settings.level)
            .map_err(|source| LoggingError::Level { level: settings.level.clone(), source })?;
        let target = match settings.file.as_str() {
            "" => Target::stdout().map_err(LoggingError::Stdout)?,
            path => Target::file(Path::new(path))
                .map_err(|source| LoggingError::File { path: path.to_owned(), source })?,
        };
        let (sink, writer) =
            AccessLogSink::start(target, &options(settings)).map_err(LoggingError::Thread)?;
        let builder = fmt::Subscriber::builder().with_env_filter(filter).with_writer(Events(sink.clone()));
        match settings.format {
            LogFormat::Json => tracing::subscriber::set_global_default(
                builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish(),
            )?,
            LogFormat::Text => tracing::subscriber::set_global_default(builder.with_ansi(false).finish())?,
        }
        Panic::log_uncaught();
        Ok(Self { sink, writer })
    }

    /// Writes what waits, at most until the deadline.
    pub(crate) fn close(self, deadline: Duration) -> bool {
        self.writer.close(deadline)
    }
}

fn options(settings: &Log) -> AccessLogOptions {
    let release = match settings.release.as_str() {
        "" => env!("CARGO_PKG_VERSION"),
        release => release,
    };
    let mut context = vec![("release", release.to_owned())];
    if !settings.instance.is_empty() {
        context.push(("instance", settings.instance.clone()));
    }
    AccessLogOptions {
        format: match settings.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        },
        context,
        buffer: usize::try_from(settings.buffer.0).unwrap_or(usize::MAX),
        ..AccessLogOptions::default()
    }
}
