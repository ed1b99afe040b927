use std::{
    fmt::Write as _,
    io::Write as _,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{escape, spec::Format};
use crate::kernel::{Ended, Exchange, Outcome, RequestId};

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

/// The name of a field, as it stands before the value in JSON and in text.
#[derive(Clone, Copy)]
struct Name {
    json: &'static str,
    text: &'static str,
}

/// A [`Name`] that is put together when the program is built.
macro_rules! name {
    ($name:literal) => {
        Name { json: concat!(",\"", $name, "\":"), text: concat!(" ", $name, "=") }
    };
}

/// Writes fields in JSON, or as text. Each format is compiled for itself.
struct Fields<'a, const JSON: bool> {
    buffer: &'a mut Vec<u8>,
}

// === impl Line ===

impl Line<'_> {
    /// Appends the line. `context` is what the host adds to every line, formatted.
    pub(super) fn write(&self, format: Format, context: &[u8], clock: &mut Clock, buffer: &mut Vec<u8>) {
        match format {
            Format::Json => self.write_fields(Fields::<true> { buffer }, context, clock),
            Format::Text => self.write_fields(Fields::<false> { buffer }, context, clock),
        }
    }

    fn write_fields<const JSON: bool>(
        &self,
        mut fields: Fields<'_, JSON>,
        context: &[u8],
        clock: &mut Clock,
    ) {
        let failed = self.ended.status.is_some_and(|status| status.is_server_error())
            || self.ended.outcome == Outcome::Failed;
        fields.begin();
        fields.time(self.time, clock);
        fields.word(name!("level"), if failed { "ERROR" } else { "INFO" });
        fields.word(name!("message"), "request");
        self.write_request(&mut fields);
        self.write_answer(&mut fields);
        fields.buffer.extend_from_slice(context);
        fields.end();
    }

    fn write_request<const JSON: bool>(&self, fields: &mut Fields<'_, JSON>) {
        let exchange = self.exchange;
        fields.text(name!("method"), exchange.method().as_str());
        fields.text(name!("path"), exchange.path());
        if let Some(route) = exchange.pattern() {
            fields.text(name!("route"), route);
        }
        if let Some(id) = exchange.request_id() {
            fields.id(name!("request_id"), id);
        }
        if let Some(address) = exchange.address() {
            fields.address(name!("client"), address);
        }
        if let Some(principal) = exchange.principal() {
            fields.word(name!("principal_kind"), principal.kind().as_str());
            fields.text(name!("principal"), principal.id());
            for (key, value) in principal.context() {
                fields.pair(key, value);
            }
        }
    }

    fn write_answer<const JSON: bool>(&self, fields: &mut Fields<'_, JSON>) {
        if let Some(status) = self.ended.status {
            fields.number(name!("status"), u64::from(status.as_u16()));
        }
        fields.milliseconds(name!("duration_ms"), self.ended.duration);
        fields.number(name!("bytes"), self.ended.bytes);
        fields.word(name!("outcome"), outcome(self.ended.outcome));
        if let Some(stopped) = self.exchange.stopped() {
            fields.text(name!("stopped_by"), &stopped.layer);
        }
        fields.list(name!("observed"), &self.exchange.observed());
        if let Some(generation) = self.exchange.generation() {
            fields.number(name!("generation"), generation);
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
    for (key, value) in pairs {
        match format {
            Format::Json => Fields::<true> { buffer: &mut buffer }.pair(key, value),
            Format::Text => Fields::<false> { buffer: &mut buffer }.pair(key, value),
        }
    }
    buffer
}

// === impl Fields ===

impl<const JSON: bool> Fields<'_, JSON> {
    fn begin(&mut self) {
        if JSON {
            self.push("{\"timestamp\":\"");
        }
    }

    fn end(&mut self) {
        self.push(if JSON { "}\n" } else { "\n" });
    }

    /// The first field, RFC 3339 with milliseconds.
    fn time(&mut self, time: SystemTime, clock: &mut Clock) {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.push(clock.text(time.as_secs()));
        self.fraction(time.subsec_millis());
        self.push(if JSON { "Z\"" } else { "Z" });
    }

    fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        self.value(value);
    }

    /// A name of the host's, which needs no escaping, and its value.
    fn pair(&mut self, key: &'static str, value: &str) {
        self.push(if JSON { ",\"" } else { " " });
        self.push(key);
        self.push(if JSON { "\":" } else { "=" });
        self.value(value);
    }

    fn value(&mut self, value: &str) {
        if JSON { escape::json(value, self.buffer) } else { escape::text(value, self.buffer) }
    }

    /// A text of ours that needs no escaping.
    fn word(&mut self, name: Name, value: &'static str) {
        self.name(name);
        self.quoted(|fields| fields.push(value));
    }

    /// An id has nothing in it that JSON escapes.
    fn id(&mut self, name: Name, id: &RequestId) {
        self.name(name);
        if JSON {
            self.quoted(|fields| fields.buffer.extend_from_slice(id.as_bytes()));
        } else {
            self.value(id.as_str());
        }
    }

    fn address(&mut self, name: Name, address: IpAddr) {
        self.name(name);
        self.quoted(|fields| match address {
            // Nearly every line has one: it is spared what `fmt` costs.
            IpAddr::V4(address) => {
                let [first, others @ ..] = address.octets();
                fields.digits(first);
                for octet in others {
                    fields.push(".");
                    fields.digits(octet);
                }
            }
            IpAddr::V6(address) => write(fields.buffer, format_args!("{address}")),
        });
    }

    fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        self.digits(value);
    }

    fn milliseconds(&mut self, name: Name, duration: Duration) {
        self.name(name);
        self.digits(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        self.fraction(duration.subsec_micros() % 1_000);
    }

    /// A list of texts; an empty one is left out.
    fn list(&mut self, name: Name, values: &[impl AsRef<str>]) {
        if values.is_empty() {
            return;
        }
        self.name(name);
        self.push(if JSON { "[" } else { "" });
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(",");
            }
            self.value(value.as_ref());
        }
        self.push(if JSON { "]" } else { "" });
    }

    #[inline]
    fn name(&mut self, name: Name) {
        self.push(if JSON { name.json } else { name.text });
    }

    #[inline]
    fn quoted(&mut self, content: impl FnOnce(&mut Self)) {
        self.push(if JSON { "\"" } else { "" });
        content(self);
        self.push(if JSON { "\"" } else { "" });
    }

    fn digits(&mut self, value: impl itoa::Integer) {
        self.push(itoa::Buffer::new().format(value));
    }

    /// A point and three digits.
    fn fraction(&mut self, thousandths: u32) {
        let digit = |unit: u32| b'0' + (thousandths / unit % 10) as u8;
        self.buffer.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
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
