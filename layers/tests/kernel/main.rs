//! The kernel's promises, seen from outside: fused hooks do what unfused ones do, refusals, waiting, panics and the ends
//! of bodies.

mod bodies;
mod fused;
mod panics;
mod recorder;
mod refusals;
mod waiting;
