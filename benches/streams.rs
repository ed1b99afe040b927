//! Ten thousand open event streams: what each takes in memory, and how long a change takes to reach them all, beside hyper
//! that broadcasts the same event to as many in the same run.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::machine::{self, CLIENT_CORES, Program, SERVER_CORES, median, resident};

const STREAMS: u64 = 10_000;
const ROUNDS: u64 = 11;

/// In microseconds: from the request that changes something, and from the first that had the event.
#[derive(Default)]
struct Times {
    to_last: Vec<u64>,
    spread_half: Vec<u64>,
    spread_99: Vec<u64>,
    spread: Vec<u64>,
}

#[test]
fn measure() {
    println!("{}", machine::describe());
    let mut bare = Program::start(SERVER_CORES, "bare", &[]);
    let url = bare.line();
    let bare_address = url.trim_start_matches("http://").to_owned();
    let before = resident(bare.pid());
    let mut bare_listeners = listen(&[&bare_address, "/events", &STREAMS.to_string()]);
    let bare_each = (resident(bare.pid()) - before) as f64 / STREAMS as f64;

    let server = machine::server().start();
    let before = resident(server.pid());
    let address = server.address().to_string();
    let mut listeners = listen(&[&address, "/api/v1/stream", &STREAMS.to_string(), &server.client_key()]);
    assert_eq!(server.figure("http_connections"), STREAMS);
    let each = (resident(server.pid()) - before) as f64 / STREAMS as f64;
    println!(
        "resident for each of {STREAMS} idle streams: {each:.1} KiB (target ≤ 18); bare hyper: {bare_each:.1} KiB"
    );

    let admin = server.sign_in();
    let agent = server.agent();
    let (mut of_server, mut of_bare) = (Times::default(), Times::default());
    for round in 0..ROUNDS {
        let data = json!({ "type": "flag_update", "flagKey": "theme", "revision": round + 1 });
        let event = format!("id: {}\nevent: flag_update\ndata: {data}\n\n", round + 1);
        let begun = now();
        let sent = agent.post(format!("{url}/events")).send(event).unwrap();
        assert_eq!(sent.status(), 200);
        of_bare.take(begun, &bare_listeners.line());

        let path = "/api/management/projects/demo/flags/theme/environments/development";
        let mut config = admin.get(path).send().json();
        config["enabled"] = json!(round % 2 == 1);
        let begun = now();
        let answer = admin.put(path, &config);
        assert_eq!(answer.status, 200, "{answer:?}");
        of_server.take(begun, &listeners.line());
    }
    println!(
        "| one change to {STREAMS} | to the last | first to half | first to 99 % | first to last |\n|---|---|---|---|---|"
    );
    let last = (of_server.row("flagstone"), of_bare.row("bare hyper"));
    println!("to the last, over bare hyper: {:.2} (target ≤ 1.5)", last.0 as f64 / last.1 as f64);
}

/// Opens streams in a process of their own.
fn listen(arguments: &[&str]) -> Program {
    let mut listeners = Program::start(CLIENT_CORES, "listeners", arguments);
    assert_eq!(listeners.line(), "connected");
    listeners
}

/// Microseconds since 1970, as the listeners count.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

// === impl Times ===

impl Times {
    /// What the listeners say of an event.
    fn take(&mut self, begun: u64, line: &str) {
        let said: Value = serde_json::from_str(line).unwrap();
        let figure = |name: &str| said[name].as_u64().unwrap_or_else(|| panic!("no {name}: {line}"));
        let (first, last) = (figure("first"), figure("last"));
        self.to_last.push(last - begun);
        self.spread_half.push(figure("p50"));
        self.spread_99.push(figure("p99"));
        self.spread.push(last - first);
    }

    /// Prints medians, in milliseconds; returns the first.
    fn row(mut self, name: &str) -> u64 {
        let columns = [&mut self.to_last, &mut self.spread_half, &mut self.spread_99, &mut self.spread];
        let medians = columns.map(|column| median(column));
        let shown = medians.map(|micros| format!("{:.1} ms", micros as f64 / 1e3));
        println!("| {name} | {} |", shown.join(" | "));
        medians[0]
    }
}
