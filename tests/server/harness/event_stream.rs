//! Event streams, read as they come.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use serde_json::Value;

use super::PATIENCE;

/// An open event stream.
pub(crate) struct EventStream {
    lines: Receiver<String>,
}

// === impl EventStream ===

impl EventStream {
    /// Opens one at the server, or at what stands before it.
    pub(crate) fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::on(TcpStream::connect(address).unwrap(), address, path, headers)
    }

    pub(super) fn on(
        mut socket: TcpStream,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\nConnection: close\r\n"
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(socket).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let stream = Self { lines };
        let status = stream.line(|line| line.starts_with("HTTP/1.1"));
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        stream.line(|line| line == ": connected");
        stream
    }

    /// Waits for a line.
    pub(crate) fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.line_or_end(wanted).unwrap_or_else(|| panic!("the stream ended"))
    }

    /// Waits for the next event's data.
    pub(crate) fn data(&self) -> Value {
        self.data_or_end().unwrap_or_else(|| panic!("the stream ended"))
    }

    /// The same; `None` where the stream ends before.
    pub(crate) fn data_or_end(&self) -> Option<Value> {
        let line = self.line_or_end(|line| line.starts_with("data: "))?;
        Some(serde_json::from_str(line.trim_start_matches("data: ")).unwrap())
    }

    fn line_or_end(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if wanted(&line) => return Some(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("the stream's line did not come"),
            }
        }
    }

    /// Waits for the stream's end; what came before it.
    pub(crate) fn end(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("the stream did not end: {lines:?}"),
            }
        }
    }
}
