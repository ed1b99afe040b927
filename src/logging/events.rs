use std::io;

use flagstone_layers::access_log::AccessLogSink;
use tracing_subscriber::fmt::MakeWriter;

/// Puts lines of events beside those of requests.
pub(super) struct Events(pub(super) AccessLogSink);

/// One line of an event, which is written to it whole.
pub(super) struct Event<'a>(&'a AccessLogSink);

impl<'a> MakeWriter<'a> for Events {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event(&self.0)
    }
}

impl io::Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.event(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
