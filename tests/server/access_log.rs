//! Every end of a request has exactly one line, which tells how it ended (R51, R52, R53).

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    harness::{Request, Server, Setup},
    socket,
};

/// The client as a trusted proxy says it.
const CLIENT: &str = "203.0.113.7";

/// A request that was made, under the id it was given, and what its line has to say; `null` is a field it must not have.
struct Case {
    id: &'static str,
    line: Value,
}

/// All cases of one server.
struct Cases {
    server: Server,
    expected: Vec<Case>,
}

fn setup() -> Setup {
    Setup::demo()
        .variable("LOG_FILE", "log.json")
        .variable("LOG_LEVEL", "info,flagstone=debug")
        .variable("TRUSTED_PROXIES", "127.0.0.1")
        .variable("IP_BLOCK", "203.0.113.66")
        .variable("RELEASE", "2026.11")
        .variable("INSTANCE_ID", "one")
        .pipeline(|text| {
            let with = |text: String, path: &str, chain: &str, more: &str| {
                let route = format!("path = \"{path}\"\nchain = \"{chain}\"\n");
                assert!(text.contains(&route), "{route}");
                text.replace(&route, &format!("{route}{more}\n"))
            };
            let text = with(text, "/api/auth/login", "login", "override.timeout = { after = \"1ms\" }");
            with(text, "/api/auth/setup", "login", "override.body-limit = { read_timeout = \"50ms\" }")
        })
}

fn with_id(request: Request, id: &str) -> Request {
    request.header("x-request-id", id).header("x-forwarded-for", CLIENT)
}

// === impl Cases ===

impl Cases {
    fn new(setup: Setup) -> Self {
        Self { server: setup.start(), expected: Vec::new() }
    }

    fn expect(&mut self, id: &'static str, line: Value) {
        self.expected.push(Case { id, line });
    }

    /// Sends a request and expects its line to have the answer's status and length.
    fn send(&mut self, id: &'static str, request: Request, mut line: Value) {
        let answer = with_id(request, id).send();
        line["status"] = answer.status.into();
        line["bytes"] = answer.body.len().into();
        assert_eq!(answer.header("x-request-id"), Some(id));
        self.expect(id, line);
    }

    /// Opens a connection and sends a request's head, whatever comes of it.
    fn begin(&self, id: &str, head: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.server.address()).unwrap();
        let host = self.server.address();
        let head = format!("{head}Host: {host}\r\nX-Request-Id: {id}\r\nX-Forwarded-For: {CLIENT}\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        socket
    }

    fn key(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.server.client_key())
    }

    /// Ends the server and looks at its log.
    fn check(mut self, exit: i32) -> Vec<Value> {
        self.server.signal("TERM");
        assert_eq!(self.server.wait().code(), Some(exit));
        let text = std::fs::read_to_string(self.server.folder().join("log.json")).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for Case { id, line: expected } in &self.expected {
            let found: Vec<_> = lines.iter().filter(|line| line["request_id"] == *id).collect();
            let [line] = found[..] else { panic!("{id}: {} lines: {found:?}", found.len()) };
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&line[field], value, "{id}: {field}: {line}");
            }
            assert_eq!((&line["message"], &line["client"]), (&"request".into(), &CLIENT.into()), "{line}");
            assert!(line["duration_ms"].as_f64().unwrap() >= 0.0 && line["bytes"].is_u64(), "{line}");
        }
        for line in &lines {
            assert_eq!((&line["release"], &line["instance"]), (&"2026.11".into(), &"one".into()), "{line}");
            assert!(
                line["timestamp"].as_str().unwrap().ends_with('Z') && line["level"].is_string(),
                "{line}"
            );
        }
        lines
    }
}

#[test]
fn every_answer_has_one_line() {
    let mut cases = Cases::new(setup());
    let (client_key, server_key) = (cases.server.client_key(), cases.server.server_key());
    let complete = |route: Value, stopped_by: Value| json!({ "outcome": "complete", "route": route, "stopped_by": stopped_by, "level": "INFO" });

    let request = cases.server.get("/health?token=secret");
    cases.send("answered", request, complete("/health".into(), Value::Null));
    let mut line = complete("/api/v1/evaluate".into(), Value::Null);
    for (field, value) in [("method", "POST"), ("path", "/api/v1/evaluate"), ("principal_kind", "client_key")]
    {
        line[field] = value.into();
    }
    (line["project"], line["environment"], line["generation"]) =
        ("demo".into(), "development".into(), 1.into());
    let request = cases.server.post("/api/v1/evaluate").key(&client_key);
    cases.send("by-a-key", request, line);
    let request = cases.server.request("HEAD", "/health");
    cases.send("head", request, complete("/health".into(), Value::Null));
    let definitions = || cases.server.get("/api/v1/definitions").key(&server_key);
    let tag = definitions().send().header("etag").unwrap().to_owned();
    let request = definitions().header("if-none-match", &tag);
    let mut line = complete("/api/v1/definitions".into(), Value::Null);
    line["principal_kind"] = "server_key".into();
    cases.send("not-modified", request, line);
    let request = cases
        .server
        .request("OPTIONS", "/api/v1/evaluate")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST");
    cases.send("preflight", request, json!({ "outcome": "complete", "method": "OPTIONS" }));
    let request = cases.server.get("/no/such/path");
    cases.send("unknown-path", request, complete(Value::Null, Value::Null));
    let request = cases.server.request("DELETE", "/api/v1/evaluate");
    cases.send("wrong-method", request, complete(Value::Null, Value::Null));

    let request = cases.server.post("/api/v1/evaluate");
    cases.send("no-key", request, complete("/api/v1/evaluate".into(), "sdk-key".into()));
    let request = cases.server.get("/api/auth/me");
    cases.send("no-session", request, complete("/api/auth/me".into(), "session".into()));
    let request = cases.server.get("/ofrep/v1/events?token=secret");
    cases.send("bad-token", request, complete("/ofrep/v1/events".into(), "stream-token".into()));
    let request = cases.server.post("/api/v1/evaluate").key(&client_key).body(vec![b'x'; 2 << 20]);
    cases.send("too-large", request, complete("/api/v1/evaluate".into(), "body-limit".into()));
    let request =
        cases.server.post("/api/auth/setup").header("origin", "https://evil.example").json(&json!({}));
    cases.send("cross-site", request, complete("/api/auth/setup".into(), "csrf".into()));
    let credentials = json!({ "email": "a@b.c", "password": "wrong and long enough" });
    let request = cases.server.post("/api/auth/login").json(&credentials);
    let mut line = complete("/api/auth/login".into(), "timeout@/api/auth/login".into());
    line["level"] = "ERROR".into();
    cases.send("timed-out", request, line);

    let socket = cases.begin(
        "slow-body",
        "POST /api/auth/setup HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n",
    );
    assert!(read(socket).contains(" 408 "));
    let mut line = complete("/api/auth/setup".into(), "body-limit@/api/auth/setup".into());
    line["status"] = 408.into();
    cases.expect("slow-body", line);

    let host = cases.server.address();
    let one = |id: &str| {
        format!(
            "GET /health HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\nX-Forwarded-For: {CLIENT}\r\n\r\n"
        )
    };
    let answers = socket::exchange(host, (one("pipelined-1") + &one("pipelined-2")).as_bytes());
    assert_eq!(answers.statuses(), [200, 200]);
    for id in ["pipelined-1", "pipelined-2"] {
        cases.expect(id, json!({ "status": 200, "outcome": "complete" }));
    }

    let blocked = cases.server.get("/health").header("x-request-id", "blocked");
    assert_eq!(blocked.header("x-forwarded-for", "203.0.113.66").send().status, 403);
    let lines = cases.check(0);
    let blocked = lines.iter().find(|line| line["request_id"] == "blocked").unwrap();
    assert_eq!((&blocked["client"], &blocked["stopped_by"]), (&"203.0.113.66".into(), &"ip-filter".into()));
}

#[test]
fn what_hyper_refuses_is_counted_and_has_no_line() {
    let cases = Cases::new(setup());
    for bytes in
        [&b"NONSENSE\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n"]
    {
        assert_eq!(socket::exchange(cases.server.address(), bytes).statuses(), [400]);
    }
    let many = format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "x: y\r\n".repeat(70));
    assert_eq!(socket::exchange(cases.server.address(), many.as_bytes()).statuses(), [431]);
    let metrics = cases.server.admin("GET", "/metrics").send();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let counted = metrics.lines().find(|line| line.starts_with("http_requests_unreadable_total"));
    assert_eq!(counted.unwrap().rsplit(' ').next(), Some("4"), "{metrics}");
    let lines = cases.check(0);
    let said = lines.iter().filter(|line| line["message"] == "a request could not be read");
    assert_eq!(said.filter(|line| line["level"] == "DEBUG" && line["peer"].is_string()).count(), 3);
    assert!(!lines.iter().any(|line| line["message"] == "request"));
}

#[test]
fn who_goes_away_and_what_is_cut_off_has_one_line() {
    let setup = setup().variable("FLAGSTONE_SHUTDOWN__DEADLINE", "2s").variable("STRICT_RATE_LIMIT_MAX", "0");
    let setup = setup.variable("FLAGSTONE_DATABASE__BUSY_TIMEOUT", "60s");
    let setup = setup.variable("FLAGSTONE_DATABASE__STATEMENT_TIMEOUT", "60s");
    let setup = setup.pipeline(|text| text.replace("override.timeout = { after = \"1ms\" }", ""));
    let file = setup.folder().join("flagstone.db");
    let mut cases = Cases::new(setup.database(&file));
    let admin = cases.server.sign_in();
    // From here on the session is known without the database.
    assert_eq!(admin.get("/api/auth/me").send().status, 200);
    let cookie = format!("Cookie: {}\r\n", admin.cookie());

    let stream = format!("GET /api/v1/stream HTTP/1.1\r\n{}", cases.key());
    let mut left = cases.begin("stream-left", &stream);
    let head = read_until(&mut left, ": connected");
    drop(left);
    let mut line = json!({ "status": 200, "outcome": "aborted", "level": "INFO", "route": "/api/v1/stream" });
    line["principal_kind"] = "client_key".into();
    line["environment"] = "development".into();
    let sent = body_bytes(&head);
    assert!(sent > 0);
    line["bytes"] = sent.into();
    cases.expect("stream-left", line);

    // Its body never comes, and then it is gone.
    let head = format!("POST /api/v1/evaluate HTTP/1.1\r\nContent-Length: 10\r\n{}", cases.key());
    let gone = cases.begin("gone-in-its-body", &head);
    gone.shutdown(Shutdown::Both).unwrap();
    cases.expect("gone-in-its-body", json!({ "route": "/api/v1/evaluate", "principal_kind": "client_key" }));

    // What waits for the database: who asked goes away, or the server does.
    let lock = Connection::open(&file).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = json!({ "key": "waits", "name": "waits" }).to_string();
    let create = format!(
        "POST /api/management/projects HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{cookie}",
        body.len()
    );
    let mut gone = cases.begin("gone-before-the-answer", &create);
    gone.write_all(body.as_bytes()).unwrap();
    in_flight(&cases.server, 1);
    drop(gone);
    in_flight(&cases.server, 0);
    let none = json!({ "status": null, "outcome": "aborted", "bytes": 0, "principal_kind": "admin" });
    cases.expect("gone-before-the-answer", none.clone());

    let mut ended = cases.begin("stream-ended", &stream);
    read_until(&mut ended, ": connected");
    cases.expect("stream-ended", json!({ "status": 200, "outcome": "complete", "level": "INFO" }));
    let mut cut_off = cases.begin("cut-off-by-the-end", &create);
    cut_off.write_all(body.as_bytes()).unwrap();
    in_flight(&cases.server, 2);
    cases.expect("cut-off-by-the-end", none);
    let lines = cases.check(1);
    assert!(lines.iter().any(|line| line["message"] == "stopping: time is up, dropping connections"));
    drop(lock);
}

fn read(mut socket: TcpStream) -> String {
    let mut text = String::new();
    socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    socket.read_to_string(&mut text).unwrap();
    text
}

fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut text = String::new();
    while !text.contains(wanted) || !text.ends_with("\r\n") {
        let mut buffer = [0; 4096];
        let length = socket.read(&mut buffer).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    text
}

/// The bytes of a body in chunks, as far as it came.
fn body_bytes(answer: &str) -> usize {
    let mut rest = answer.split_once("\r\n\r\n").unwrap().1;
    let mut total = 0;
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        total += length;
        rest = &more[length + 2..];
    }
    total
}

/// Waits until so many requests are being answered.
fn in_flight(server: &Server, count: u64) {
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let metrics = server.admin("GET", "/metrics").send();
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let now = metrics.lines().find_map(|line| line.strip_prefix("http_requests_in_flight "));
        if now.map(str::parse) == Some(Ok(count)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "never {count} in flight: {metrics}");
    }
}
