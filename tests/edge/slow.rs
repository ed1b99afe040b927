//! Clients that are slow on purpose (slowhttptest): each is ended in its time, and others are answered meanwhile.

use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    CONNECTIONS,
    harness::{PATIENCE, Server, Setup},
    wrk::Load,
};

/// They are killed when dropped.
struct SlowClients(Child);

impl SlowClients {
    fn start(number: u64, arguments: &[&str], url: &str) -> Self {
        let number = number.to_string();
        let child = Command::new("slowhttptest")
            .args(["-c", &number, "-r", &number, "-l", "600"])
            .args(arguments)
            .args(["-u", url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("slowhttptest is there: `cargo xtask test` installs it");
        Self(child)
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every time that a client may take is short.
fn server() -> Server {
    Setup::demo()
        .variable("LOG_FILE", "log.json")
        .variable("FLAGSTONE_SERVER__HEADER_TIMEOUT", "2s")
        .variable("FLAGSTONE_SERVER__WRITE_TIMEOUT", "2s")
        .pipeline(|text| text.replace("read_timeout = \"15s\"", "read_timeout = \"2s\""))
        .pipeline(|text| text.replace("requests = 5000", "requests = 0"))
        .start()
}

/// They come, and they go, while a load is answered as if there were none.
fn are_ended(server: &Server, number: u64, name: &str, arguments: &[&str], path: &str) {
    let load = Load::on(server, CONNECTIONS, 5);
    let clients = SlowClients::start(number, arguments, &format!("{}{path}", server.url));
    let connections = || server.figure("http_connections");
    until("they come", || connections() > number / 2 + CONNECTIONS);
    // What is left then is the load, and what asks for this figure.
    until("they go", || connections() < number / 10 + CONNECTIONS);
    let answers = load.answers();
    drop(clients);
    println!("\nfigures: {number} clients with {name}: {answers}");
    assert_eq!(answers.wrong, 0);
    assert!(answers.number > 100, "{answers}");
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
    }
}

#[test]
fn slow_heads() {
    are_ended(&server(), 200, "slow heads", &["-H", "-i", "1", "-x", "24"], "/health");
}

#[test]
fn slow_bodies() {
    let server = server();
    // The only header that can be chosen; another follows in it.
    let key = format!("none=1\r\nX-API-Key: {}", server.client_key());
    let body =
        ["-B", "-i", "1", "-s", "8192", "-x", "10", "-t", "POST", "-f", "application/json", "-j", &key];
    are_ended(&server, 200, "slow bodies", &body, "/api/v1/evaluate");
}

#[test]
fn slow_reading() {
    let server = server();
    // Ten of them are more than the kernel takes off the server's hands.
    let variants: Vec<Value> =
        (0..5).map(|number| json!({ "key": format!("v{number}"), "value": "x".repeat(60_000) })).collect();
    let large = json!({ "key": "large", "type": "string", "variants": variants });
    let created = server.sign_in().post("/api/management/projects/demo/flags").json(&large).send();
    assert_eq!(created.status, 201, "{created:?}");
    let key = format!("none=1\r\nX-API-Key: {}", server.server_key());
    let read = ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "10", "-j", &key];
    are_ended(&server, 50, "slow reading", &read, "/api/v1/definitions");
}
