//! Every case behind every proxy: no second request comes of one, no protected route is reached, nothing breaks.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    cases::{Case, Expected, cases},
    harness::Setup,
    proxy::{Kind, Proxy},
    socket::{exchange, with_host},
};

/// What proxies answer themselves to what they do not pass on.
const REFUSED: [u16; 10] = [400, 405, 408, 413, 414, 417, 431, 494, 501, 505];

#[test]
fn behind_nginx() {
    behind(Kind::Nginx);
}

#[test]
fn behind_haproxy() {
    behind(Kind::Haproxy);
}

#[test]
fn behind_caddy() {
    behind(Kind::Caddy);
}

fn behind(kind: Kind) {
    let setup = Setup::demo().variable("RATE_LIMIT_MAX", "0").variable("LOG_FILE", "log.json");
    let server = setup.variable("TRUSTED_PROXIES", "127.0.0.1").start();
    let proxy = kind.before(server.address());
    let over = AtomicBool::new(false);
    let wrong: Vec<String> = thread::scope(|scope| {
        let others = scope.spawn(|| others(&proxy, &over));
        let sent: Vec<_> = cases()
            .into_iter()
            .map(|case| {
                let proxy = &proxy;
                scope.spawn(move || wrong(&case, proxy))
            })
            .collect();
        let wrong = sent.into_iter().filter_map(|sent| sent.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(others.join().unwrap() > 0);
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(server.get("/after-all").send().status, 404);
    let log = server.wait_for_log("/after-all");
    assert!(log.len() > cases().len() / 3, "only {} requests came through", log.len());
    for line in log {
        assert_ne!(line["path"], "/smuggled", "{line}");
        let status = line["status"].as_u64().unwrap_or_default();
        assert!(status < 500, "{line}");
        let path = line["path"].as_str().unwrap_or_default();
        assert!(status != 200 || path.starts_with("/health"), "{line}");
    }
}

/// Other clients of the same proxy, which shares its connections among all: each is answered what it asked for. How many
/// rounds there were.
fn others(proxy: &Proxy, over: &AtomicBool) -> usize {
    let mut rounds = 0;
    while !over.load(Ordering::Relaxed) {
        for (path, status) in [("/health", 200), ("/nothing", 404), ("/api/management/projects", 401)] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.address);
            assert_eq!(exchange(proxy.address, head.as_bytes()).statuses(), [status], "{path}");
        }
        rounds += 1;
    }
    rounds
}

/// What came of a case, if it may not.
fn wrong(case: &Case, proxy: &Proxy) -> Option<String> {
    let statuses = exchange(proxy.address, &with_host(&case.bytes, &proxy.address.to_string())).statuses();
    let (Expected::Status(direct) | Expected::StatusOrClosed(direct)) = case.direct;
    let allowed = |status: &u16| [direct, case.behind, &REFUSED].concat().contains(status);
    let fits = statuses.len() <= 1 && statuses.iter().all(allowed);
    (!fits).then(|| format!("{}: {statuses:?} where {direct:?} or {:?} was expected", case.name, case.behind))
}
