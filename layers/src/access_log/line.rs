use std::{
    fmt::Write as _,
    io::Write as _,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{escape, spec::Format};
use crate::kernel::{Ended, Exchange, Outcome};

/// What one line tells.
pub(super) struct Line<'a> {
    pub(super) time: SystemTime,
    pub(super) exchange: &'a Exchange,
    pub(super) ended: &'a Ended,
}

/// The text of a second, kept because most lines begin with the same one.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    text: String,
}

/// Writes keys and values in one of the formats.
struct Fields<'a> {
    format: Format,
    buffer: &'a mut Vec<u8>,
}

// === impl Line ===

impl Line<'_> {
    /// Appends the line. `context` is what the host adds to every line, formatted.
    pub(super) fn write(&self, format: Format, context: &[u8], clock: &mut Clock, buffer: &mut Vec<u8>) {
        let failed = self.ended.status.is_some_and(|status| status.is_server_error())
            || self.ended.outcome == Outcome::Failed;
        let level = if failed { "ERROR" } else { "INFO" };
        let mut fields = Fields { format, buffer };
        fields.begin();
        fields.time(self.time, clock);
        fields.word("level", level);
        fields.word("message", "request");
        self.write_request(&mut fields);
        self.write_answer(&mut fields);
        fields.buffer.extend_from_slice(context);
        fields.end();
    }

    fn write_request(&self, fields: &mut Fields<'_>) {
        let exchange = self.exchange;
        fields.text("method", exchange.method().as_str());
        fields.text("path", exchange.path());
        if let Some(route) = exchange.pattern() {
            fields.text("route", route);
        }
        if let Some(id) = exchange.request_id() {
            fields.text("request_id", id.as_str());
        }
        if let Some(address) = exchange.address() {
            fields.address("client", address);
        }
        if let Some(principal) = exchange.principal() {
            fields.word("principal_kind", principal.kind().as_str());
            fields.text("principal", principal.id());
            for (key, value) in principal.context() {
                fields.text(key, value);
            }
        }
    }

    fn write_answer(&self, fields: &mut Fields<'_>) {
        if let Some(status) = self.ended.status {
            fields.number("status", u64::from(status.as_u16()));
        }
        fields.milliseconds("duration_ms", self.ended.duration);
        fields.number("bytes", self.ended.bytes);
        fields.word("outcome", outcome(self.ended.outcome));
        if let Some(stopped) = self.exchange.stopped() {
            fields.text("stopped_by", &stopped.layer);
        }
        fields.list("observed", &self.exchange.observed());
        if let Some(generation) = self.exchange.generation() {
            fields.number("generation", generation);
        }
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
    }
}

/// What the host adds to every line, as it follows other fields.
pub(super) fn context(format: Format, pairs: &[(&'static str, String)]) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut fields = Fields { format, buffer: &mut buffer };
    for (key, value) in pairs {
        fields.text(key, value);
    }
    buffer
}

// === impl Fields ===

impl Fields<'_> {
    fn begin(&mut self) {
        if self.format == Format::Json {
            self.buffer.extend_from_slice(b"{\"timestamp\":\"");
        }
    }

    fn end(&mut self) {
        if self.format == Format::Json {
            self.buffer.push(b'}');
        }
        self.buffer.push(b'\n');
    }

    /// The first field, RFC 3339 with milliseconds.
    fn time(&mut self, time: SystemTime, clock: &mut Clock) {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.buffer.extend_from_slice(clock.text(time.as_secs()).as_bytes());
        self.fraction(u64::from(time.subsec_millis()));
        self.buffer.push(b'Z');
        if self.format == Format::Json {
            self.buffer.push(b'"');
        }
    }

    /// A name of ours, or of the host, that needs no escaping.
    fn key(&mut self, key: &'static str) {
        let (before, after) = match self.format {
            Format::Json => (",\"", "\":"),
            Format::Text => (" ", "="),
        };
        self.buffer.extend_from_slice(before.as_bytes());
        self.buffer.extend_from_slice(key.as_bytes());
        self.buffer.extend_from_slice(after.as_bytes());
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.value(value);
    }

    fn value(&mut self, value: &str) {
        match self.format {
            Format::Json => escape::json(value, self.buffer),
            Format::Text => escape::text(value, self.buffer),
        }
    }

    /// A text of ours that needs no escaping.
    fn word(&mut self, key: &'static str, value: &'static str) {
        self.key(key);
        self.quoted(|buffer| buffer.extend_from_slice(value.as_bytes()));
    }

    fn address(&mut self, key: &'static str, address: IpAddr) {
        self.key(key);
        self.quoted(|buffer| match address {
            // Nearly every line has one: it is spared what `fmt` costs.
            IpAddr::V4(address) => {
                let mut digits = itoa::Buffer::new();
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        buffer.push(b'.');
                    }
                    buffer.extend_from_slice(digits.format(octet).as_bytes());
                }
            }
            IpAddr::V6(address) => write(buffer, format_args!("{address}")),
        });
    }

    fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        self.digits(value);
    }

    fn milliseconds(&mut self, key: &'static str, duration: Duration) {
        self.key(key);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.digits(microseconds / 1_000);
        self.fraction(microseconds % 1_000);
    }

    /// A list of texts; an empty one is left out.
    fn list(&mut self, key: &'static str, values: &[impl AsRef<str>]) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        let (open, close) = if self.format == Format::Json { ("[", "]") } else { ("", "") };
        self.buffer.extend_from_slice(open.as_bytes());
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            self.value(value.as_ref());
        }
        self.buffer.extend_from_slice(close.as_bytes());
    }

    fn quoted(&mut self, content: impl FnOnce(&mut Vec<u8>)) {
        if self.format == Format::Json {
            self.buffer.push(b'"');
        }
        content(self.buffer);
        if self.format == Format::Json {
            self.buffer.push(b'"');
        }
    }

    fn digits(&mut self, value: u64) {
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A point and three digits.
    fn fraction(&mut self, thousandths: u64) {
        let digit = |unit: u64| b'0' + (thousandths / unit % 10) as u8;
        self.buffer.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

fn write(buffer: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = buffer.write_fmt(arguments);
}

// === impl Clock ===

impl Clock {
    /// `2026-11-21T01:41:28`; the seconds are since 1970.
    fn text(&mut self, second: u64) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            let time =
                i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            self.text.clear();
            // A string takes everything.
            let _ = write!(self.text, "{}", time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S"));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests;
