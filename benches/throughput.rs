//! Requests a second, as a share of what hyper alone does with a fixed answer in the same run.

use std::{fmt, time::Duration};

use crate::{
    flags,
    harness::Server,
    machine::{self, Program, SERVER_CORES, median, processor_time},
    project::{self, Client},
    wrk::Question,
};

const FLAGS: usize = 100;
const CONNECTIONS: u32 = 64;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

/// What one of the things measured came to in a round.
#[derive(Clone, Copy)]
struct Figures {
    /// Requests a second.
    rate: f64,
    /// The server's processor time for each request, in microseconds.
    time: f64,
}

/// Something measured, round by round.
struct Measured {
    name: &'static str,
    target: Option<f64>,
    question: Question,
    process: u32,
    rounds: Vec<Figures>,
}

#[test]
fn measure() {
    println!("{}", machine::describe());
    let mut bare = Program::start(SERVER_CORES, "bare", &[]);
    let url = bare.line();
    let document = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    let on = |runtime| machine::server().variable("FLAGSTONE_SERVER__RUNTIME", runtime).start();
    let (shared, per_core) = (on("shared"), on("per_core"));
    let mut all = vec![Measured::new("bare hyper", None, Question::bare(&url, &document), bare.pid())];
    for (server, names, targets) in [
        (&shared, ["one flag, shared", "100 flags, shared"], [0.54, 0.30]),
        (&per_core, ["one flag, per core", "100 flags, per core"], [0.64, 0.37]),
    ] {
        let key = project::make(&server.sign_in(), FLAGS);
        for ((name, target), question) in
            names.into_iter().zip(targets).zip([Question::one_flag(server, &key), bulk(server, &key)])
        {
            all.push(Measured::new(name, Some(target), question, server.pid()));
        }
    }
    for round in 0..=ROUNDS {
        for measured in &mut all {
            let figures = measured.measure();
            // The first round only warms up.
            if round > 0 {
                measured.rounds.push(figures);
            }
        }
    }
    let (bare, ours) = all.split_first().expect("the baseline");
    println!(
        "| what | requests/s | of bare hyper | target | CPU a request | of bare hyper |\n|---|---|---|---|---|---|"
    );
    println!("{}", bare.row(bare));
    for measured in ours {
        println!("{}", measured.row(bare));
    }
}

/// All flags. Behind them comes a token, which is another each time.
fn bulk(server: &Server, key: &str) -> Question {
    let document = Client::new(server, key).evaluate_all();
    let answered = document["flags"].as_array().unwrap();
    assert_eq!(answered.len(), FLAGS);
    let mut expected = Vec::new();
    for flag in answered {
        let index = (0..FLAGS).find(|index| flag["key"] == flags::key(*index)).unwrap();
        assert_eq!(flag["value"], flags::answer(index), "{flag}");
        expected.push(flags::ofrep_answer(index));
    }
    let expected = format!(r#"{{"flags":[{}],"eventStreams":"#, expected.join(","));
    Question::ofrep(server, key, "", project::question(), expected)
}

// === impl Measured ===

impl Measured {
    fn new(name: &'static str, target: Option<f64>, question: Question, process: u32) -> Self {
        Self { name, target, question, process, rounds: Vec::new() }
    }

    fn measure(&self) -> Figures {
        let before = processor_time(self.process);
        let answers = self.question.ask(CONNECTIONS, ROUND).answers();
        let time = processor_time(self.process) - before;
        Figures {
            rate: answers.number as f64 / ROUND.as_secs_f64(),
            time: time.as_secs_f64() * 1e6 / answers.number as f64,
        }
    }

    /// Medians; ratios are those of the same round.
    fn row(&self, bare: &Self) -> Row {
        let of = |figure: &dyn Fn(Figures) -> f64| {
            let mut own: Vec<f64> = self.rounds.iter().map(|round| figure(*round)).collect();
            let mut ratios: Vec<f64> = self
                .rounds
                .iter()
                .zip(&bare.rounds)
                .map(|(own, bare)| figure(*own) / figure(*bare))
                .collect();
            (median(&mut own), median(&mut ratios))
        };
        Row {
            name: self.name,
            target: self.target,
            rate: of(&|round| round.rate),
            time: of(&|round| round.time),
        }
    }
}

/// A line of the report: figures, and each as a share of the baseline's.
struct Row {
    name: &'static str,
    target: Option<f64>,
    rate: (f64, f64),
    time: (f64, f64),
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.map_or_else(String::new, |target| format!("≥ {target:.2}"));
        let ((rate, rate_ratio), (time, time_ratio)) = (self.rate, self.time);
        write!(
            f,
            "| {} | {rate:.0} | {rate_ratio:.2} | {target} | {time:.1} µs | {time_ratio:.2} |",
            self.name
        )
    }
}
