//! A process that may open no more files: who is connected is served, nothing turns in circles, and it takes connections
//! again when there is room (R32, R74).

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    harness::{PATIENCE, Server, Setup},
    machine::pass,
};

/// A connection that is kept.
struct Kept {
    socket: TcpStream,
    head: String,
}

impl Kept {
    fn open(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
        Self { socket, head }
    }

    /// Whether a request is answered; not where it is closed.
    fn is_served(&mut self) -> bool {
        let mut answer = [0; 4096];
        let length = self.socket.write_all(self.head.as_bytes()).and_then(|()| self.socket.read(&mut answer));
        length.is_ok_and(|length| answer[..length].starts_with(b"HTTP/1.1 200"))
    }
}

/// Whether a new connection is served.
fn accepts(server: &Server) -> bool {
    Kept::open(server).is_served()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
    }
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// The process's time on a processor, in hundredths of a second.
fn ticks(server: &Server) -> u64 {
    let line = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // Counted from behind the name, which may hold anything.
    let fields: Vec<_> = line.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

/// The soft limit of a running server's open files.
fn limit(server: &Server, files: usize) {
    let files = format!("--nofile={files}:");
    let set = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &files]).status();
    assert!(set.unwrap().success());
}

fn soft_limit(server: &Server) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn none_left_and_all_that_is_open_goes_on() {
    let server = Setup::demo().start();
    let admin = server.sign_in();
    let bearer = format!("Bearer {}", server.client_key());
    let stream = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    admin.switch("theme", false);
    let mut kept = Kept::open(&server);
    assert!(kept.is_served());
    limit(&server, open_files(&server));
    let waiting: Vec<_> = (0..50).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let said = server.log_line(|line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("cannot accept a connection"))
    });
    assert!(said["error"].as_str().unwrap().contains("Too many open files"), "{said}");
    let before = ticks(&server);
    pass(Duration::from_secs(2));
    let used = ticks(&server) - before;
    assert!(used < 20, "{used} hundredths of a second in two");
    assert!(kept.is_served());
    // On a connection that is there, as everything here.
    admin.switch("theme", true);
    stream.data();
    assert_eq!(stream.data()["flagKey"], "theme");
    drop(waiting);
    limit(&server, 1000);
    until("it accepts again", || accepts(&server));
    assert!(kept.is_served());
}

#[test]
fn a_low_limit_leaves_room_for_everything_but_connections() {
    let setup = Setup::demo().variable("LOG_FILE", "log.json");
    let limited = setup.launched_by(&["prlimit", "--nofile=200:200"]).start();
    let mut connections: Vec<_> = (0..300).map(|_| Kept::open(&limited)).collect();
    let served = connections.iter_mut().map(Kept::is_served).filter(|served| *served).count();
    assert_eq!(served, 100);
    assert!(open_files(&limited) < 200, "some are left");
    let mut first = connections.swap_remove(0);
    drop(connections);
    until("there is room", || accepts(&limited));
    let created = limited.sign_in().post("/api/management/projects/demo/flags");
    assert_eq!(created.json(&json!({ "key": "made", "type": "boolean" })).send().status, 201);
    assert!(first.is_served());
    let lines = limited.wait_for_log("/health");
    let said = lines.iter().find(|line| line["max_connections"] == 20_000).expect("it is warned of");
    assert_eq!((&said["connections"], &said["open_files"]), (&json!(100), &json!(200)), "{said}");
}

#[test]
fn what_the_process_may_have_it_takes() {
    let server = Setup::demo().launched_by(&["prlimit", "--nofile=128:5000"]).start();
    assert_eq!(soft_limit(&server), 5000);
}
