//! Reads what a client sent: shapes, grammars and sizes, all faults at once, each with its place.
//!
//! What needs other definitions (does this segment exist?) or is about meaning (is this a version?) is
//! [`check`](crate::check)'s. Absent members get their defaults; unknown ones are faults.

mod condition;
mod config;
mod flag;
mod members;
mod segment;
