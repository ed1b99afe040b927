//! Several instances on one PostgreSQL database, while everything around them breaks (R74, R81).
//!
//! Each instance has a writer and a reader. A random schedule of faults runs against them; after each, all instances
//! answer as the database is, and what the writers were told holds against what is stored. Evaluation never fails and
//! management says 503 and when to come back, or does it.
//!
//! `FLAGSTONE_REPLICAS_SECONDS` says how long (300), `FLAGSTONE_REPLICAS_SEED` repeats a schedule. `cargo xtask test
//! replicas` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod cluster;
mod faults;
#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;
mod history;
#[expect(dead_code, reason = "it serves the tests of two instances too")]
#[path = "../postgres/proxy.rs"]
mod proxy;
#[path = "../faults/random.rs"]
mod random;
mod records;
mod site;
mod writer;

use std::{
    collections::BTreeMap,
    env,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use faults::Fault;
use harness::PATIENCE;
use random::Random;
use site::{Ending, Instance, Site};
use writer::Writer;

const SECONDS: u64 = 300;
/// From here on a run must have had every fault.
const COMPLETE: Duration = Duration::from_secs(240);

#[test]
fn what_was_acknowledged_holds_on_all_instances() {
    let seconds = env::var("FLAGSTONE_REPLICAS_SECONDS").map(|text| text.parse().expect("a number"));
    let length = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let mut random = Random::seeded("FLAGSTONE_REPLICAS_SEED");
    let site = Site::start();
    let began = Instant::now();
    let mut happened: BTreeMap<Fault, usize> = BTreeMap::new();
    thread::scope(|scope| {
        let _ending = Ending(&site.done);
        for number in 0..3 {
            let writer = Writer::new(&site, number, random.fork());
            scope.spawn(|| writer.write());
            let site = &site;
            scope.spawn(move || site.evaluate(number));
        }
        let mut deck = Vec::new();
        while began.elapsed() < length && !site.is_done() {
            if deck.is_empty() {
                deck.extend(Fault::ALL);
            }
            let fault = deck.swap_remove(random.index(deck.len()));
            let seconds = began.elapsed().as_secs();
            println!("{seconds} s: {fault:?}");
            fault.happen(&site, &mut random, happened.values().sum());
            *happened.entry(fault).or_default() += 1;
            site.heals(false);
        }
    });
    let figures = site.heals(true);
    println!(
        "figures: {} s; operations: {figures:?}; evaluations: {}; longest answer {:?}, longest healing {:?}; \
         faults: {happened:?}",
        began.elapsed().as_secs(),
        site.evaluations.load(Ordering::Relaxed),
        site.instances.each_ref().map(Instance::longest).iter().max().unwrap(),
        site.healing.lock().unwrap(),
    );
    assert!(figures.acknowledged > 0 && site.evaluations.load(Ordering::Relaxed) > 0);
    assert!(length < COMPLETE || happened.len() == Fault::ALL.len(), "not every fault happened");
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    settle(what, || if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until it is so; the last reason why it is not, where it never becomes so.
#[track_caller]
fn settle(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(reason) = holds() {
        assert!(Instant::now() < deadline, "not in time: {what}: {reason}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
