//! How long evaluation takes while a thousand people a second sign in, or try to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    machine::{self, CLIENT_CORES, Program, median, millis},
    project,
    wrk::Question,
};

/// Sign-ins a second.
const RATE: u64 = 1000;
const TIME: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// Applications that ask all the while, each with a pause before it asks again: a load that the server carries easily.
const CONNECTIONS: u32 = 16;
const PAUSE: Duration = Duration::from_millis(5);
/// What a sign-in may be answered.
const ANSWERS: [&str; 4] = ["200", "401", "429", "503"];

#[test]
fn measure() {
    println!("{}", machine::describe());
    // The clients stand behind a proxy, which says their addresses.
    let server = machine::server().variable("TRUSTED_PROXIES", "127.0.0.1").start();
    let key = project::make(&server.sign_in(), 1);
    let question = Question::one_flag(&server, &key).with_pause(PAUSE);
    let address = server.address().to_string();
    let (email, password) =
        (server.demo["email"].as_str().unwrap(), server.demo["password"].as_str().unwrap());

    let kinds = ["nobody signs in", "all from one address", "each from an address of its own"];
    let mut rounds = [const { Vec::new() }; 3];
    let mut said = [(); 3].map(|()| json!({}));
    for _ in 0..ROUNDS {
        for (kind, (rounds, said)) in rounds.iter_mut().zip(&mut said).enumerate() {
            let load = question.ask(CONNECTIONS, TIME);
            if kind > 0 {
                let addresses = if kind == 1 { "one" } else { "many" };
                let (rate, seconds) = (RATE.to_string(), TIME.as_secs().to_string());
                let arguments = [&address, &rate, &seconds, email, password, addresses];
                let line = Program::start(CLIENT_CORES, "sign-ins", &arguments).line();
                *said = serde_json::from_str(&line).unwrap();
                check(said);
            }
            rounds.push(load.answers());
        }
    }
    println!(
        "| sign-ins, {RATE} a second | evaluations/s | p50 | p99 | p99 over idle | answers to sign-ins of a round |"
    );
    println!("|---|---|---|---|---|---|");
    let mut idle = None;
    for ((kind, rounds), said) in kinds.iter().zip(rounds).zip(said) {
        let rate = median(&mut rounds.iter().map(|round| round.rate).collect::<Vec<_>>());
        let p50 = median(&mut rounds.iter().map(|round| round.p50).collect::<Vec<_>>());
        let p99 = median(&mut rounds.iter().map(|round| round.p99).collect::<Vec<_>>());
        let ratio = p99.as_secs_f64() / idle.get_or_insert(p99).as_secs_f64();
        println!("| {kind} | {rate} | {:.2} ms | {:.2} ms | {ratio:.2} | {said} |", millis(p50), millis(p99));
    }
}

/// Every one of them was answered, and by something that a sign-in may be answered.
fn check(said: &Value) {
    let counts = said.as_object().unwrap();
    assert!(counts.keys().all(|status| ANSWERS.contains(&status.as_str())), "{said}");
    let all: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(all, RATE * TIME.as_secs(), "{said}");
}
