//! A database that goes away and comes back (R46, R81).

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{Cut, PROJECTS, assert_unavailable, create, harness::Request, proxy::Proxy, until};

#[test]
fn evaluation_goes_on_without_the_database_and_management_comes_back_with_it() {
    let cut = Cut::start();
    let admin = cut.server.sign_in();
    cut.proxy.cut();
    cut.evaluates();
    assert_unavailable(&create(&admin, "away"));
    assert_unavailable(&admin.get(PROJECTS).send());
    let credentials = json!({ "email": cut.server.demo["email"], "password": cut.server.demo["password"] });
    assert_unavailable(&cut.server.post("/api/auth/login").json(&credentials).send());
    until("it is not ready", || !cut.is_ready());
    assert_eq!(cut.server.get("/health").send().status, 200);
    cut.evaluates();

    cut.proxy.mend();
    until("it takes changes again", || create(&admin, "back").status == 201);
    assert_eq!(admin.get(&format!("{PROJECTS}/away")).send().status, 404, "what was refused did not happen");
    until("it is ready", || cut.is_ready());
}

#[test]
fn a_database_that_hangs_is_given_up() {
    let cut = Cut::start();
    let admin = cut.server.sign_in();
    cut.proxy.freeze();
    cut.evaluates();
    assert_unavailable(&admin.get(PROJECTS).send());
    assert_unavailable(&create(&admin, "hanging"));
    cut.evaluates();
    cut.proxy.mend();
    until("it takes changes again", || create(&admin, "thawed").status == 201);
    assert_eq!(admin.get(PROJECTS).send().status, 200);
}

#[test]
fn connections_that_nobody_answers_do_not_stay_in_the_pool() {
    let cut = Cut::start();
    let admin = cut.server.sign_in();
    cut.proxy.lose();
    let failed = "db_pool_timeouts_total";
    // More often than there are connections.
    let before = cut.server.figure(failed);
    until("new connections were tried", || {
        assert_unavailable(&create(&admin, "lost"));
        cut.server.figure(failed) > before + 4
    });
    cut.proxy.mend();
    // The server itself gives them up after a minute.
    let mended = Instant::now();
    until("it takes changes again", || create(&admin, "found").status == 201);
    assert!(mended.elapsed() < Duration::from_secs(30), "{:?}", mended.elapsed());
}

#[test]
fn a_listener_that_hears_nothing_is_noticed_and_made_anew() {
    let cut = Cut::start();
    until("it hears", || hears(&cut));
    assert_eq!(cut.server.figure("change_listener_reconnects_total"), 0);
    for (number, break_off) in [Proxy::cut, Proxy::lose].into_iter().enumerate() {
        break_off(&cut.proxy);
        until("it is seen that nothing is heard", || !hears(&cut));
        let listener = &cut.server.get("/health/ready").send().json()["checks"]["change_listener"];
        assert!(listener["error"].as_str().is_some_and(|error| error.contains("unavailable")), "{listener}");
        // One that is lost stays so.
        cut.proxy.mend();
        until("it hears again", || hears(&cut));
        assert_eq!(cut.server.figure("change_listener_reconnects_total"), number as u64 + 1);
    }
}

#[test]
fn a_server_that_hears_nothing_is_ready_and_looks() {
    let cut = Cut::start();
    until("it hears", || hears(&cut));
    let before = cut.server.figure("flag_revisions");
    cut.proxy.fill();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let execute = |sql| runtime.block_on(cut.database.execute(sql)).unwrap();
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'flagstone listener'",
    );
    until("it is seen that nothing is heard", || !hears(&cut));
    assert!(cut.is_ready());
    // Somebody else's change, of which nothing is told.
    execute(
        "UPDATE environments SET revision = revision + 1; INSERT INTO changes \
         SELECT id, revision, 'flag_update', 'theme', 1767225600000000 FROM environments",
    );
    let environments = 3;
    until("it is seen all the same", || cut.server.figure("flag_revisions") == before + environments);
    assert!(!hears(&cut));
    assert_eq!(cut.server.figure("change_arrival_seconds_count"), 1);
    cut.proxy.mend();
    until("it hears again", || hears(&cut));
}

/// Whether the connection that hears of changes answers, as readiness and figures say it.
fn hears(cut: &Cut) -> bool {
    let checks = cut.server.get("/health/ready").send().json()["checks"].take();
    let listener = &checks["change_listener"];
    assert!(listener["latency_ms"].is_u64(), "{checks}");
    let is_up = cut.server.figure("change_listener_up") == 1;
    (listener["status"] == "healthy") && is_up
}

#[test]
fn with_all_connections_in_use_callers_are_told_to_come_back() {
    let cut = Cut::start();
    let admin = cut.server.sign_in();
    let credentials = json!({ "email": cut.server.demo["email"], "password": cut.server.demo["password"] });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Somebody else changes something for ever.
    let outside = runtime.block_on(cut.database.outside()).unwrap();
    let held = runtime.block_on(outside.begin()).unwrap();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|_| {
                let sign_in = cut.server.post("/api/auth/login").json(&credentials);
                scope.spawn(|| sign_in.send())
            })
            .collect();
        cut.evaluates();
        for caller in callers {
            assert_unavailable(&caller.join().unwrap());
        }
    });
    assert_unavailable(&create(&admin, "busy"));
    let figures = String::from_utf8(cut.server.admin("GET", "/metrics").send().body).unwrap();
    let figure = |name: &str| -> f64 {
        let line = figures.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(figure("db_pool_max_connections "), 2.0);
    assert!(
        figure("db_pool_connections{state=\"idle\"}") + figure("db_pool_connections{state=\"used\"}") <= 2.0
    );
    assert!(figure("db_pool_waits_total ") + figure("db_pool_timeouts_total ") >= 1.0, "{figures}");
    runtime.block_on(async { drop(held) });
    until("it takes changes again", || create(&admin, "free").status == 201);
}

#[test]
fn cut_off_in_the_middle_of_changes_what_was_acknowledged_is_there_and_nothing_is_there_by_half() {
    let cut = Cut::start();
    let admin = cut.server.sign_in();
    let done = AtomicBool::new(false);
    let mut acknowledged = BTreeSet::new();
    let (agent, url) = (cut.server.agent(), format!("{}{PROJECTS}/demo/flags", cut.server.url));
    let (cookie, done) = (admin.cookie(), &done);
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut acknowledged = BTreeSet::new();
            for number in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("flag-{number}");
                let document = json!({ "key": key, "type": "boolean" });
                let answer =
                    Request::new(&agent, "POST", url.clone()).header("cookie", cookie).json(&document).send();
                match answer.status {
                    201 => assert!(acknowledged.insert(key)),
                    _ => assert_unavailable(&answer),
                }
            }
            acknowledged
        });
        for round in 0..8 {
            let before = revision(&cut);
            // In the middle of another change each time.
            until("changes go on", || revision(&cut) > before + round);
            cut.proxy.cut();
            cut.evaluates();
            cut.proxy.mend();
        }
        done.store(true, Ordering::Relaxed);
        acknowledged.extend(writer.join().unwrap());
    });
    until("it takes changes again", || create(&admin, "after").status == 201);

    let flags = keys(&admin.get(&format!("{PROJECTS}/demo/flags?limit=1000")).send().json());
    assert!(acknowledged.is_subset(&flags), "lost: {:?}", acknowledged.difference(&flags));
    let rows = |sql: &'static str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(cut.database.rows(sql, Vec::new())).unwrap()[0].get::<i64>(0).unwrap()
    };
    let made = rows("SELECT COUNT(*) FROM audit_logs WHERE type = 'flag.create'");
    assert_eq!(made, rows("SELECT COUNT(*) FROM flags"));
    assert_eq!(made, i64::try_from(flags.len()).unwrap());
    assert_eq!(rows("SELECT COUNT(*) FROM audit_logs"), rows("SELECT MAX(sequence) FROM audit_logs"));
    assert_eq!(
        rows("SELECT COUNT(*) FROM changes"),
        rows("SELECT CAST(SUM(revision) AS BIGINT) FROM environments"),
        "each revision has its row"
    );
    let revision_there = rows("SELECT MAX(revision) FROM environments WHERE key = 'development'");
    until("memory is at the database's state", || revision(&cut) == u64::try_from(revision_there).unwrap());
}

/// The last revision that the server has in memory.
fn revision(cut: &Cut) -> u64 {
    let definitions = cut.server.get("/api/v1/definitions").key(&cut.server.server_key()).send();
    definitions.json()["revision"].as_u64().unwrap()
}

fn keys(list: &Value) -> BTreeSet<String> {
    let flags = list["data"].as_array().unwrap();
    assert_eq!(list["total"], flags.len(), "all of them");
    flags.iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect()
}
