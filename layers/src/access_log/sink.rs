use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    event,
    line::{self, Clock},
    spec::Format,
    writer::{AccessLogWriter, Mailbox, Output},
};
use crate::sharded::Sharded;

/// Where `access_log` puts its lines: a resource that the host lends, one for the process. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct AccessLogSink {
    shared: Arc<Shared>,
}

/// How lines are kept and written.
#[derive(Clone, Debug)]
pub struct AccessLogOptions {
    /// How a line is written, unless the layer says otherwise.
    pub format: Format,
    /// What every line says, as keys and values: the project, the environment, the release, the instance.
    pub context: Vec<(&'static str, String)>,
    /// The most bytes of requests' lines that wait to be written; what comes beyond is dropped and counted. While they
    /// are written, as many again may wait. The host's own lines may take an eighth of it (at least 64 KiB) besides.
    /// Default 4 MiB.
    pub buffer: usize,
    /// How often requests' lines are written. Default 200 ms.
    pub interval: Duration,
}

/// What the sink and its writer share.
#[derive(Debug)]
pub(super) struct Shared {
    format: Format,
    json_context: Vec<u8>,
    text_context: Vec<u8>,
    /// The host's own lines: in their order, and no flood of requests keeps them out.
    events: Mutex<Shard>,
    events_size: usize,
    shards: Sharded<Mutex<Shard>>,
    shard_size: usize,
    dropped: AtomicU64,
    pub(super) mailbox: Mailbox,
}

/// The lines of one group of threads that wait to be written.
#[derive(Debug, Default)]
struct Shard {
    bytes: Vec<u8>,
    clock: Clock,
    closed: bool,
}

// === impl AccessLogOptions ===

impl Default for AccessLogOptions {
    fn default() -> Self {
        Self {
            format: Format::default(),
            context: Vec::new(),
            buffer: 4 << 20,
            interval: Duration::from_millis(200),
        }
    }
}

// === impl AccessLogSink ===

impl AccessLogSink {
    /// Begins writing to `target` on a thread of its own. The host keeps the writer and closes it last.
    ///
    /// # Errors
    /// The thread could not be made.
    pub fn start(
        target: impl io::Write + Send + 'static,
        options: &AccessLogOptions,
    ) -> io::Result<(Self, AccessLogWriter)> {
        let shards = Sharded::new(Mutex::default);
        let shared = Arc::new(Shared {
            format: options.format,
            json_context: line::context(Format::Json, &options.context),
            text_context: line::context(Format::Text, &options.context),
            events: Mutex::default(),
            events_size: (options.buffer / 8).max(64 << 10),
            shard_size: options.buffer / shards.len(),
            shards,
            dropped: AtomicU64::new(0),
            mailbox: Mailbox::default(),
        });
        let writer = AccessLogWriter::start(shared.clone(), target, options.interval)?;
        Ok((Self { shared }, writer))
    }

    /// Writes a line of the host's own, such as an event, beside those of requests, and as soon as possible. `line` is in
    /// the host's format, in JSON one object. What could end the line or act on a terminal is escaped, the context is
    /// added, and of a line that is far too long the texts are cut.
    pub fn event(&self, line: &str) {
        let format = self.format();
        let taken = self.shared.append(&self.shared.events, self.shared.events_size, |buffer, _| {
            event::write(line, format, self.context(format), buffer);
        });
        if taken.is_some() {
            self.shared.mailbox.hurry();
        }
    }

    /// How many lines were dropped, because the buffer was full or they could not be written.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    pub(super) fn format(&self) -> Format {
        self.shared.format
    }

    pub(super) fn context(&self, format: Format) -> &[u8] {
        match format {
            Format::Json => &self.shared.json_context,
            Format::Text => &self.shared.text_context,
        }
    }

    /// Lets `format` append one line, unless there is no room for it.
    pub(super) fn write(&self, format: impl FnOnce(&mut Vec<u8>, &mut Clock)) {
        let room = self.shared.shard_size;
        let taken = self.shared.append(self.shared.shards.local(), room, format);
        if taken.is_some_and(|(before, after)| before <= room / 2 && after > room / 2) {
            self.shared.mailbox.hurry();
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Appends a line where there is room for it: how long the buffer was and is. Otherwise counts it as dropped.
    fn append(
        &self,
        shard: &Mutex<Shard>,
        room: usize,
        format: impl FnOnce(&mut Vec<u8>, &mut Clock),
    ) -> Option<(usize, usize)> {
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shard.bytes.len();
        if !shard.closed {
            let Shard { bytes, clock, .. } = &mut *shard;
            format(bytes, clock);
        }
        let after = shard.bytes.len();
        if shard.closed || after > room {
            shard.bytes.truncate(before);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some((before, after))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what waits. `spare` is swapped for each group's buffer, so that none is copied or made anew. After `last`
    /// nothing is taken any more. Returns whether anything was written, or the first error; the lines it concerns count
    /// as dropped.
    pub(super) fn write_out(
        &self,
        output: &mut Output<impl io::Write>,
        spare: &mut Vec<u8>,
        last: bool,
    ) -> io::Result<bool> {
        let mut written = Ok(false);
        for shard in std::iter::once(&self.events).chain(self.shards.iter()) {
            {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.closed = last;
                std::mem::swap(&mut shard.bytes, spare);
            }
            match output.write(spare) {
                Ok(()) => written = written.map(|any| any || !spare.is_empty()),
                Err(lost) => {
                    self.dropped.fetch_add(lost.lines, Ordering::Relaxed);
                    written = written.and(Err(lost.error));
                }
            }
            spare.clear();
        }
        let flushed = output.flush();
        written.and_then(|any| flushed.map(|()| any))
    }
}
