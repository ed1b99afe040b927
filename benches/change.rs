//! How long a change takes until it is evaluated and streamed.

use std::{thread, time::Instant};

use serde_json::json;

use crate::{
    flags,
    harness::{Person, Server},
    machine::{median, millis},
    project::{self, Client},
};

const CHANGES: usize = 20;

/// Times changes of one flag, made `at` one server: until `other`, or the same, gives another answer, and until a stream
/// there has it.
pub(crate) fn measure(admin: &Person<'_>, [at, other]: [&Server; 2], key: &str, among: &str, target: u32) {
    let stream = other.stream("/api/v1/stream", &[("authorization", &format!("Bearer {key}"))]);
    let (mut saved, mut evaluated, mut streamed) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let enabled = number % 2 == 1;
        let mut config = flags::config(0);
        config["enabled"] = json!(enabled);
        let change = admin.request("PUT", &project::config_of(0)).header("if-match", "*").json(&config);
        let (client, poller) = (Client::new(at, key), Client::new(other, key));
        let begun = Instant::now();
        let saving = thread::spawn(move || {
            let answer = change.send();
            assert_eq!(answer.status, 200, "{answer:?}");
            let took = begun.elapsed();
            // Whoever has this answer sees the change.
            assert_eq!(client.evaluate(0)["value"], enabled);
            took
        });
        let polling = thread::spawn(move || {
            while poller.evaluate(0)["value"] != enabled {}
            begun.elapsed()
        });
        assert_eq!(stream.data()["flagKey"], flags::key(0));
        streamed.push(begun.elapsed());
        saved.push(saving.join().unwrap());
        evaluated.push(polling.join().unwrap());
    }
    println!(
        "a change among {among}: evaluated after {:.1} ms, streamed after {:.1} ms, answered after {:.1} ms, \
         medians of {CHANGES} (target ≤ {target})",
        millis(median(&mut evaluated)),
        millis(median(&mut streamed)),
        millis(median(&mut saved))
    );
}
