//! The script that Redis runs, held against the counters that a server has of its own.

use std::cell::{Cell, RefCell};

use flagstone_layers::rate_limit::{Counter, Quota, Verdict};
use proptest::prelude::*;
use redis::{Connection, Script};

use crate::instance::Redis;

/// The script at a time of the test's.
fn script() -> Script {
    let text = include_str!("../../src/redis_counters/sliding_window.lua");
    let clock = "redis.call('TIME')";
    assert!(text.contains(clock));
    Script::new(&text.replace(clock, "{ ARGV[#ARGV - 1], ARGV[#ARGV] }"))
}

/// One question about several keys, at a time in milliseconds.
fn ask(
    script: &Script,
    connection: &mut Connection,
    asked: &[(&str, Quota, bool)],
    now: u64,
) -> Vec<Verdict> {
    let mut invocation = script.prepare_invoke();
    for (key, quota, observed) in asked {
        invocation.key(*key);
        for number in [quota.requests, quota.window, quota.block_for, u64::from(*observed)] {
            invocation.arg(number);
        }
    }
    invocation.arg(now / 1_000).arg(now % 1_000 * 1_000 + 999);
    let numbers: Vec<u64> = invocation.invoke(connection).unwrap();
    let verdicts = numbers.chunks(3);
    verdicts.map(|of| Verdict { allowed: of[0] == 1, remaining: of[1], reset: of[2] }).collect()
}

fn quotas() -> impl Strategy<Value = Quota> {
    // Both sides of what is counted one by one. Keys expire by the real clock: no window is over within the test.
    let requests = prop_oneof![1_u64..8, 60_u64..70, 100_u64..200];
    let window = prop_oneof![Just(600_000_u64), 600_000_u64..5_000_000];
    let block_for = prop_oneof![3 => Just(0_u64), 1 => 1_000_u64..900_000];
    (requests, window, block_for).prop_map(|(requests, window, block_for)| Quota {
        requests,
        window,
        block_for,
    })
}

#[test]
fn redis_counts_as_a_server_does() {
    let redis = Redis::start();
    let (script, connection) = (script(), RefCell::new(redis.connection()));
    let begin = 1_800_000_000_000;
    // Quotas that change now and then, each with bursts and pauses.
    let bursts = (quotas(), 0_u64..2_000_000, 1_usize..150, 0_u64..40_000);
    let cases = Cell::new(0);
    proptest!(ProptestConfig::with_cases(60), |(bursts in prop::collection::vec(bursts, 1..8))| {
        cases.set(cases.get() + 1);
        let key = format!("case-{}", cases.get());
        let (mut counter, mut now) = (Counter::new(begin), begin);
        for (quota, pause, requests, step) in bursts {
            now += pause;
            for _ in 0..requests {
                now += step;
                let expected = counter.ask(&quota, now);
                let seen = ask(&script, &mut connection.borrow_mut(), &[(&key, quota, false)], now);
                prop_assert_eq!(&seen, &[expected], "{:?} at {}", quota, now - begin);
            }
        }
    });
}

#[test]
fn a_refused_request_counts_only_where_it_is_observed() {
    let redis = Redis::start();
    let (script, mut connection) = (script(), redis.connection());
    let quota = |requests| Quota { requests, window: 600_000, block_for: 0 };
    let asked = [("all", quota(10), false), ("seen", quota(1), true), ("few", quota(1), false)];
    let mut remaining = |asked: &[(&str, Quota, bool)]| {
        let verdicts = ask(&script, &mut connection, asked, 1_800_000_000_000);
        verdicts.iter().map(|verdict| (verdict.allowed, verdict.remaining)).collect::<Vec<_>>()
    };
    assert_eq!(remaining(&asked), [(true, 9), (true, 0), (true, 0)]);
    assert_eq!(remaining(&asked), [(true, 8), (false, 0), (false, 0)]);
    assert_eq!(remaining(&[("all", quota(10), false)]), [(true, 8)], "the refused one did not count");
    let last = [("few", quota(1), false), ("other", quota(5), true)];
    assert_eq!(remaining(&last), [(false, 0)], "nobody behind is asked");
    assert_eq!(remaining(&[("other", quota(5), true), ("few", quota(1), false)]), [(true, 4), (false, 0)]);
    assert_eq!(remaining(&[("other", quota(5), true)]), [(true, 3)], "observed, it counts");
}

#[test]
fn a_clock_that_goes_back_frees_nothing_and_keeps_nobody_waiting() {
    let redis = Redis::start();
    let (script, mut connection) = (script(), redis.connection());
    for (key, requests) in [("few", 2), ("many", 70)] {
        let quota = Quota { requests, window: 600_000, block_for: 0 };
        let now = 1_800_000_000_000;
        let mut verdict = |now| ask(&script, &mut connection, &[(key, quota, false)], now)[0];
        assert!((0..requests).all(|_| verdict(now).allowed));
        for time in [now - 1_000_000, now] {
            let Verdict { allowed, reset, .. } = verdict(time);
            assert!(!allowed && reset <= 2 * quota.window, "{key}: {reset}");
        }
    }
}

#[test]
fn the_largest_quotas_overflow_nothing() {
    let redis = Redis::start();
    let (script, mut connection) = (script(), redis.connection());
    let largest = 1 << 52;
    let quota = Quota { requests: largest, window: largest, block_for: largest };
    for step in 0..3 {
        let verdict = ask(&script, &mut connection, &[("key", quota, false)], 1_800_000_000_000 + step)[0];
        assert!(verdict.allowed && verdict.remaining == largest - 1 - step, "{verdict:?}");
    }
    let life: u64 = redis.run(&["PTTL", "key"]);
    assert!(life > largest, "{life}");
}
