//! Feature flags, rules and segments, and their evaluation: no I/O, no clock, no async.
#![forbid(unsafe_code)]

pub mod buckets;
mod fault;
mod key;
pub mod limits;
pub mod model;
mod operator;
mod pointer;
mod read;

pub use fault::Fault;
pub use key::{is_key, is_project_key};
pub use operator::Operator;

/// The built-in attribute that names who asks.
pub const TARGETING_KEY: &str = "targetingKey";
/// The built-in attribute that is the time of the evaluation.
pub const NOW: &str = "now";
