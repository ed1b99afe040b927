//! What it takes to build and swap the shipped pipeline, and what a thousand of that cost those who ask meanwhile.

use std::{
    fs,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use crate::{
    harness::Server,
    machine::{self, median, millis, resident},
    project,
    wrk::{Answers, Question},
};

/// Reloads that are timed, on a server that does nothing else.
const TIMED: u32 = 100;
/// Reloads under load, spread over its time.
const UNDER_LOAD: u32 = 1000;
const CONNECTIONS: u32 = 64;
const LOAD: Duration = Duration::from_secs(60);
/// Loads without reloads, before and after.
const QUIET: Duration = Duration::from_secs(30);

/// A server whose pipeline is changed over and over.
struct Changing<'s> {
    server: &'s Server,
    shipped: String,
    changes: u32,
}

#[test]
fn measure() {
    println!("{}", machine::describe());
    let server = machine::server().start();
    let key = project::make(&server.sign_in(), 1);
    let mut changing = Changing {
        server: &server,
        shipped: fs::read_to_string(server.pipeline_file()).unwrap(),
        changes: 0,
    };

    let mut times: Vec<Duration> = (0..TIMED).map(|_| changing.change()).collect();
    times.sort();
    let (median, slowest) = (median(&mut times), times[times.len() - 1]);
    println!(
        "a reload, idle: median {:.1} ms, slowest {:.1} ms (target ≤ 10)",
        millis(median),
        millis(slowest)
    );

    let question = Question::one_flag(&server, &key);
    let before = question.ask(CONNECTIONS, QUIET).answers();
    let load = question.ask(CONNECTIONS, LOAD);
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut memory = Vec::new();
    let (_keep, never) = channel::<()>();
    for change in 1..=UNDER_LOAD {
        times.push(changing.change());
        if change % (UNDER_LOAD / 10) == 0 {
            memory.push(resident(server.pid()));
        }
        // Nothing ever comes: this waits for the change's turn.
        let _ = never.recv_timeout((LOAD * change / UNDER_LOAD).saturating_sub(begun.elapsed()));
    }
    let took = begun.elapsed();
    let during = load.answers();
    let after = question.ask(CONNECTIONS, QUIET).answers();
    let status = server.pipeline();
    let generation = status["generation"].as_u64().unwrap();
    assert!(generation > u64::from(TIMED + UNDER_LOAD), "{status}");

    println!(
        "{UNDER_LOAD} reloads in {:.0} s: median {:.1} ms",
        took.as_secs_f64(),
        millis(machine::median(&mut times))
    );
    println!("resident after each {}: {memory:?} KiB", UNDER_LOAD / 10);
    for (when, answers) in [("before", before), ("during", during), ("after", after)] {
        println!("{when}: {}", shown(&answers));
    }
    let quiet = (before.p99 + after.p99) / 2;
    println!("p99 with over without: {:.2} (target ≤ 1.2)", during.p99.as_secs_f64() / quiet.as_secs_f64());
}

fn shown(answers: &Answers) -> String {
    let Answers { number, rate, p50, p99 } = answers;
    format!("{number} answers, all right, {rate}/s, p50 {:.2} ms, p99 {:.2} ms", millis(*p50), millis(*p99))
}

// === impl Changing ===

impl Changing<'_> {
    /// Saves another pipeline, has it applied, and returns how long that took as its operator sees it.
    fn change(&mut self) -> Duration {
        loop {
            self.changes += 1;
            // A limit, a layer's setting and a chain's order change in turn.
            let turn = self.changes;
            let order = ["\"metrics\", \"security-headers\"", "\"security-headers\", \"metrics\""];
            let text = self
                .shipped
                .replace("default = 100 }", &format!("default = {} }}", 100 + turn))
                .replace("after = \"30s\"", &format!("after = \"{}s\"", 30 + turn % 7))
                .replace(order[0], order[turn as usize % 2]);
            let new = self.server.pipeline_file().with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.server.pipeline_file()).unwrap();
            let begun = Instant::now();
            let answer = self.server.admin("POST", "/pipeline/reload").send();
            let took = begun.elapsed();
            assert_eq!(answer.status, 200, "{answer:?}");
            // Whoever watches the file may have been quicker: that one is not this one's time.
            if answer.json()["outcome"] == "applied" {
                return took;
            }
        }
    }
}
