//! The end of a server (R74), and what survives it.

use serde_json::json;

use crate::harness::{Server, Setup};

#[test]
fn sigterm_ends_streams_first_and_exits_0() {
    let mut server = Server::demo();
    let bearer = format!("Bearer {}", server.client_key());
    let stream = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    server.signal("TERM");
    let lines = stream.end();
    assert!(lines.iter().any(|line| line.starts_with("retry: ")), "{lines:?}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn readiness_fails_before_anything_else_does() {
    let mut server = Setup::demo().variable("FLAGSTONE_SHUTDOWN__PRE_STOP_DELAY", "2s").start();
    assert_eq!(server.get("/health/ready").send().status, 200);
    server.signal("TERM");
    server.log_line(|line| line["message"] == "stopping: not ready any more");
    let ready = server.get("/health/ready").send();
    assert_eq!((ready.status, ready.json()["status"].clone()), (503, json!("not ready")));
    assert_eq!(server.post("/api/v1/evaluate").key(&server.client_key()).send().status, 200, "still served");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let password = "a long and quiet evening";
    let setup = Setup::shipped().variable("ADMIN_PASSWORD", password).variable("RATE_LIMIT_MAX", "0");
    let database = setup.folder().join("kept.db");
    let setup = setup.database(&database);
    let mut server = setup.clone().start();
    let credentials = json!({ "email": "admin@localhost", "password": password });
    let admin = server.sign_in_with(&credentials).ok().unwrap();
    let post = |path: &str, body: &serde_json::Value| {
        let answer = admin.post(path).json(body).send();
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    post("/api/management/projects", &json!({ "key": "web" }));
    post("/api/management/projects/web/flags", &json!({ "key": "dark", "type": "boolean" }));
    server.signal("KILL");
    server.wait();
    let again = setup.start();
    let admin = again.sign_in_with(&credentials).ok().unwrap();
    assert_eq!(admin.get("/api/management/projects/web/flags/dark").send().status, 200);
}
