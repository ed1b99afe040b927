//! Layers held against what others made for the same purpose: helmet and express-rate-limit.
//!
//! `cargo xtask test oracles` installs both and runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;

mod helmet;
mod program;
mod rate_limit;
