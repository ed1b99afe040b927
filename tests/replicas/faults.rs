//! What breaks, and is healed again.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    cluster::Cluster,
    history::Failover,
    proxy::Proxy,
    random::Random,
    records,
    site::{Instance, PASSWORD, Site, setup},
    until,
};

/// The shortest and the longest that most of it lasts.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);
/// The same of an instance that is paused.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// More connections than PostgreSQL allows.
const CROWD: u32 = 80;
/// What goes on beside a fault goes on at least so often.
const GOING_ON: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// PostgreSQL is stopped in good order, and started later.
    Stopped,
    /// The same, and started at once.
    Restarted,
    /// All of PostgreSQL's processes are killed.
    Killed,
    /// All of PostgreSQL's processes are stopped, and go on later.
    Frozen,
    /// Some instances' connections to PostgreSQL break, again and again.
    Cut,
    /// What some instances and PostgreSQL send each other arrives late.
    Late,
    /// What some instances and PostgreSQL send each other is lost.
    Lost,
    /// PostgreSQL has no connection left, and somebody holds the writers' lock.
    Exhausted,
    /// An instance stands still.
    Paused,
    /// An instance is killed and started again.
    Crashed,
    /// Two other instances start at once on an empty database.
    Twins,
    /// A copy of PostgreSQL's data takes its place and lacks what was done last.
    FailedOver,
}

// === impl Fault ===

impl Fault {
    pub(crate) const ALL: [Self; 12] = [
        Self::Stopped,
        Self::Restarted,
        Self::Killed,
        Self::Frozen,
        Self::Cut,
        Self::Late,
        Self::Lost,
        Self::Exhausted,
        Self::Paused,
        Self::Crashed,
        Self::Twins,
        Self::FailedOver,
    ];

    /// Breaks something, and heals it. `round` tells this time from others.
    pub(crate) fn happen(self, site: &Site, random: &mut Random, round: usize) {
        let lasting = SHORTEST + random.below(LONGEST - SHORTEST);
        match self {
            Self::Stopped => {
                let mut cluster = site.cluster.lock().unwrap();
                cluster.stop();
                until("all notice that the database is away", || {
                    site.instances.iter().all(|one| !is_ready(one))
                });
                thread::park_timeout(lasting);
                cluster.start();
            }
            Self::Restarted => {
                let mut cluster = site.cluster.lock().unwrap();
                cluster.stop();
                cluster.start();
            }
            Self::Killed => {
                let mut cluster = site.cluster.lock().unwrap();
                cluster.kill();
                thread::park_timeout(random.below(lasting));
                cluster.start();
            }
            Self::Frozen => {
                let cluster = site.cluster.lock().unwrap();
                cluster.freeze();
                thread::park_timeout(lasting);
                cluster.thaw();
            }
            Self::Cut => {
                let some = some_of(site, random);
                let until_then = Instant::now() + lasting;
                while Instant::now() < until_then {
                    some.iter().for_each(|one| one.proxy.cut());
                    thread::park_timeout(random.below(SHORTEST));
                    some.iter().for_each(|one| one.proxy.mend());
                    thread::park_timeout(random.below(SHORTEST));
                }
            }
            Self::Late => hold(&some_of(site, random), Proxy::freeze, lasting),
            Self::Lost => hold(&some_of(site, random), Proxy::lose, lasting),
            Self::Exhausted => exhaust(site, lasting),
            Self::Paused => pause(site, random),
            Self::Crashed => site.instances[random.index(3)].crash(),
            Self::Twins => twins(site, round),
            Self::FailedOver => fail_over(site, random),
        }
    }
}

fn is_ready(instance: &Instance) -> bool {
    let answer = instance.send(instance.request("GET", "/health/ready"));
    answer.is_some_and(|answer| answer.status == 200)
}

/// One instance at least.
fn some_of<'s>(site: &'s Site, random: &mut Random) -> Vec<&'s Instance> {
    let chosen = 1 + random.index(7);
    site.instances.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, one)| one).collect()
}

fn hold(instances: &[&Instance], fault: fn(&Proxy), lasting: Duration) {
    instances.iter().for_each(|one| fault(&one.proxy));
    thread::park_timeout(lasting);
    instances.iter().for_each(|one| one.proxy.mend());
}

fn exhaust(site: &Site, lasting: Duration) {
    let runtime = records::runtime();
    let db = records::open(&runtime, site.cluster.lock().unwrap().address(), CROWD);
    runtime.block_on(async {
        let lock = db.begin().await.unwrap();
        let mut crowd = Vec::new();
        while let Ok(one) = db.read().await {
            crowd.push(one);
        }
        assert!(!crowd.is_empty());
        tokio::time::timeout(lasting, std::future::pending::<()>()).await.unwrap_err();
        drop((lock, crowd));
    });
}

/// The others go on meanwhile.
fn pause(site: &Site, random: &mut Random) {
    let paused = random.index(3);
    let lasting = SHORTEST_PAUSE + random.below(LONGEST_PAUSE - SHORTEST_PAUSE);
    site.instances[paused].pause(|| {
        let began = Instant::now();
        thread::park_timeout(lasting);
        for other in (0..3).filter(|other| *other != paused) {
            goes_on(site, other, began);
        }
    });
}

fn twins(site: &Site, round: usize) {
    let database = format!("twins_{round}");
    let address = {
        let cluster = site.cluster.lock().unwrap();
        cluster.create(&database);
        cluster.address()
    };
    let url = Cluster::url(&database, address);
    let servers = thread::scope(|scope| {
        let starting = [(); 2].map(|()| scope.spawn(|| setup(&url).start()));
        starting.map(|one| one.join().unwrap())
    });
    let credentials = json!({ "email": "admin@localhost", "password": PASSWORD });
    for server in &servers {
        server.sign_in_with(&credentials).unwrap_or_else(|answer| panic!("{answer:?}"));
    }
}

fn fail_over(site: &Site, random: &mut Random) {
    let streams = site.instances.each_ref().map(|one| one.stream(&site.keys[0]));
    let copied = Instant::now();
    let copy = site.cluster.lock().unwrap().copy();
    let complete = Instant::now();
    thread::park_timeout(Duration::from_secs(1));
    for number in 0..3 {
        goes_on(site, number, complete);
    }
    // One of them comes back only when the others have written another history, perhaps a longer one.
    let late = random.index(3);
    site.instances[late].proxy.cut();
    site.cluster.lock().unwrap().fail_over(copy);
    let gone = Instant::now();
    site.history.failed_over(Failover { copied, gone });
    for other in (0..3).filter(|other| *other != late) {
        goes_on(site, other, gone);
    }
    thread::park_timeout(random.below(LONGEST));
    site.instances[late].proxy.mend();
    for stream in streams {
        stream.line(|line| line == "event: refetch");
    }
}

fn goes_on(site: &Site, writer: usize, since: Instant) {
    until(&format!("writer {writer} goes on"), || {
        site.history.acknowledged_since(since, writer) >= GOING_ON || site.is_done()
    });
}
