//! Reloads under load: 200 changes of the pipeline while wrk asks for flags and streams are open (DESIGN §4, R94).
//!
//! `cargo xtask test load` runs it; it needs wrk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;
mod wrk;

use std::{
    fs,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use harness::{Server, Setup};
use wrk::Load;

/// How long wrk asks.
const LOAD: Duration = Duration::from_secs(30);
/// Changes of the pipeline meanwhile, spread over that time.
const CHANGES: u32 = 200;
/// Every so many changes is a bad one.
const BAD: u32 = 20;
const STREAMS: usize = 20;

#[test]
fn two_hundred_reloads_cost_nobody_anything() {
    let server = Setup::demo()
        .variable("LOG_FILE", "log.json")
        .variable("FLAGSTONE_LOG__LEVEL", "error")
        .pipeline(|text| text.replace("requests = 5000", "requests = 0"))
        .start();
    let bearer = format!("Bearer {}", server.client_key());
    let streams: Vec<_> =
        (0..STREAMS).map(|_| server.stream("/api/v1/stream", &[("authorization", &bearer)])).collect();

    let load = Load::on(&server, 64, LOAD.as_secs());
    let changed = change_over_and_over(&server);
    let answers = load.answers();
    println!("figures: {answers}");
    assert!(answers.number > 1000 && answers.wrong == 0, "{answers}");
    assert_eq!(changed, (CHANGES - CHANGES / BAD, CHANGES / BAD));

    server.sign_in().switch("theme", false);
    for stream in &streams {
        assert_eq!(stream.data()["flagKey"], "theme");
    }
    let status = server.settled();
    println!(
        "{} reloads applied, {} rejected, generation {}, {} snapshot alive, {} streams each with the next change",
        changed.0, changed.1, status["generation"], status["snapshots"], STREAMS
    );
}

/// Changes the pipeline while the load lasts; returns how many changes were applied and how many rejected.
fn change_over_and_over(server: &Server) -> (u32, u32) {
    let good = fs::read_to_string(server.pipeline_file()).unwrap();
    let (_keep, never) = channel::<()>();
    let begun = Instant::now();
    let (mut applied, mut rejected) = (0, 0);
    for change in 1..=CHANGES {
        let bad = change % BAD == 0;
        let text = if bad {
            good.replace("kind = \"timeout\"", "kind = \"timeotu\"")
        } else {
            // A limit, a layer's setting and a chain's order change in turn.
            good.replace("default = 100 }", &format!("default = {} }}", 100 + change))
                .replace("after = \"30s\"", &format!("after = \"{}s\"", 30 + change % 7))
                .replace(
                    "\"metrics\", \"security-headers\"",
                    if change % 2 == 0 {
                        "\"security-headers\", \"metrics\""
                    } else {
                        "\"metrics\", \"security-headers\""
                    },
                )
        };
        save(server, &text, change);
        let answer = server.admin("POST", "/pipeline/reload").send();
        match (answer.status, bad) {
            // The watcher may have been quicker: then there is nothing left to do.
            (200, false) => applied += 1,
            (422, true) => rejected += 1,
            _ => panic!("change {change}: {answer:?}"),
        }
        // Nothing ever comes: this waits for the change's turn.
        let turn = LOAD * change / CHANGES;
        let _ = never.recv_timeout(turn.saturating_sub(begun.elapsed()));
    }
    fs::write(server.pipeline_file(), good).unwrap();
    assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 200);
    (applied, rejected)
}

/// In place, or as editors do it: a new file that takes the old one's name.
fn save(server: &Server, text: &str, change: u32) {
    let file = server.pipeline_file();
    if change.is_multiple_of(2) {
        fs::write(file, text).unwrap();
    } else {
        let new = file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, file).unwrap();
    }
}
