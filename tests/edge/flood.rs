//! More connections than there may be: those over the cap are closed at once, and who is connected is served.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use crate::{
    CONNECTIONS,
    harness::{PATIENCE, Setup},
    wrk::Load,
};

/// How many there may be.
const CAP: u64 = 300;
/// How many clients flood it, how many connections each keeps, and how many it makes in all.
const CLIENTS: usize = 4;
const KEPT: usize = 200;
const MADE: usize = 10_000;

#[test]
fn a_flood_is_kept_out_and_those_inside_go_on() {
    let server = Setup::demo()
        .variable("LOG_FILE", "log.json")
        .variable("FLAGSTONE_SERVER__MAX_CONNECTIONS", &CAP.to_string())
        .pipeline(|text| text.replace("requests = 5000", "requests = 0"))
        .start();
    let before = Load::on(&server, CONNECTIONS, 4).answers();
    let bearer = format!("Bearer {}", server.client_key());
    let stream = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    let admin = server.sign_in();
    let load = Load::on(&server, CONNECTIONS, 8);
    let deadline = Instant::now() + PATIENCE;
    while server.figure("http_connections") < CONNECTIONS {
        assert!(Instant::now() < deadline, "the load does not begin");
    }
    let address = server.address();
    let over = AtomicBool::new(false);
    let during = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| flood(address, &over));
        }
        while server.figure("http_connections_refused_total") == 0 {
            assert!(Instant::now() < deadline, "there is no flood");
        }
        admin.switch("theme", false);
        assert_eq!(stream.data()["flagKey"], "theme");
        assert!(server.figure("http_connections") <= CAP);
        let answers = load.answers();
        over.store(true, Ordering::Relaxed);
        answers
    });
    let refused = server.figure("http_connections_refused_total");
    println!(
        "\nfigures: before a flood: {before}; during: {during}, {refused} connections refused over {CAP}"
    );
    assert_eq!((before.wrong, during.wrong), (0, 0));
    assert!(during.number > 100 && refused > CAP, "{during}, {refused}");
    // The flood is over: there is room for anybody.
    let deadline = Instant::now() + PATIENCE;
    while !matches!(server.get("/health").try_send(), Ok(answer) if answer.status == 200) {
        assert!(Instant::now() < deadline, "no room is made");
    }
}

/// Connections that send half of a head and are kept, the oldest for as long as there are not too many.
fn flood(address: SocketAddr, over: &AtomicBool) {
    let mut kept = std::collections::VecDeque::new();
    for _ in 0..MADE {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // One that is refused, or for which there is no port left, is as good.
        let Ok(mut socket) = TcpStream::connect(address) else { continue };
        let _ = socket.write_all(b"GET /health HTTP/1.1\r\nHost: ");
        kept.push_back(socket);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
    // What it has it keeps to the end.
    while !over.load(Ordering::Relaxed) {
        thread::yield_now();
    }
}
