//! What a server stands on breaks under it: its database's file, its process, its descriptors.
//!
//! `cargo xtask test faults` runs it, as root where that is possible: a full disk is a file system that the test mounts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;

mod database;
mod descriptors;
mod kill;
mod machine;
#[expect(dead_code, reason = "it serves the test of several instances, which asks for more")]
mod random;
mod records;
mod start;
