//! Rate limits that servers share through Redis: exactly, and each alone while it is away.
//!
//! `cargo xtask test` runs it; it needs `redis-server` and `openssl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;

mod instance;
mod outages;
mod script;
mod servers;
mod sharing;
mod tls;
