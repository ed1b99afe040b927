//! Logs: lines of events and of requests, both through bounded buffers that drop and count rather than block.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::Duration,
};

use flagstone_layers::access_log::{AccessLogOptions, AccessLogSink, AccessLogWriter, Format};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{Log, LogFormat};

/// Lines of events that may wait to be written.
const EVENTS: usize = 16 * 1024;

/// The logs of a process. Closing it writes what waits.
pub(crate) struct Logging {
    /// Where the `access_log` layer writes.
    pub(crate) access: AccessLogSink,
    /// Lines of events that were dropped.
    pub(crate) dropped_events: ErrorCounter,
    access_writer: AccessLogWriter,
    _events: WorkerGuard,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error("the log file {path} cannot be opened: {source}")]
    File { path: String, source: io::Error },
    #[error("the setting log.level: `{level}` is no level such as `info`: {source}")]
    Level { level: String, source: tracing_subscriber::filter::ParseError },
    #[error("the log's thread does not start: {0}")]
    Thread(io::Error),
    #[error("logs are set up already: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Standard output or a file.
enum Target {
    Stdout,
    File(File),
}

// === impl Logging ===

impl Logging {
    /// Begins to log. Once in a process.
    pub(crate) fn start(settings: &Log) -> Result<Self, LoggingError> {
        let filter = EnvFilter::try_new(&settings.level)
            .map_err(|source| LoggingError::Level { level: settings.level.clone(), source })?;
        let (events, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(EVENTS)
            .thread_name("log")
            .finish(Target::open(&settings.file)?);
        let dropped_events = events.error_counter();
        let builder = fmt::Subscriber::builder().with_env_filter(filter).with_writer(events);
        match settings.format {
            LogFormat::Json => tracing::subscriber::set_global_default(
                builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish(),
            )?,
            LogFormat::Text => tracing::subscriber::set_global_default(builder.with_ansi(false).finish())?,
        }
        let (access, access_writer) =
            AccessLogSink::start(Target::open(&settings.file)?, &access_options(settings))
                .map_err(LoggingError::Thread)?;
        Ok(Self { access, dropped_events, access_writer, _events: guard })
    }

    /// Writes what waits, at most until the deadline. The lines of events follow when it is dropped.
    pub(crate) fn close(self, deadline: Duration) -> bool {
        self.access_writer.close(deadline)
    }
}

fn access_options(settings: &Log) -> AccessLogOptions {
    let release = match settings.release.as_str() {
        "" => env!("CARGO_PKG_VERSION"),
        release => release,
    };
    let mut context = vec![("release".to_owned(), release.to_owned())];
    if !settings.instance.is_empty() {
        context.push(("instance".to_owned(), settings.instance.clone()));
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

// === impl Target ===

impl Target {
    fn open(file: &str) -> Result<Self, LoggingError> {
        if file.is_empty() {
            return Ok(Self::Stdout);
        }
        let opened = OpenOptions::new().append(true).create(true).open(Path::new(file));
        opened.map(Self::File).map_err(|source| LoggingError::File { path: file.to_owned(), source })
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // The lock is held for all of it, so that lines of events and of requests do not mix.
            Self::Stdout => io::stdout().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::File(file) => file.flush(),
        }
    }
}
