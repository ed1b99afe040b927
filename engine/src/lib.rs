//! Feature flags, rules and segments, and their evaluation: no I/O, no clock, no async.
#![forbid(unsafe_code)]

mod attributes;
pub mod buckets;
pub mod check;
mod compile;
mod context;
mod environment;
mod evaluate;
mod fault;
mod graph;
mod instant;
mod key;
mod keyed_list;
pub mod limits;
mod matcher;
pub mod model;
mod nearest;
mod number;
mod operator;
mod pointer;
mod read;
mod reason;
mod references;
mod subject;
pub mod trace;
mod version;

pub use compile::{CompiledFlag, CompiledVariant};
pub use context::{Context, ContextError};
pub use environment::{Change, Environment};
pub use evaluate::{Evaluator, MatchedRule, Resolution};
pub use fault::Fault;
pub use key::{is_key, is_project_key};
pub use operator::Operator;
pub use reason::{ErrorCode, Reason};

/// The built-in attribute that names who asks.
pub const TARGETING_KEY: &str = "targetingKey";
/// The built-in attribute that is the time of the evaluation.
pub const NOW: &str = "now";
