//! What every answer carries, whoever gives it: each chain of the shipped pipeline, each kind of answer (R28, R33–R40).

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::harness::{Answer, PATIENCE, Request, Server, Setup};

/// On every answer, once, with these values.
const ALWAYS: [(&str, &str); 12] = [
    ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    (
        "permissions-policy",
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("x-xss-protection", "0"),
    ("origin-agent-cluster", "?1"),
    ("x-dns-prefetch-control", "off"),
    ("x-permitted-cross-domain-policies", "none"),
];

/// On no answer.
const NEVER: [&str; 6] = [
    "server",
    "x-powered-by",
    "x-download-options",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "ratelimit-policy",
];

/// The page whose origin is allowed, and one whose is not.
const ALLOWED: &str = "https://app.example";
const OTHER: &str = "https://evil.example";

/// A client that is kept out.
const BLOCKED: &str = "203.0.113.66";

const PROJECTS: &str = "/api/management/projects";
const KEPT: &str = "no-cache, private";
const STREAMED: &str = "no-store, no-transform";

/// Who may read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Pages of allowed origins, with cookies.
    Own,
    /// Pages of any origin.
    Any,
}

use Readers::{Any, Own};

/// An answer and what is expected of it.
struct Row {
    what: &'static str,
    answer: (u16, Vec<(String, String)>),
    status: u16,
    readers: Readers,
    /// The origin of the page that asked.
    origin: Option<&'static str>,
    /// Whether a limit was passed or hit.
    limited: bool,
    cache_control: &'static str,
}

// === impl Row ===

impl Row {
    /// Of what this is answered with.
    fn new(what: &'static str, status: u16, request: Request) -> Self {
        Self::of(what, status, &request.send())
    }

    fn of(what: &'static str, status: u16, answer: &Answer) -> Self {
        Self::of_head(what, status, (answer.status, answer.headers().to_vec()))
    }

    fn of_head(what: &'static str, status: u16, answer: (u16, Vec<(String, String)>)) -> Self {
        Self { what, answer, status, readers: Own, origin: None, limited: false, cache_control: "no-store" }
    }

    fn readers(mut self, readers: Readers) -> Self {
        self.readers = readers;
        self
    }

    fn origin(mut self, origin: &'static str) -> Self {
        self.origin = Some(origin);
        self
    }

    fn limited(mut self) -> Self {
        self.limited = true;
        self
    }

    fn cache_control(mut self, value: &'static str) -> Self {
        self.cache_control = value;
        self
    }

    /// All values of a header.
    fn values(&self, name: &str) -> Vec<&str> {
        let headers = self.answer.1.iter();
        headers
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// What is not as it should be.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |name: &str, expected: &[&str]| {
            let found = self.values(name);
            if found != expected {
                faults.push(format!("{}: {name} is {found:?} and not {expected:?}", self.what));
            }
        };
        for (name, value) in ALWAYS {
            expect(name, &[value]);
        }
        for name in NEVER {
            expect(name, &[]);
        }
        let (policy, allow, credentials) = match (self.readers, self.origin) {
            (Any, _) => ("cross-origin", Some("*"), None),
            (Own, Some(ALLOWED)) => ("same-origin", Some(ALLOWED), Some("true")),
            (Own, _) => ("same-origin", None, None),
        };
        expect("cross-origin-resource-policy", &[policy]);
        expect("access-control-allow-origin", allow.as_slice());
        expect("access-control-allow-credentials", credentials.as_slice());
        expect("cache-control", &[self.cache_control]);
        let varies = self.values("vary").iter().any(|value| value.contains("Origin"));
        let numbers = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
            .map(|name| self.values(name).len() == usize::from(self.limited));
        // A probe's 503 is no problem document: whoever probes comes again anyway.
        let come_again =
            matches!(self.status, 429 | 503) && self.values("content-type") == ["application/problem+json"];
        for (holds, fault) in [
            (self.answer.0 == self.status, "another status"),
            (varies == (self.readers == Own), "Vary"),
            (numbers == [true; 3], "the limit's fields"),
            (self.values("x-request-id").len() == 1, "the request's id"),
            (self.values("retry-after").len() == usize::from(come_again), "Retry-After"),
        ] {
            if !holds {
                faults.push(format!("{}: {fault}: {:?}", self.what, self.answer));
            }
        }
        faults
    }
}

fn assert_all(rows: &[Row]) {
    let faults: Vec<String> = rows.iter().flat_map(Row::faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn setup() -> Setup {
    Setup::demo()
        .variable("TRUSTED_PROXIES", "127.0.0.1")
        .variable("CORS_ORIGINS", ALLOWED)
        .variable("IP_BLOCK", BLOCKED)
}

/// As a proxy passes it on.
fn from(client: &str, request: Request) -> Request {
    request.header("x-forwarded-for", client).header("x-forwarded-proto", "https")
}

fn ask(server: &Server, method: &str, path: &str) -> Request {
    from("198.51.100.1", server.request(method, path))
}

/// The head of the answer to a request whose body never comes, or whose answer never ends.
fn head(server: &Server, method: &str, path: &str, lines: &str) -> (u16, Vec<(String, String)>) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n{lines}\r\n",
        server.address()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    let text = String::from_utf8(read).unwrap();
    let mut lines = text.trim_end().lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    (status, lines.map(|line| pair(line).unwrap()).collect())
}

/// The session cookie of the demonstration's admin, who signs in over https.
fn sign_in(server: &Server) -> String {
    let body = json!({ "email": server.demo["email"], "password": server.demo["password"] });
    let answer = ask(server, "POST", "/api/auth/login").json(&body).send();
    assert_all(&[Row::of("signing in", 200, &answer).limited()]);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["__Host-", "Secure", "HttpOnly", "SameSite=", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn what_anybody_asks_for() {
    let server = setup().start();
    let ask = |method: &str, path: &str| ask(&server, method, path);
    let login = || ask("POST", "/api/auth/login");
    let wrong = json!({ "email": "a@example.com", "password": "wrong" });
    let document = || ask("GET", "/api/openapi.json");
    let documented = document().send();
    let tag = documented.header("etag").unwrap();
    assert_all(&[
        Row::new("probe", 200, ask("GET", "/health")),
        Row::new("probe, HEAD", 200, ask("HEAD", "/health")),
        Row::new("probe by another name", 200, ask("GET", "/liveness")),
        Row::new("probe of a page", 200, ask("GET", "/health").header("origin", ALLOWED)).origin(ALLOWED),
        Row::new("public", 200, ask("GET", "/api/auth/status")).limited(),
        Row::new("public, HEAD", 200, ask("HEAD", "/api/auth/status")).limited(),
        Row::of("document", 200, &documented).limited().cache_control("no-cache"),
        Row::new("document, known already", 304, document().header("if-none-match", tag))
            .limited()
            .cache_control("no-cache"),
        Row::new("login, its handler refuses", 401, login().json(&wrong)).limited(),
        Row::new("login, no JSON", 400, login().header("content-type", "application/json").body("{"))
            .limited(),
        Row::new("login, another type", 415, login().header("content-type", "text/plain").body("x"))
            .limited(),
        Row::new("login, too large", 413, login().body(vec![b'x'; 2 << 20])).limited(),
        Row::new("login, another site", 403, login().header("origin", OTHER).json(&wrong))
            .limited()
            .origin(OTHER),
        Row::new("fallback", 404, ask("GET", "/nothing")).limited(),
        Row::new("fallback, root", 404, ask("GET", "/")).limited(),
        Row::new("fallback of a page", 404, ask("GET", "/nothing").header("origin", ALLOWED))
            .limited()
            .origin(ALLOWED),
        Row::new("fallback, wrong method", 405, ask("DELETE", "/health")).limited(),
        Row::new("fallback, OPTIONS", 405, ask("OPTIONS", PROJECTS)).limited(),
        Row::new("fallback, TRACE", 405, ask("TRACE", "/health")).limited(),
        Row::new("fallback, wrong method of an SDK route", 405, ask("GET", "/api/v1/evaluate")).limited(),
    ]);
}

#[test]
fn what_people_ask_for() {
    let server = setup().start();
    let cookie = sign_in(&server);
    let ask = |method: &str, path: &str| ask(&server, method, path);
    let signed_in = |method: &str, path: &str| ask(method, path).header("cookie", &cookie);
    let (flags, flag) = (format!("{PROJECTS}/demo/flags"), format!("{PROJECTS}/demo/flags/none"));
    let list = || signed_in("GET", PROJECTS);
    let (nothing, new) = (json!({}), json!({ "key": "x", "name": "x" }));
    assert_all(&[
        Row::new("member", 200, list()).limited(),
        Row::new("member, HEAD", 200, signed_in("HEAD", PROJECTS)).limited(),
        Row::new("member of a page", 200, list().header("origin", ALLOWED)).limited().origin(ALLOWED),
        Row::new("member of another page", 200, list().header("origin", OTHER)).limited().origin(OTHER),
        Row::new("member, compressed", 200, list().header("accept-encoding", "gzip")).limited(),
        Row::new("member, nobody", 401, ask("GET", PROJECTS)).limited(),
        Row::new("member, not there", 404, signed_in("GET", &flag)).limited(),
        Row::new("member, bad value", 422, signed_in("POST", &flags).json(&nothing)).limited(),
        Row::new("member, another site", 403, signed_in("DELETE", &flag).header("origin", OTHER))
            .limited()
            .origin(OTHER),
        Row::new("account, nobody", 401, ask("POST", "/api/auth/change-password").json(&nothing)).limited(),
        Row::new("account, bad value", 422, signed_in("POST", "/api/auth/change-password").json(&nothing))
            .limited(),
        Row::new("admin", 200, signed_in("GET", "/api/management/pipeline")).limited(),
        Row::new("admin, nobody", 401, ask("GET", "/api/management/pipeline")).limited(),
        Row::new("admin, made", 201, signed_in("POST", PROJECTS).json(&new)).limited(),
        Row::new("admin, there already", 409, signed_in("POST", PROJECTS).json(&new)).limited(),
    ]);
}

#[test]
fn what_applications_ask_for() {
    let server = setup().start();
    let (client, key) = (server.client_key(), server.server_key());
    let ask = |method: &str, path: &str| ask(&server, method, path);
    let evaluate = || ask("POST", "/api/v1/evaluate").key(&client);
    let bulk = || ask("POST", "/ofrep/v1/evaluate/flags").key(&client).json(&json!({ "context": {} }));
    let definitions = || ask("GET", "/api/v1/definitions");
    let first = bulk().send();
    let tag = first.header("etag").unwrap();
    let events = first.json()["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let defined = definitions().key(&key).send();
    let revision = defined.header("etag").unwrap();
    let bearer = format!("Authorization: Bearer {client}\r\n");
    let any = |row: Row| row.readers(Any);
    assert_all(&[
        any(Row::new("evaluation", 200, evaluate())).limited(),
        any(Row::new("evaluation of a page", 200, evaluate().header("origin", OTHER))).limited(),
        any(Row::new("evaluation, nobody", 401, ask("POST", "/api/v1/evaluate"))),
        any(Row::new("evaluation, no JSON", 400, evaluate().body("{"))).limited(),
        any(Row::new("evaluation, not there", 404, ask("POST", "/api/v1/evaluate/none").key(&client)))
            .limited(),
        any(Row::new("evaluation, too large", 413, evaluate().body(vec![b'x'; 2 << 20]))).limited(),
        any(Row::of("OFREP", 200, &first)).limited().cache_control(KEPT),
        any(Row::new("OFREP, known already", 304, bulk().header("if-none-match", tag))).limited(),
        any(Row::new("OFREP, no JSON", 400, bulk().body("{"))).limited(),
        any(Row::new("OFREP, nobody", 401, ask("POST", "/ofrep/v1/evaluate/flags"))),
        Row::of("definitions", 200, &defined).limited().cache_control(KEPT),
        Row::new("definitions, HEAD", 200, ask("HEAD", "/api/v1/definitions").key(&key))
            .limited()
            .cache_control(KEPT),
        Row::new(
            "definitions, known already",
            304,
            definitions().key(&key).header("if-none-match", revision),
        )
        .limited()
        .cache_control(KEPT),
        Row::new("definitions, nobody", 401, definitions()),
        Row::new("definitions, a page's key", 403, definitions().key(&client)),
        any(Row::of_head("stream", 200, head(&server, "GET", "/api/v1/stream", &bearer)))
            .limited()
            .cache_control(STREAMED),
        any(Row::new("stream, nobody", 401, ask("GET", "/api/v1/stream"))),
        any(Row::of_head("events", 200, head(&server, "GET", &events, ""))).cache_control(STREAMED),
        any(Row::new("events, nobody", 401, ask("GET", "/ofrep/v1/events?token=x"))),
    ]);
}

/// Method and path of a route on each chain, and who may read its answers.
const CHAINS: [(&str, &str, Readers); 12] = [
    ("GET", "/api/openapi.json", Own),
    ("GET", "/health", Own),
    ("GET", "/api/auth/status", Own),
    ("POST", "/api/auth/login", Own),
    ("GET", "/api/auth/me", Own),
    ("POST", "/api/auth/change-password", Own),
    ("GET", "/api/management/pipeline", Own),
    ("POST", "/api/v1/evaluate", Any),
    ("POST", "/ofrep/v1/evaluate/flags", Any),
    ("GET", "/api/v1/definitions", Own),
    ("GET", "/api/v1/stream", Any),
    ("GET", "/ofrep/v1/events", Any),
];

#[test]
fn the_walk_misses_no_chain() {
    let setup = Setup::shipped();
    let shipped: Value = toml::from_str(&fs::read_to_string(setup.pipeline_file()).unwrap()).unwrap();
    let entries = shipped["routes"].as_array().unwrap().iter().chain([&shipped["fallback"]]);
    let named: BTreeSet<_> = entries.map(|entry| entry["chain"].as_str().unwrap().to_owned()).collect();
    let asked = CHAINS.map(|(method, path, _)| {
        let explained = setup.run(&["explain", "--json", method, path]);
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
        explained["chain"].as_str().unwrap().to_owned()
    });
    assert_eq!(BTreeSet::from(asked), named);
}

#[test]
fn preflights_and_addresses_that_are_kept_out_on_every_chain() {
    let server = setup().start();
    for (method, path, readers) in CHAINS {
        for origin in [ALLOWED, OTHER] {
            let preflight = ask(&server, "OPTIONS", path).header("origin", origin);
            let preflight = preflight.header("access-control-request-method", method).send();
            assert_all(&[Row::of(path, 204, &preflight).readers(readers).origin(origin)]);
        }
        let refused = from(BLOCKED, server.request(method, path)).header("origin", ALLOWED).send();
        assert_all(&[Row::of(path, 403, &refused).readers(readers).origin(ALLOWED)]);
        assert_eq!(refused.problem().1, "ADDRESS_REFUSED", "{path}");
    }
    let refused = from(BLOCKED, server.get("/nothing")).send();
    assert_all(&[Row::of("fallback", 403, &refused)]);
}

#[test]
fn who_asks_too_often() {
    let limits =
        |text: String| text.replace("requests = 5000\nwindow = \"1s\"", "requests = 1\nwindow = \"1h\"");
    let server = setup().variable("RATE_LIMIT_MAX", "1").pipeline(limits).start();
    let client = server.client_key();
    for (index, (method, path, readers)) in CHAINS.into_iter().enumerate() {
        // Health is never limited, and event streams are by the answer that names them.
        if path == "/health" || path == "/ofrep/v1/events" {
            continue;
        }
        let key = if path == "/api/v1/definitions" { server.server_key() } else { client.clone() };
        let again = || from(&format!("198.51.100.{index}"), server.request(method, path)).key(&key);
        if path != "/api/v1/stream" {
            again().send();
        }
        assert_all(&[Row::new(path, 429, again()).readers(readers).limited()]);
    }
}

#[test]
fn handlers_that_take_too_long() {
    let server = setup().start();
    let cookie = format!("Cookie: {}\r\n", sign_in(&server));
    let hasty = fs::read_to_string(server.pipeline_file()).unwrap();
    fs::write(server.pipeline_file(), hasty.replace("after = \"30s\"", "after = \"1ms\"")).unwrap();
    assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 200);
    let key = format!("Authorization: Bearer {}\r\n", server.client_key());
    // Their handlers wait for a body.
    for (path, credential, readers) in [
        ("/api/auth/login", "", Own),
        ("/api/auth/change-password", &*cookie, Own),
        ("/api/management/projects", &cookie, Own),
        ("/api/management/projects/demo/flags", &cookie, Own),
        ("/api/v1/evaluate", &key, Any),
        ("/ofrep/v1/evaluate/flags", &key, Any),
    ] {
        let lines = format!("{credential}Content-Type: application/json\r\nContent-Length: 10\r\n");
        let answer = head(&server, "POST", path, &lines);
        assert_all(&[Row::of_head(path, 503, answer).readers(readers).limited()]);
    }
}

#[test]
fn handlers_whose_database_is_gone() {
    let setup = setup();
    let file = setup.folder().join("flagstone.db");
    let server = setup.database(&file).start();
    let cookie = sign_in(&server);
    fs::write(&file, "no database").unwrap();
    let ask = |method: &str, path: &str| ask(&server, method, path);
    let signed_in = |method: &str, path: &str| ask(method, path).header("cookie", &cookie);
    let person = json!({ "email": server.demo["email"], "password": server.demo["password"] });
    let new = json!({ "key": "x", "name": "x" });
    assert_all(&[
        Row::new("probe", 503, ask("GET", "/health/ready")),
        Row::new("login", 503, ask("POST", "/api/auth/login").json(&person)).limited(),
        Row::new("member", 503, signed_in("GET", PROJECTS)).limited(),
        Row::new("admin", 503, signed_in("POST", PROJECTS).json(&new)).limited(),
    ]);
}

/// What is no HTTP is answered before there is a request: with nothing that a browser could show or keep.
#[test]
fn what_is_no_request_is_answered_with_nothing() {
    let server = Server::demo();
    // With those that are always sent there are 64.
    assert_eq!(head(&server, "GET", "/health", &"x: y\r\n".repeat(61)).0, 200);
    for (lines, status) in [
        (format!("x: {}\r\n", "x".repeat(100_000)), 431),
        ("x: y\r\n".repeat(62), 431),
        ("x: y\r\n".repeat(200), 431),
        ("no header\r\n".to_owned(), 400),
    ] {
        let (found, headers) = head(&server, "GET", "/health", &lines);
        let mut names: Vec<_> = headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        names.retain(|line| !line.starts_with("date: "));
        assert_eq!(
            (found, names),
            (status, vec!["connection: close".to_owned(), "content-length: 0".to_owned()])
        );
    }
}
