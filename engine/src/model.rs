//! What a flag, its configuration in one environment and a segment are made of, in the JSON shape clients
//! see.
//!
//! The types serialise to that shape and back. `Deserialize` is for what was accepted before (a row of the
//! store): it looks at shapes only. What a client sends is read by [`Flag::read`], [`FlagConfig::read`] and
//! [`Segment::read`], which find every fault.

mod condition;
mod config;
mod flag;
mod segment;

pub use condition::{Bucket, Cast, Condition, Leaf};
pub use config::{By, FlagConfig, Prerequisite, Rule, Serve, Split, Target, Weight};
pub use flag::{Flag, FlagKind, FlagType, Variant};
pub use segment::Segment;
