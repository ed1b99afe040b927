//! The kernel's promises, seen from outside: fused hooks do what unfused ones do, refusals, waiting, panics and the ends
//! of bodies.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic, outside of its test functions too")]

mod bodies;
mod fused;
mod panics;
mod recorder;
mod refusals;
mod waiting;
