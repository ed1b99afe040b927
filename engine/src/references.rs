//! The flags and segments a definition speaks of.

use crate::model::{Condition, FlagConfig, Segment};

/// Another definition that one leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name<'d> {
    Flag(&'d str),
    Segment(&'d str),
}

/// One place where a definition speaks of another.
#[derive(Debug)]
pub(crate) struct Reference<'d> {
    /// The place of the key in the definition.
    pub(crate) pointer: String,
    pub(crate) to: Name<'d>,
    /// The variants the other flag is asked for, and their place.
    pub(crate) variants: Option<(String, &'d [String])>,
}

/// All places, and how deep the conditions nest.
#[derive(Debug, Default)]
pub(crate) struct References<'d> {
    pub(crate) found: Vec<Reference<'d>>,
    pub(crate) depth: usize,
}

impl<'d> References<'d> {
    pub(crate) fn of_config(config: &'d FlagConfig) -> Self {
        let mut references = Self::default();
        for (index, prerequisite) in config.prerequisites.iter().enumerate() {
            references.flag(&format!("/prerequisites/{index}"), &prerequisite.flag, &prerequisite.variants);
        }
        for (index, rule) in config.rules.iter().enumerate() {
            references.condition(&format!("/rules/{index}/when"), &rule.when, 1);
        }
        references
    }

    pub(crate) fn of_segment(segment: &'d Segment) -> Self {
        let mut references = Self::default();
        if let Some(when) = &segment.when {
            references.condition("/when", when, 1);
        }
        references
    }

    fn condition(&mut self, place: &str, condition: &'d Condition, depth: usize) {
        self.depth = self.depth.max(depth);
        match condition {
            Condition::All { all: parts } | Condition::Any { any: parts } => {
                let name = if matches!(condition, Condition::All { .. }) { "all" } else { "any" };
                for (index, part) in parts.iter().enumerate() {
                    self.condition(&format!("{place}/{name}/{index}"), part, depth + 1);
                }
            }
            Condition::Not { not } => self.condition(&format!("{place}/not"), not, depth + 1),
            Condition::Segment { segment } => {
                let pointer = format!("{place}/segment");
                self.found.push(Reference { pointer, to: Name::Segment(segment), variants: None });
            }
            Condition::Flag { flag, variants } => self.flag(place, flag, variants),
            Condition::Bucket { .. } | Condition::Leaf(_) => {}
        }
    }

    fn flag(&mut self, place: &str, flag: &'d str, variants: &'d [String]) {
        self.found.push(Reference {
            pointer: format!("{place}/flag"),
            to: Name::Flag(flag),
            variants: Some((format!("{place}/variants"), variants)),
        });
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(key) => write!(formatter, "flag `{key}`"),
            Self::Segment(key) => write!(formatter, "segment `{key}`"),
        }
    }
}
