//! Redis is gone, frozen, refuses: no request fails, each server counts alone, and together once it is back.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{PATIENCE, Server},
    instance::Redis,
    servers::{Site, allowed, ask, asker, readiness, wait_until_shared},
};

/// As shipped.
const TIMEOUT: Duration = Duration::from_millis(50);
/// What nobody waits for, however loaded the machine is; without a deadline, requests to a frozen Redis wait longer.
const LONG: Duration = Duration::from_secs(20);
/// Requests of each client in each part of an outage.
const SOME: u64 = 50;

/// Asks both servers without pause while something happens. No request fails or waits long.
fn under_load(servers: [&Server; 2], happens: impl FnOnce(&dyn Fn())) {
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..4 {
            let (done, answered, ask) = (&done, &answered, asker(servers[client % 2]));
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = ask();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(began.elapsed() < LONG, "it waited {:?}", began.elapsed());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        /// Ends the load however the scope is left.
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&done);
        happens(&|| {
            let (before, deadline) = (answered.load(Ordering::Relaxed), Instant::now() + PATIENCE);
            while answered.load(Ordering::Relaxed) < before + SOME {
                assert!(Instant::now() < deadline, "no answers come");
                thread::yield_now();
            }
        });
    });
}

/// Waits until the log says something; how often it does.
fn said(server: &Server, message: &str) -> usize {
    let file = server.folder().join("log.json");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let times = fs::read_to_string(&file).unwrap().matches(message).count();
        if times > 0 {
            return times;
        }
        assert!(Instant::now() < deadline, "the log does not say `{message}`");
        thread::yield_now();
    }
}

/// An outage under load, and its end.
fn outage(redis: &mut Redis, begin: impl FnOnce(&mut Redis), end: impl FnOnce(&mut Redis)) {
    let site = Site::new(redis.url(), 1_000_000).timeout(TIMEOUT);
    let (one, other) = (site.logging(), site.logging());
    wait_until_shared(&one, true);
    wait_until_shared(&other, true);
    under_load([&one, &other], |some_answers| {
        some_answers();
        begin(redis);
        wait_until_shared(&one, false);
        wait_until_shared(&other, false);
        some_answers();
        for server in [&one, &other] {
            let (status, check) = readiness(server);
            assert_eq!((status, check["status"].as_str()), (200, Some("unhealthy")), "{check}");
            assert!(check["error"].is_string(), "{check}");
            assert_eq!(server.pipeline()["redis"]["shared"], false);
            assert!(server.figure("rate_limit_shared_fallbacks_total") > 0);
        }
        end(redis);
        wait_until_shared(&one, true);
        wait_until_shared(&other, true);
        some_answers();
    });
    for server in [&one, &other] {
        assert_eq!(readiness(server).1["status"], "healthy");
        let (away, back) = (said(server, "Redis is away"), said(server, "Redis is back"));
        // On a loaded machine Redis may have been slow besides; each time is said once.
        assert!(away == back || away == back + 1, "{away} {back}");
    }
}

#[test]
fn redis_killed_under_load_and_started_again() {
    outage(&mut Redis::start(), Redis::kill, Redis::restart);
}

#[test]
fn redis_frozen_under_load_and_thawed() {
    outage(&mut Redis::start(), |redis| redis.freeze(), |redis| redis.thaw());
}

#[test]
fn alone_each_counts_to_the_limit_and_together_again_once_it_is_back() {
    let mut redis = Redis::start();
    let site = Site::new(redis.url(), 5);
    let (one, other) = (site.logging(), site.logging());
    assert_eq!(allowed(&one), 5);
    assert_eq!(ask(&other).status, 429);
    redis.kill();
    assert_eq!((allowed(&one), allowed(&other)), (5, 5), "each as if it were alone");
    redis.restart();
    wait_until_shared(&one, true);
    wait_until_shared(&other, true);
    assert_eq!((allowed(&other), ask(&one).status), (5, 429), "that Redis kept nothing");
    assert_eq!(readiness(&one).0, 200);
    assert_eq!((said(&one, "Redis is away"), said(&one, "Redis is back")), (1, 1));
}

#[test]
fn a_wrong_password_is_said_and_once_it_is_right_all_is_well() {
    let redis = Redis::start();
    let site = Site::new(redis.url_with("quite another one"), 3);
    let server = site.logging();
    let (status, check) = readiness(&server);
    assert_eq!((status, check["status"].as_str()), (200, Some("unhealthy")));
    assert!(check["error"].as_str().unwrap().contains("authentication failed"), "{check}");
    assert_eq!(allowed(&server), 3);
    let status = site.setup().run(&["status", "--admin", &server.admin_url]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("redis      away, limits are counted here alone: "), "{status}");
    let mut stats = redis.connection();
    let mut connections = || -> u64 {
        let text: String = redis::cmd("INFO").arg("stats").query(&mut stats).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().trim().parse().unwrap()
    };
    let (before, deadline) = (connections(), Instant::now() + PATIENCE);
    while connections() < before + 3 {
        assert!(Instant::now() < deadline, "it does not try again");
        thread::yield_now();
    }
    assert_eq!(said(&server, "Redis is away"), 1);
    let log = fs::read_to_string(server.folder().join("log.json")).unwrap();
    assert!(!log.contains("quite"), "{log}");
    let _: String = redis.run(&["CONFIG", "SET", "requirepass", "quite another one"]);
    wait_until_shared(&server, true);
    assert_eq!(allowed(&server), 3, "nothing was counted there");
}

#[test]
fn a_redis_that_takes_no_changes_is_as_good_as_away() {
    let redis = Redis::start();
    let site = Site::new(redis.url(), 1_000);
    let server = site.server();
    assert_eq!(ask(&server).status, 200);
    let _: String = redis.run(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(ask(&server).header("ratelimit-remaining"), Some("999"), "counted alone");
    wait_until_shared(&server, false);
    let (status, check) = readiness(&server);
    assert_eq!((status, check["status"].as_str()), (200, Some("unhealthy")));
    let _: String = redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until_shared(&server, true);
    assert_eq!(ask(&server).header("ratelimit-remaining"), Some("998"), "it goes on");
}

#[test]
fn a_server_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start();
    redis.kill();
    let site = Site::new(redis.url(), 3);
    let (one, other) = (site.server(), site.server());
    assert_eq!((allowed(&one), readiness(&one).0), (3, 200));
    redis.restart();
    wait_until_shared(&one, true);
    wait_until_shared(&other, true);
    assert_eq!((allowed(&one), ask(&other).status), (3, 429));
}
