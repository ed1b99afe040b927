//! What the server takes and gives under load, measured from outside: one bench in each module.
//!
//! `cargo xtask bench` lists them, `cargo xtask bench throughput` builds all that one needs and runs it. Times are printed
//! and never held to anything; statuses, counts and bodies are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench that fails panics")]

mod change;
mod flags;
#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../tests/server/harness.rs"]
mod harness;
mod machine;
mod project;
mod reload;
mod replicas;
mod sign_ins;
mod start;
mod streams;
mod throughput;
mod wrk;
