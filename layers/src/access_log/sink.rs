use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    line::{self, Clock},
    spec::Format,
    writer::{AccessLogWriter, Mailbox},
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
    pub context: Vec<(String, String)>,
    /// The most bytes that wait to be written; what comes beyond is dropped and counted. While they are written, as many
    /// again may wait. Default 4 MiB.
    pub buffer: usize,
    /// How often lines are written. Default 200 ms.
    pub interval: Duration,
}

/// What the sink and its writer share.
#[derive(Debug)]
pub(super) struct Shared {
    format: Format,
    json_context: Vec<u8>,
    text_context: Vec<u8>,
    shards: Sharded<Mutex<Shard>>,
    shard_size: usize,
    dropped: AtomicU64,
    pub(super) mailbox: Mailbox,
}

/// The lines of one group of threads that wait to be written.
#[derive(Debug, Default)]
struct Shard {
    bytes: Vec<u8>,
    lines: u64,
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
            shard_size: options.buffer / shards.len(),
            shards,
            dropped: AtomicU64::new(0),
            mailbox: Mailbox::default(),
        });
        let writer = AccessLogWriter::start(shared.clone(), target, options.interval)?;
        Ok((Self { shared }, writer))
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
        let mut shard = self.shared.shards.local().lock().unwrap_or_else(PoisonError::into_inner);
        let before = shard.bytes.len();
        let room = self.shared.shard_size;
        if !shard.closed {
            let Shard { bytes, clock, .. } = &mut *shard;
            format(bytes, clock);
        }
        if shard.closed || shard.bytes.len() > room {
            shard.bytes.truncate(before);
            self.shared.count_dropped(1);
            return;
        }
        shard.lines += 1;
        let half_full = before <= room / 2 && shard.bytes.len() > room / 2;
        drop(shard);
        if half_full {
            self.shared.mailbox.hurry();
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Writes what waits. `spare` is swapped for each group's buffer, so that none is copied or made anew. After `last`
    /// nothing is taken any more. Returns the first error; the lines it concerns count as dropped.
    pub(super) fn write_out(
        &self,
        target: &mut impl io::Write,
        spare: &mut Vec<u8>,
        last: bool,
    ) -> io::Result<()> {
        let mut written = Ok(());
        for shard in self.shards.iter() {
            let lines = {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.closed = last;
                std::mem::swap(&mut shard.bytes, spare);
                std::mem::take(&mut shard.lines)
            };
            if lines > 0
                && let Err(error) = target.write_all(spare)
            {
                self.count_dropped(lines);
                written = written.and(Err(error));
            }
            spare.clear();
        }
        written.and(target.flush())
    }
}
