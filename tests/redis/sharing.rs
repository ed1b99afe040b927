//! Servers count together.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::PATIENCE,
    instance::Redis,
    servers::{Site, allowed, ask, asker, readiness},
};

/// The names of the limits' keys.
fn keys(redis: &Redis) -> Vec<String> {
    redis.run(&["KEYS", "flagstone:limit:*"])
}

#[test]
fn two_servers_allow_exactly_as_many_as_one() {
    let redis = Redis::start();
    // Counted one by one, and in weighted buckets.
    for requests in [50, 200] {
        let site = Site::new(redis.url(), requests);
        // A connection to Redis is not bound to the runtime of those who ask.
        let shared = site.setup().variable("FLAGSTONE_SERVER__RUNTIME", "shared").start();
        let servers = [site.server(), shared];
        let (passed, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for client in 0..8 {
                let (askers, passed, refused) = (servers.each_ref().map(asker), &passed, &refused);
                scope.spawn(move || {
                    for number in 0..requests / 2 {
                        let counter = match askers[((client + number) % 2) as usize]().status {
                            200 => passed,
                            429 => refused,
                            status => panic!("{status}"),
                        };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let counts = (passed.into_inner(), refused.into_inner());
        for server in &servers {
            assert_eq!(server.figure("rate_limit_shared_fallbacks_total"), 0);
            assert_eq!(server.figure("rate_limit_shared_up"), 1);
            assert_eq!(readiness(server).1["status"], "healthy");
            assert_eq!(server.pipeline()["redis"]["shared"], true);
        }
        assert_eq!(counts, (requests, 3 * requests));
        let _: String = redis.run(&["FLUSHALL"]);
    }
}

#[test]
fn who_is_blocked_by_one_is_blocked_by_all() {
    let redis = Redis::start();
    let site = Site::new(redis.url(), 2).with("block_for = \"10h\"\n");
    let (one, other) = (site.server(), site.server());
    assert_eq!(allowed(&one), 2);
    let blocked = ask(&other);
    assert_eq!(blocked.problem(), (429, "RATE_LIMITED".to_owned()));
    let wait: u64 = blocked.header("retry-after").unwrap().parse().unwrap();
    assert!((35_000..=36_000).contains(&wait), "{wait}");
}

#[test]
fn a_reload_changes_the_limit_and_keeps_what_was_counted() {
    let redis = Redis::start();
    let site = Site::new(redis.url(), 10);
    let (one, other) = (site.server(), site.server());
    (0..6).for_each(|_| assert_eq!(ask(&one).status, 200));
    let limit = |requests: u64| {
        move |text: &str| {
            let limit = "requests = { env = \"RATE_LIMIT_MAX\", default = 100 }";
            text.replace("requests = 8 ", limit).replacen(limit, &format!("requests = {requests} "), 1)
        }
    };
    other.apply(limit(8));
    assert_eq!(allowed(&other), 2);
    assert_eq!(allowed(&one), 2, "it still allows ten");
    one.apply(limit(8));
    assert_eq!(ask(&one).status, 429);
    // From counting one by one to weighted buckets.
    one.apply(limit(100));
    let answer = ask(&one);
    assert_eq!((answer.status, answer.header("ratelimit-remaining")), (200, Some("89")));
}

#[test]
fn keys_expire_and_tell_of_nobody() {
    let redis = Redis::start();
    let site = Site::new(redis.url(), 10);
    let server = site.server();
    assert_eq!(ask(&server).status, 200);
    let names = keys(&redis);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("flagstone:limit:global-limit/:client_ip:"), "{names:?}");
    let life: u64 = redis.run(&["PTTL", &names[0]]);
    assert!((3_000_000..=3_600_000).contains(&life), "{life}");
    let value: Vec<u8> = redis.run(&["GET", &names[0]]);
    let told = [names[0].as_bytes(), &value].concat();
    for address in ["127.0.0.1".as_bytes(), "7f000001".as_bytes(), &[127, 0, 0, 1]] {
        assert!(!told.windows(address.len()).any(|part| part == address), "{told:?}");
    }
    let _: String = redis.run(&["FLUSHALL"]);

    let site = Site::new(redis.url(), 10).window(Duration::from_millis(300));
    let server = site.server();
    assert_eq!(ask(&server).status, 200);
    let deadline = Instant::now() + PATIENCE;
    while !keys(&redis).is_empty() {
        assert!(Instant::now() < deadline, "it does not expire");
        thread::yield_now();
    }
    // Those of the question whether Redis counts are gone at once.
    let all: Vec<String> = redis.run(&["KEYS", "*"]);
    assert!(all.iter().all(|name| name == "flagstone:probe"), "{all:?}");
}

#[test]
fn servers_with_databases_of_their_own_share_nothing() {
    let redis = Redis::start();
    let sites = [(); 2].map(|()| Site::new(redis.url(), 3));
    let [one, other] = sites.each_ref().map(Site::server);
    assert_eq!((allowed(&one), allowed(&other)), (3, 3));
    assert_eq!(keys(&redis).len(), 2, "each hashes with a secret of its own");
}

#[test]
fn a_redis_that_forgot_the_script_is_told_it_again() {
    let redis = Redis::start();
    let site = Site::new(redis.url(), 3);
    let server = site.server();
    assert_eq!(ask(&server).status, 200);
    let _: String = redis.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(allowed(&server), 2);
    assert_eq!(server.figure("rate_limit_shared_fallbacks_total"), 0);
}

#[test]
fn a_pipeline_that_wants_redis_where_there_is_none_is_refused() {
    let output = Site::new(String::new(), 3).setup().run(&["check", "--format", "short"]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("pipeline.toml:") && said.contains("this server knows no Redis"), "{said}");
    assert!(said.contains("`url` under `[redis]`"), "{said}");
    let password = "five unrelated words make one";
    let settings = Site::new(format!("redis://:{password}@127.0.0.1:1/0"), 3).setup().run(&["settings"]);
    let said = String::from_utf8_lossy(&settings.stdout).into_owned();
    assert!(said.contains("redis://:[redacted]@127.0.0.1:1/0") && !said.contains("unrelated"), "{said}");
}
