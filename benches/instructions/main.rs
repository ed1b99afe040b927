//! What a request costs in instructions and allocations, hyper's included, counted by callgrind in the release binary.
//!
//! `cargo xtask test instructions` runs it and holds each count to `counts.toml` and 3 %. After a change that
//! is meant, with `FLAGSTONE_ACCEPT=1` it writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod callgrind;
#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../../tests/server/harness.rs"]
mod harness;

use std::{collections::BTreeMap, fs, path::PathBuf};

use callgrind::Cost;
use harness::{Server, Setup};

/// By how much a count may exceed the one that was accepted.
const TOLERANCE: f64 = 0.03;
/// What is asked for: one boolean flag, by OFREP.
const CONTEXT: &str = r#"{"context":{"targetingKey":"user-4711","plan":"pro","country":"NO"}}"#;

#[test]
fn a_request_costs_what_was_accepted() {
    let bare = callgrind::cost(with_chain("sdk", r#""sdk-key""#), evaluate);
    let silent = callgrind::cost(demo(|text| text.replace(r#""access-log", "#, "")), evaluate);
    let full = callgrind::cost(demo(|text| text), evaluate);
    let public = callgrind::cost(with_chain("probe", ""), health);
    let keyed = callgrind::cost(with_chain("probe", r#""sdk-key""#), health);
    // The bare handler needs a caller, so what finds it is counted on a route that needs none.
    let authentication = keyed - public;
    let handler = bare - authentication;
    let counts = BTreeMap::from([
        ("handler", handler),
        ("sdk chain without the log line", silent - handler),
        ("sdk chain", full - handler),
        ("evaluation, all in all", full),
    ]);
    for (name, cost) in &counts {
        println!(
            "figures: {name}: {} instructions, {} allocations a request",
            cost.instructions, cost.allocations
        );
    }
    hold(&counts);
}

/// Compares with what was accepted; with `FLAGSTONE_ACCEPT` writes it.
fn hold(counts: &BTreeMap<&str, Cost>) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.toml"));
    if std::env::var_os("FLAGSTONE_ACCEPT").is_some() {
        let head =
            "# Instructions and allocations a request, as `cargo xtask test instructions` counts them.\n\n";
        return fs::write(path, head.to_owned() + &toml::to_string(counts).unwrap()).unwrap();
    }
    let accepted: BTreeMap<String, Cost> = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(accepted.keys().eq(counts.keys()), "other things are counted than were accepted");
    let mut off = Vec::new();
    for (name, cost) in counts {
        let before = accepted[*name];
        let ratio = cost.instructions as f64 / before.instructions as f64;
        if ratio > 1.0 + TOLERANCE || cost.allocations > before.allocations {
            off.push(format!("{name}: {cost:?}, accepted were {before:?} ({ratio:.3})"));
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

/// The demonstration with another pipeline, logging to a file.
fn demo(change: impl FnOnce(String) -> String) -> Setup {
    Setup::demo().variable("LOG_FILE", "log.json").variable("FLAGSTONE_LOG__LEVEL", "error").pipeline(change)
}

/// The demonstration with these layers in one chain, and nothing overridden.
fn with_chain(name: &str, layers: &str) -> Setup {
    let begin = format!("{name} = [");
    demo(|text| {
        let lines = text.lines().filter(|line| !line.starts_with("override."));
        let lines = lines.map(|line| match line.starts_with(&begin) {
            true => format!("{begin}{layers}]\n"),
            false => format!("{line}\n"),
        });
        let text: String = lines.collect();
        // The stream's chain is the evaluation's, less what is not there any more.
        if name == "sdk" {
            text.replace(r#"["@sdk", "-timeout", "-compress", "#, r#"["@sdk", "#)
        } else {
            text
        }
    })
}

fn evaluate(server: &Server) -> String {
    format!(
        "POST /ofrep/v1/evaluate/flags/new-checkout HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{CONTEXT}",
        server.address(),
        server.client_key(),
        CONTEXT.len(),
    )
}

fn health(server: &Server) -> String {
    format!(
        "GET /health HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.address(),
        server.client_key()
    )
}
