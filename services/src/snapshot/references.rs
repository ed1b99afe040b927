//! Which flags and segments lean on which.

use flagstone_engine::model::{Condition, FlagConfig, Segment};

use super::Snapshot;

/// The flag or segment a definition names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    Flag(&'a str),
    Segment(&'a str),
}

impl Snapshot {
    /// The keys of the flags and segments that name `wanted` in this environment, themselves left out.
    pub(crate) fn dependents(&self, wanted: Reference<'_>) -> Vec<String> {
        let flags = self
            .flags
            .values()
            .filter(|definition| Reference::Flag(&definition.flag.key) != wanted)
            .filter(|definition| config_names(&definition.config, wanted))
            .map(|definition| format!("flag \"{}\"", definition.flag.key));
        let segments = self
            .segments
            .values()
            .filter(|segment| Reference::Segment(&segment.key) != wanted)
            .filter(|segment| segment_names(segment, wanted))
            .map(|segment| format!("segment \"{}\"", segment.key));
        flags.chain(segments).collect()
    }
}

fn config_names(config: &FlagConfig, wanted: Reference<'_>) -> bool {
    config.prerequisites.iter().any(|prerequisite| Reference::Flag(&prerequisite.flag) == wanted)
        || config.rules.iter().any(|rule| condition_names(&rule.when, wanted))
}

fn segment_names(segment: &Segment, wanted: Reference<'_>) -> bool {
    segment.when.as_ref().is_some_and(|when| condition_names(when, wanted))
}

/// Recursion is bounded: what is stored nests no deeper than `CONDITION_DEPTH`.
fn condition_names(condition: &Condition, wanted: Reference<'_>) -> bool {
    match condition {
        Condition::All { all: parts } | Condition::Any { any: parts } => {
            parts.iter().any(|part| condition_names(part, wanted))
        }
        Condition::Not { not } => condition_names(not, wanted),
        Condition::Segment { segment } => Reference::Segment(segment) == wanted,
        Condition::Flag { flag, .. } => Reference::Flag(flag) == wanted,
        Condition::Bucket { .. } | Condition::Leaf(_) => false,
    }
}
