//! The pipeline changes while the server runs (DESIGN §4).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Server, Setup};

/// Waits for the log's line about an attempt.
fn outcome(server: &Server, wanted: &str) -> Value {
    let wanted = format!("pipeline {wanted}");
    server.log_line(|line| line["message"].as_str().is_some_and(|message| message.starts_with(&wanted)))
}

fn save(server: &Server, change: impl FnOnce(String) -> String) {
    let path = server.pipeline_file();
    let changed = change(fs::read_to_string(&path).unwrap());
    fs::write(path, changed).unwrap();
}

#[test]
fn a_saved_limit_binds_at_once_and_counts_go_on() {
    let server = Server::demo();
    for _ in 0..3 {
        assert_eq!(server.get("/api/auth/status").send().status, 200);
    }
    save(&server, |text| text.replace("{ env = \"RATE_LIMIT_MAX\", default = 100 }", "4"));
    outcome(&server, "applied");
    let fourth = server.get("/api/auth/status").send();
    assert_eq!((fourth.status, fourth.header("ratelimit-remaining")), (200, Some("0")));
    assert_eq!(server.get("/api/auth/status").send().problem(), (429, "RATE_LIMITED".to_owned()));
    assert_eq!(server.pipeline()["generation"], 2);
}

#[test]
fn a_bad_save_changes_nothing_and_a_good_one_after_it_does() {
    let server = Server::demo();
    let good = fs::read_to_string(server.pipeline_file()).unwrap();
    save(&server, |text| text.replace("\"session\", \"csrf\", \"require-admin\", ", ""));
    outcome(&server, "rejected");
    let status = server.pipeline();
    assert_eq!((&status["generation"], &status["last_attempt"]["outcome"]), (&json!(1), &json!("rejected")));
    let diagnostics = status["last_attempt"]["diagnostics"].as_array().unwrap();
    assert!(
        diagnostics.iter().any(|found| found["code"].as_str().unwrap().contains("access")),
        "{diagnostics:?}"
    );
    assert_eq!(server.get("/api/management/pipeline").send().status, 401, "the old one goes on");
    fs::write(server.pipeline_file(), good.replace("5000", "6000")).unwrap();
    outcome(&server, "applied");
    assert_eq!(server.pipeline()["generation"], 2);
}

#[test]
fn a_stream_goes_on_over_reloads_and_gets_the_next_change() {
    let server = Server::demo();
    let bearer = format!("Bearer {}", server.client_key());
    let stream = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    for requests in 6001..=6020 {
        save(&server, |text| {
            let start =
                text.find("key = \"sdk_key\"\nrequests = ").unwrap() + "key = \"sdk_key\"\nrequests = ".len();
            let end = start + text[start..].find('\n').unwrap();
            format!("{}{requests}{}", &text[..start], &text[end..])
        });
        let answer = server.admin("POST", "/pipeline/reload").send();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let status = server.pipeline();
    assert!(status["generation"].as_u64().unwrap() >= 20, "{status}");
    server.sign_in().switch("theme", false);
    assert_eq!(stream.data()["flagKey"], "theme");
}

#[test]
fn the_admin_listener_reloads_and_says_what_came_of_it() {
    let server = Server::demo();
    let post = |path: &str| server.admin("POST", path).send();
    assert_eq!(post("/pipeline/reload").json()["outcome"], "unchanged");
    save(&server, |text| text.replace("chain = \"probe\"", "chain = \"prob\""));
    for path in ["/pipeline/reload?dry_run=true", "/pipeline/reload"] {
        let answer = post(path);
        assert_eq!((answer.status, answer.json()["outcome"].clone()), (422, json!("rejected")), "{path}");
        let found = &answer.json()["diagnostics"][0];
        assert!(
            found["line"].as_u64().unwrap() > 100 && found["help"].as_str().unwrap().contains("probe"),
            "{found}"
        );
    }
    let browser = server.admin("GET", "/pipeline").header("origin", "http://localhost:3000").send();
    assert_eq!(browser.status, 403);
    assert_eq!(server.admin("GET", "/pipeline").header("host", "evil.example").send().status, 403);
    assert!(
        String::from_utf8(server.admin("GET", "/metrics").send().body)
            .unwrap()
            .contains("pipeline_reloads_total")
    );
}

#[test]
fn a_changed_setting_is_named_as_needing_a_restart() {
    let server = Server::demo();
    let path = server.folder().join("config/flagstone.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("max_headers = 64", "max_headers = 65")).unwrap();
    let answer = server.admin("POST", "/pipeline/reload").send();
    assert_eq!((answer.status, answer.json()["outcome"].clone()), (409, json!("restart_required")));
    assert!(answer.json()["fields"].as_array().unwrap().contains(&json!("server.max_headers")), "{answer:?}");
}

#[test]
fn sighup_reloads() {
    let server = Setup::demo().start();
    server.signal("HUP");
    let line = outcome(&server, "unchanged");
    assert_eq!(line["trigger"], "signal", "{line}");
}

#[test]
fn two_saves_10_ms_apart_end_in_the_second() {
    let server = Server::demo();
    let good = fs::read_to_string(server.pipeline_file()).unwrap();
    fs::write(server.pipeline_file(), good.replace("5000", "7001")).unwrap();
    let pause = std::sync::mpsc::channel::<()>();
    let _ = pause.1.recv_timeout(std::time::Duration::from_millis(10));
    fs::write(server.pipeline_file(), good.replace("5000", "7002")).unwrap();
    outcome(&server, "applied");
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let limit = server.post("/api/v1/evaluate").key(&server.client_key()).send();
        if limit.header("ratelimit-limit") == Some("7002") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{limit:?}");
    }
}

#[test]
fn idle_connections_and_streams_keep_no_old_pipeline_alive() {
    use std::io::{Read, Write};
    let server = Server::demo();
    let bearer = format!("Bearer {}", server.client_key());
    let streams: Vec<_> =
        (0..100).map(|_| server.stream("/api/v1/stream", &[("authorization", &bearer)])).collect();
    let mut idle: Vec<_> =
        (0..300).map(|_| std::net::TcpStream::connect(server.address()).unwrap()).collect();
    let mut ask = |connection: &mut std::net::TcpStream| {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let length = connection.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    };
    idle.iter_mut().for_each(&mut ask);
    let text = fs::read_to_string(server.pipeline_file()).unwrap();
    for round in 1..=1000 {
        let limit = format!("requests = {}", 5000 + round);
        fs::write(server.pipeline_file(), text.replace("requests = 5000", &limit)).unwrap();
        assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 200, "round {round}");
    }
    let status = server.settled();
    assert!(status["generation"].as_u64().unwrap() > 1000, "{}", status["generation"]);
    let draining: u64 = status["draining"]
        .as_array()
        .unwrap()
        .iter()
        .map(|generation| generation["streams"].as_u64().unwrap())
        .sum();
    assert_eq!(draining, 100, "the streams are of the first generation");
    idle.iter_mut().for_each(&mut ask);
    server.sign_in().switch("theme", false);
    for stream in &streams {
        assert_eq!(stream.data()["flagKey"], "theme");
    }
}
