//! The logs: nobody writes a line of their own, no secret is in them, and no request waits for them (R50, R51).

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    harness::{PATIENCE, Server, Setup},
    socket,
};

/// Quotes, line ends, escape sequences, separators and overrides, such as clients, files and settings may hold.
const NASTY: &str = "a\"b\\c\u{1b}[2K\u{9b}d\u{2028}e\u{202e}f\u{200b}g\u{85}h ä";

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn dropped(server: &Server) -> u64 {
    let metrics = server.admin("GET", "/metrics").send();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("log_lines_dropped_total "));
    dropped.unwrap().parse().unwrap()
}

fn evaluate(server: &Server) {
    assert_eq!(server.post("/api/v1/evaluate").key(&server.client_key()).send().status, 200);
}

/// Sends requests until lines of them are dropped, and some more.
fn overwhelm(server: &Server) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    while dropped(server) == 0 {
        assert!(Instant::now() < deadline, "nothing is dropped");
        (0..100).for_each(|_| evaluate(server));
    }
    (0..200).for_each(|_| evaluate(server));
    assert_eq!(server.get("/health/ready").send().status, 200);
    dropped(server)
}

/// A pipe with a name.
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("log.pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// The lines of a log as they come.
fn follow(path: &Path) -> Receiver<Value> {
    let (sender, lines) = channel();
    let file = File::open(path).unwrap();
    thread::spawn(move || {
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .all(|line| sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line))).is_ok())
    });
    lines
}

fn next(lines: &Receiver<Value>, message: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let line = line.unwrap_or_else(|_| panic!("no line says: {message}"));
        // The demonstration's greeting goes to standard output, too.
        assert!(!line.as_str().is_some_and(|torn| torn.contains("timestamp")), "{line}");
        if line["message"] == message {
            return line;
        }
    }
}

/// The text of a file once it holds what is wanted.
fn text_with(path: &Path, wanted: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        assert!(Instant::now() < deadline, "{} has no {wanted}: {text}", path.display());
        thread::yield_now();
    }
}

#[test]
fn nobody_writes_a_line_of_their_own() {
    for format in ["json", "text"] {
        let setup = Setup::demo().variable("LOG_FILE", "log.json").variable("LOG_FORMAT", format);
        let setup = setup.variable("INSTANCE_ID", "one\"},{\"message\":\"forged\"} status=200");
        let mut server = setup.variable("LOG_LEVEL", "debug").start();
        let host = server.address();
        let long = "x".repeat(5_000);
        let mut answered = 0;
        for (method, target) in [
            ("GET", format!("/{}", NASTY.replace(|c: char| c.is_ascii_control() || c == ' ', ""))),
            ("GET", "/%0d%0a%7b%22message%22%3a%22forged%22%7d".to_owned()),
            ("GET", format!("/{long}")),
            ("GET", "/\"},{\"status\":200,\"x\":\"?token=secret".to_owned()),
            (long.as_str(), "/health".to_owned()),
            ("A'B|C", "/health".to_owned()),
            ("GET", "/status=200".to_owned()),
        ] {
            for header in ["User-Agent: \u{1b}[31m\u{202e}", "X-Request-Id: a\"b c", "X-Request-Id: \u{9b}2J"]
            {
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\r\n"
                );
                let statuses = socket::exchange(host, request.as_bytes()).statuses();
                // What is no HTTP has no line; how much of it is taken for HTTP is not what this is about.
                answered += usize::from(statuses != [400]);
            }
        }
        assert!(answered >= 12, "{answered}");
        let raw =
            [b"GET /\xff\xfe HTTP/1.1\r\n".as_slice(), format!("Host: {host}\r\n\r\n").as_bytes()].concat();
        answered += usize::from(socket::exchange(host, &raw).statuses() != [400]);
        // Files are quoted in events.
        let file = fs::read_to_string(server.pipeline_file()).unwrap();
        let nasty = format!(
            "{file}\n[layers.\"{}\"]\nkind = \"{}\"\n",
            "n\u{202e}\u{2028}", "k\\u001b[2K\\nforged\\u009b"
        );
        fs::write(server.pipeline_file(), nasty).unwrap();
        assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 422);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));

        let text = String::from_utf8(fs::read(server.folder().join("log.json")).unwrap()).unwrap();
        assert!(text.ends_with('\n') && text.contains("pipeline rejected"), "{text}");
        assert!(!text.contains("token=secret"));
        let mut requests = 0;
        for line in text.lines() {
            assert!(!line.contains(is_dangerous), "{format}: {line:?}");
            assert!(line.len() < 40_000, "{}", line.len());
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line["message"] != "forged" && line["instance"].as_str().unwrap().contains("forged"));
                requests += usize::from(line["message"] == "request");
            } else {
                let (time, _) = line.split_once(char::is_whitespace).unwrap();
                assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
                requests += usize::from(line.contains(" message=request method="));
            }
        }
        assert_eq!(requests, answered, "{format}: {text}");
    }
}

#[test]
fn no_secret_is_in_the_log_even_at_its_most_talkative() {
    let password = "a quiet evening by the lake";
    let setup = Setup::demo().variable("LOG_FILE", "log.json").variable("LOG_LEVEL", "trace");
    let mut server =
        setup.variable("ADMIN_PASSWORD", password).variable("STRICT_RATE_LIMIT_MAX", "0").start();
    let (client_key, server_key) = (server.client_key(), server.server_key());
    let (wrong_key, wrong_password) = ("fs_srv_wrongwrongwrongwrong", "my other server's password");
    let admin = server.sign_in();
    let session = admin.cookie().split_once('=').unwrap().1.to_owned();
    assert_eq!(admin.get("/api/auth/me?session=in-the-query").send().status, 200);
    let new_password = "another quiet evening indoors";
    let change = json!({ "current_password": server.demo["password"], "new_password": new_password });
    let changed = admin.post("/api/auth/change-password").json(&change).send();
    assert!((200..300).contains(&changed.status), "{changed:?}");
    let keys = "/api/management/projects/demo/environments/development/keys";
    let signed_in = server.sign_in_with(&json!({ "email": server.demo["email"], "password": new_password }));
    let admin = signed_in.unwrap_or_else(|answer| panic!("{answer:?}"));
    let new_session = admin.cookie().split_once('=').unwrap().1.to_owned();
    let made = admin.post(keys).json(&json!({ "kind": "client", "name": "new" })).send();
    let made_key = made.json()["key"].as_str().unwrap().to_owned();
    let bulk =
        server.post("/ofrep/v1/evaluate/flags").key(&client_key).json(&json!({ "context": {} })).send();
    let events = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let token = events.split_once("token=").unwrap().1.to_owned();
    drop(server.stream(&events, &[]));
    assert_eq!(server.post("/api/v1/evaluate").key(&server_key).send().status, 200);
    assert_eq!(server.post("/api/v1/evaluate").header("x-api-key", &client_key).send().status, 200);
    assert_eq!(server.post("/api/v1/evaluate").key(wrong_key).send().status, 401);
    assert_eq!(server.get("/ofrep/v1/events?token=wrong-stream-token").send().status, 401);
    let basic = server.get("/health").header("authorization", "Basic YWRhOnNlY3JldA==").send();
    assert_eq!(basic.status, 200);
    let attempt = json!({ "email": server.demo["email"], "password": wrong_password });
    assert_eq!(server.post("/api/auth/login").json(&attempt).send().status, 401);
    let setup = json!({ "token": "wrong-setup-token", "email": "a@b.c", "password": wrong_password });
    assert!(server.post("/api/auth/setup").json(&setup).send().status >= 400);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));

    let text = fs::read_to_string(server.folder().join("log.json")).unwrap();
    assert!(text.contains("\"/api/auth/change-password\""), "{text}");
    let demo_password = server.demo["password"].as_str().unwrap();
    for secret in [
        password,
        demo_password,
        new_password,
        wrong_password,
        &client_key,
        &server_key,
        wrong_key,
        &made_key,
        &session,
        &new_session,
        &token,
        "wrong-stream-token",
        "wrong-setup-token",
        "YWRhOnNlY3JldA==",
        "in-the-query",
    ] {
        assert!(
            !text.contains(secret),
            "{secret}: {}",
            text.lines().find(|line| line.contains(secret)).unwrap()
        );
    }
}

#[test]
fn nobody_waits_for_a_log_that_is_not_read_and_what_was_lost_is_told() {
    let small = || Setup::demo().on_sqlite().variable("FLAGSTONE_LOG__BUFFER", "64KiB");
    let to_file = small().variable("LOG_FILE", "log.pipe");
    let path = pipe(to_file.folder());
    let to_stdout = small().silent();
    let out = pipe(to_stdout.folder());
    let to_stdout = to_stdout.launched_by(&["sh", "-c", "exec \"$@\" 1<>log.pipe", "sh"]);
    for (setup, path) in [(to_file, path), (to_stdout, out)] {
        let mut server = setup.clone().start();
        overwhelm(&server);
        let lines = follow(&path);
        let lost = next(
            &lines,
            "lines of the log were dropped: its reader was too slow, or they could not be written",
        );
        assert_eq!(lost["level"], "WARN");
        assert_eq!(lost["lines"].as_u64().unwrap(), dropped(&server), "all of them, at once");
        assert_eq!(server.get("/no/such/path/after").send().status, 404);
        let deadline = Instant::now() + PATIENCE;
        while next(&lines, "request")["path"] != "/no/such/path/after" {
            assert!(Instant::now() < deadline);
        }
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        // Nor does the end.
        drop(lines);
        let mut again = setup.start();
        overwhelm(&again);
        again.signal("TERM");
        assert_eq!(again.wait().code(), Some(0));
    }
}

#[test]
fn nobody_waits_for_a_full_disk_and_the_log_goes_on_once_there_is_room() {
    let setup = Setup::demo().variable("LOG_FILE", "log.json");
    let log = setup.folder().join("log.json");
    symlink("/dev/full", &log).unwrap();
    let server = setup.start();
    overwhelm(&server);
    fs::remove_file(&log).unwrap();
    File::create(&log).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while fs::metadata(&log).unwrap().len() == 0 {
        assert!(Instant::now() < deadline, "nothing is written");
        evaluate(&server);
    }
    let text = text_with(&log, "lines of the log were dropped");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost = lines.iter().find(|line| line["lines"].is_u64()).unwrap();
    assert_eq!(lost["lines"].as_u64().unwrap(), dropped(&server));
    assert!(lines.iter().any(|line| line["message"] == "the log is written again"), "{text}");
}

#[test]
fn a_log_file_can_be_rotated_while_requests_are_logged() {
    let setup = Setup::demo().variable("LOG_FILE", "log.json").variable("TRUSTED_PROXIES", "127.0.0.1");
    let mut server = setup.start();
    let log = server.folder().join("log.json");
    let request = |id: &str| server.get("/health").header("x-request-id", id).send();
    for rotation in 0..5 {
        for number in 0..40 {
            assert_eq!(request(&format!("{rotation}-{number}")).status, 200);
            if number == 20 {
                fs::rename(&log, server.folder().join(format!("log.{rotation}"))).unwrap();
            }
        }
        text_with(&log, "");
        let deadline = Instant::now() + PATIENCE;
        while !log.exists() {
            assert!(Instant::now() < deadline, "no new file");
            thread::yield_now();
        }
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut seen = HashMap::<String, usize>::new();
    let rotated = (0..5).map(|rotation| server.folder().join(format!("log.{rotation}")));
    for file in rotated.chain([log]) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(id) = line["request_id"].as_str() {
                *seen.entry(id.to_owned()).or_default() += 1;
            }
        }
    }
    assert!(
        (0..5).all(|rotation| (0..40).all(|number| seen.get(&format!("{rotation}-{number}")) == Some(&1)))
    );
}

#[test]
fn the_start_is_told_step_by_step_without_secrets() {
    let password = "a quiet evening by the lake";
    for format in ["json", "text"] {
        let setup = Setup::shipped().variable("ADMIN_PASSWORD", password).variable("LOG_FORMAT", format);
        let database = setup.folder().join("fresh.db");
        let setup = setup.database(&database).variable("LOG_FILE", "log.json");
        let mut server = setup.start();
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let text = fs::read_to_string(server.folder().join("log.json")).unwrap();
        let steps = [
            "starting",
            "migration applied",
            "the database is open and migrated",
            "made the first administrator",
            "pipeline loaded",
            "ready",
            "stopping: not ready any more",
            "stopping: accepting no more connections, ending streams",
            "stopping: closing the database",
            "stopped",
        ];
        let mut rest = text.as_str();
        for step in steps {
            let message =
                if format == "json" { format!("\"message\":\"{step}\"") } else { format!(" {step} ") };
            let Some((_, after)) = rest.split_once(&message) else { panic!("{format}: no {step} in {rest}") };
            rest = after;
        }
        let start = text.lines().next().unwrap();
        assert!(start.contains("statement_timeout") && start.contains("[redacted]"), "{start}");
        assert!(!text.contains(password));
        assert_eq!(text.starts_with('{'), format == "json", "{text}");
    }
}

#[test]
fn a_start_that_fails_says_why_in_the_log_too_without_secrets() {
    let url = "postgres://flagstone:quiet-evening-by-the-lake@127.0.0.1:1/flags";
    let setup = Setup::shipped().variable("DATABASE_URL", url).variable("LOG_FILE", "log.json");
    let output = setup.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = fs::read_to_string(setup.folder().join("log.json")).unwrap();
    assert!(said.contains("the database") && !said.contains("quiet-evening"), "{said}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"the server does not start".into()));
    assert!(text.contains("[redacted]") && !text.contains("quiet-evening"), "{text}");
}
