//! Raw sockets: send bytes, and read all that comes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// All answers on one connection.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) text: String,
}

/// How long a server may be silent before the client says that it has nothing more to send.
const SILENCE: Duration = Duration::from_millis(500);

/// Sends the bytes and reads to the end.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Answers {
    exchange_on(TcpStream::connect(address).unwrap(), bytes)
}

/// The same on a connection that is open.
pub(crate) fn exchange_on(mut socket: TcpStream, bytes: &[u8]) -> Answers {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    // The other side may answer and close before all is sent.
    let _ = socket.write_all(bytes);
    let mut read = Vec::new();
    if socket.read_to_end(&mut read).is_err() {
        // It waits for more. There is none.
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = socket.read_to_end(&mut read);
    }
    Answers { text: String::from_utf8_lossy(&read).into_owned() }
}

/// The bytes with the server's address in place of `HOST`.
pub(crate) fn with_host(bytes: &[u8], host: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(index) = rest.windows(4).position(|window| window == b"HOST") {
        replaced.extend_from_slice(&rest[..index]);
        replaced.extend_from_slice(host.as_bytes());
        rest = &rest[index + 4..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

impl Answers {
    /// The statuses in their order, but for those that only go before another.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let lines = self.text.split("HTTP/1.").skip(1);
        let statuses = lines.filter_map(|line| line.get(2..5)?.parse().ok());
        statuses.filter(|status| *status >= 200).collect()
    }
}
