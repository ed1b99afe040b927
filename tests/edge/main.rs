//! The HTTP edge behind the proxies that people use, with the shipped configuration of each: what hostile clients send,
//! whose address is believed, streams. And without one: slow clients, and too many.
//!
//! `cargo xtask test edge` runs it; it needs nginx, HAProxy, Caddy, slowhttptest and wrk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;
#[path = "../load/wrk.rs"]
mod wrk;

mod addresses;
mod cases;
mod flood;
mod hostile;
mod proxy;
mod slow;
mod socket;
mod streams;

/// Connections of those that ask for flags meanwhile.
const CONNECTIONS: u64 = 16;
