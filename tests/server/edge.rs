//! The HTTP edge over raw sockets, with nobody between.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{
    cases::{Expected, cases},
    harness::{PATIENCE, Server, Setup},
    socket::{exchange, with_host},
};

#[test]
fn every_hostile_request_is_refused_or_answered_once() {
    let server = Setup::demo().variable("RATE_LIMIT_MAX", "0").variable("LOG_FILE", "log.json").start();
    let address = server.address();
    let mut wrong = Vec::new();
    for case in cases() {
        let bytes = with_host(&case.bytes, &address.to_string());
        let answers = exchange(address, &bytes);
        let statuses = answers.statuses();
        let fits = match (case.direct, statuses.as_slice()) {
            (Expected::StatusOrClosed(_), []) => true,
            (Expected::Status(allowed) | Expected::StatusOrClosed(allowed), [status]) => {
                allowed.contains(status)
            }
            _ => false,
        };
        if !fits {
            wrong.push(format!("{}: {statuses:?} where {:?} was expected", case.name, case.direct));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing that stood in a body or a header became a request of its own.
    assert_eq!(server.get("/after-all").send().status, 404);
    let log = server.wait_for_log("/after-all");
    assert!(!log.iter().any(|line| line["path"] == "/smuggled"), "something was smuggled");
    assert!(!log.iter().any(|line| line["status"].as_u64().is_some_and(|status| status >= 500)));
}

#[test]
fn a_client_that_is_still_sending_can_read_that_it_was_refused_and_that_the_connection_ends() {
    let server = Server::demo();
    let body = vec![b'x'; 10 << 20];
    for round in 0..100 {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /api/v1/evaluate HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            server.address(),
            server.client_key(),
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        // All of it is sent before anything is read, as simple clients do.
        socket.write_all(&body).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(answer.starts_with("HTTP/1.1 413"), "round {round}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "round {round}: {answer}");
    }
}

#[test]
fn a_connection_outlives_a_refusal_whose_body_comes_late() {
    let server = Server::demo();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut status = |sent: &str| {
        socket.write_all(sent.as_bytes()).unwrap();
        let mut answer = [0; 16 * 1024];
        let length = socket.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).get(9..12).map(str::to_owned)
    };
    let host = server.address();
    let refused = format!("POST /api/v1/evaluate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n");
    let next = format!("{{}}GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(status(&refused).as_deref(), Some("401"), "before its body came");
        assert_eq!(status(&next).as_deref(), Some("200"), "on the same connection");
    }
}

#[test]
fn a_body_that_comes_late_and_in_pieces_is_evaluated_like_one_that_is_there() {
    let server = Server::demo();
    let (host, key) = (server.address(), server.client_key());
    let body = r#"{"context":{"targetingKey":"user-1","plan":"pro"}}"#;
    for path in ["/ofrep/v1/evaluate/flags/beta-search", "/api/v1/evaluate/beta-search"] {
        let there = server.post(path).key(&key).header("content-type", "application/json").body(body).send();
        assert_eq!(there.status, 200, "{there:?}");
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        // Said when somebody waits for the body.
        let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        socket.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        for piece in body.as_bytes().chunks(10) {
            socket.write_all(piece).unwrap();
        }
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200") && answer.ends_with(&there.body), "{text}");
    }
}

#[test]
fn requests_sent_all_at_once_are_answered_one_by_one() {
    let server = Server::demo();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answers = exchange(server.address(), (request.repeat(49) + &last).as_bytes());
    assert_eq!(answers.statuses(), [200; 50]);
}

#[test]
fn a_proxy_says_whose_connection_it_is_and_nobody_else_can() {
    let setup = || Setup::demo().variable("LOG_FILE", "log.json");
    let trusting = setup().variable("PROXY_PROTOCOL_FROM", "127.0.0.0/8").start();
    let ask = |server: &Server, before: &[u8], path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address());
        exchange(server.address(), &[before, head.as_bytes()].concat()).statuses()
    };
    let second =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[198, 51, 100, 8, 192, 0, 2, 2, 1, 1, 1, 1]]
            .concat();
    assert_eq!(ask(&trusting, b"PROXY TCP4 198.51.100.7 192.0.2.2 1 2\r\n", "/nothing/first"), [404]);
    assert_eq!(ask(&trusting, &second, "/nothing/second"), [404]);
    assert_eq!(ask(&trusting, b"", "/nothing/without"), [0; 0], "it has to say so");
    let address_of = |server: &Server, path: &str| {
        let log = server.wait_for_log(path);
        log.iter().rev().find(|line| line["path"] == path).unwrap()["client"].clone()
    };
    assert_eq!(address_of(&trusting, "/nothing/first"), Value::from("198.51.100.7"));
    assert_eq!(address_of(&trusting, "/nothing/second"), Value::from("198.51.100.8"));

    let other = setup().variable("PROXY_PROTOCOL_FROM", "192.0.2.0/24").start();
    assert_eq!(ask(&other, b"PROXY TCP4 198.51.100.7 192.0.2.2 1 2\r\n", "/nothing"), [400]);
    assert_eq!(ask(&other, b"", "/nothing/plain"), [404]);
    assert_eq!(address_of(&other, "/nothing/plain"), Value::from("127.0.0.1"));
}

#[test]
fn connections_over_the_cap_are_closed_and_those_within_go_on() {
    let server = Setup::demo().variable("FLAGSTONE_SERVER__MAX_CONNECTIONS", "20").start();
    let mut held: Vec<TcpStream> = (0..19).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let mut last = TcpStream::connect(server.address()).unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    let ask = |socket: &mut TcpStream| {
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let length = socket.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).starts_with("HTTP/1.1 200")
    };
    assert!(ask(&mut last));
    for _ in 0..50 {
        let mut over = TcpStream::connect(server.address()).unwrap();
        over.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = over.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = over.read_to_end(&mut answer);
        assert!(answer.is_empty(), "closed without an answer");
    }
    assert!(ask(&mut last), "who was there is served");
    // Room is made at once when somebody leaves.
    drop(held.drain(..10));
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        let _ = socket.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes());
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        if answer.starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no room was made");
    }
}

#[test]
fn a_client_that_reads_no_answers_is_let_go_and_what_it_did_not_read_thrown_away() {
    let server = Setup::demo().variable("FLAGSTONE_SERVER__WRITE_TIMEOUT", "1s").start();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let requests = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).repeat(100);
    let deadline = std::time::Instant::now() + PATIENCE;
    // It goes on asking, so that the connection is never silent.
    let ended = loop {
        match socket.write_all(requests.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break error,
            Err(_) | Ok(()) => assert!(std::time::Instant::now() < deadline, "it is kept"),
        }
    };
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset, "{ended}");
    assert_eq!(server.get("/health").send().status, 200);
}

#[test]
fn a_stream_whose_reader_stopped_is_ended() {
    let server = Setup::demo().variable("FLAGSTONE_SERVER__WRITE_TIMEOUT", "1s").start();
    // Small segments and little room: else megabytes went onto their way before anything waited.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /api/v1/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.address(),
        server.client_key()
    );
    socket.write_all(head.as_bytes()).unwrap();
    let deadline = std::time::Instant::now() + 3 * PATIENCE;
    while server.figure("flag_streams") == 0 {
        assert!(std::time::Instant::now() < deadline, "it is not open");
    }
    // Changes come until they fill what is there, and a while longer.
    let admin = server.sign_in();
    let path = "/api/management/projects/demo/flags/beta-search/environments/development";
    let config = admin.get(path).send().json();
    while server.figure("flag_streams") == 1 {
        for _ in 0..20 {
            assert_eq!(admin.put(path, &config).status, 200);
        }
        assert!(std::time::Instant::now() < deadline, "it is kept");
    }
    // What it had not read is thrown away, rather than kept in the kernel until it is.
    let read = socket.read_to_end(&mut Vec::new());
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
