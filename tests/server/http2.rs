//! HTTP/2 with prior knowledge, frame by frame.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{PATIENCE, Server, Setup};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GONE: u8 = 7;
const ACKNOWLEDGED: u8 = 1;

struct Client(TcpStream);

impl Client {
    /// It takes so many bytes of each answer before it says more.
    fn connect(server: &Server, window: u32) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(socket);
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let settings = [[0, 4].as_slice(), &window.to_be_bytes()].concat();
        client.send(SETTINGS, 0, 0, &settings).unwrap();
        client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u8::try_from(payload.len()).unwrap();
        self.0.write_all(&[&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat())
    }

    /// `GET /health`, whole.
    fn ask(&mut self, stream: u8) {
        let head = b"\x82\x86\x04\x07/health\x01\x09localhost";
        self.send(HEADERS, 5, stream, head).unwrap();
    }

    /// Reads on to a frame of this kind, and returns its stream. The server's pings are answered.
    fn read(&mut self, wanted: u8) -> std::io::Result<u8> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head)?;
            let [high, middle, low, kind, flags, _, _, _, stream] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap()];
            self.0.read_exact(&mut payload)?;
            if kind == PING && flags == 0 {
                self.send(PING, ACKNOWLEDGED, 0, &payload)?;
            }
            if kind == wanted {
                return Ok(stream);
            }
        }
    }
}

#[test]
fn a_connection_that_is_used_now_and_then_is_kept() {
    let server = Setup::demo().variable("FLAGSTONE_SERVER__HEADER_TIMEOUT", "500ms").start();
    let mut client = Client::connect(&server, 65_535);
    client.ask(1);
    assert_eq!(client.read(HEADERS).unwrap(), 1);
    // Longer than a head may take, and not silent meanwhile.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        client.send(PING, 0, 0, &[0; 8]).unwrap();
        client.read(PING).unwrap();
    }
    client.ask(3);
    assert_eq!(client.read(HEADERS).unwrap(), 3);
}

#[test]
fn who_takes_nothing_of_an_answer_is_let_go() {
    let server = Setup::demo().variable("FLAGSTONE_SERVER__WRITE_TIMEOUT", "1s").start();
    let mut client = Client::connect(&server, 0);
    client.ask(1);
    // It is there all the time.
    let there = thread::spawn(move || client.read(GONE).map_err(|error| error.kind()));
    let deadline = Instant::now() + PATIENCE;
    for open in [1, 0] {
        while server.figure("http_requests_in_flight") != open {
            assert!(Instant::now() < deadline, "there are never {open}");
        }
    }
    assert_eq!(there.join().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}
