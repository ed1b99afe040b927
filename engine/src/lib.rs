//! Feature flags, rules and segments, and their evaluation: no I/O, no clock, no async.
//!
//! Documents are read ([`model`]), checked against the others of their environment ([`check`]) and compiled
//! into an immutable [`Environment`]; a [`Context`] made of a request's body is evaluated against that.
//!
//! ```
//! use flagstone_engine::model::{Flag, FlagConfig};
//! use flagstone_engine::{Context, Environment};
//! use serde_json::json;
//!
//! let flag = Flag::read(&json!({"key": "beta-search", "type": "boolean"}), &[]).unwrap();
//! let config = json!({
//!     "enabled": true,
//!     "rules": [{
//!         "when": {"attribute": "plan", "op": "in", "values": ["pro", "team"]},
//!         "serve": {"variant": "on"},
//!     }],
//!     "fallthrough": {"variant": "off"},
//! });
//! let config = FlagConfig::read(&config, &flag, &[]).unwrap();
//! let environment = Environment::new([(&flag, &config)], []);
//!
//! let body = json!({"context": {"targetingKey": "user-1", "plan": "pro"}});
//! let context = Context::from_ofrep(&body, jiff::Timestamp::UNIX_EPOCH).unwrap();
//! let resolution = environment.evaluate("beta-search", &context).unwrap();
//! assert_eq!(resolution.variant.map(|variant| variant.json()), Some("true"));
//! assert_eq!(resolution.reason.openfeature(), "TARGETING_MATCH");
//! ```
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
mod json;
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
mod resolved;
mod subject;
pub mod trace;
mod version;

pub use compile::{CompiledFlag, CompiledVariant};
pub use context::{Context, ContextError};
pub use environment::{Change, Draft, Environment};
pub use evaluate::{Evaluator, MatchedRule, Resolution};
pub use fault::Fault;
pub use json::{Json, Object};
pub use key::{KEY_PATTERN, PROJECT_KEY_PATTERN, is_key, is_project_key};
pub use operator::Operator;
pub use reason::{ErrorCode, Reason};

/// The built-in attribute that names who asks.
pub const TARGETING_KEY: &str = "targetingKey";
/// The built-in attribute that is the time of the evaluation.
pub const NOW: &str = "now";
