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

/// A place in a definition; the pointer to it is written only where there is something.
#[derive(Clone, Copy)]
enum Place<'p> {
    Root,
    Member(&'p Place<'p>, &'static str),
    Element(&'p Place<'p>, usize),
}

impl<'d> References<'d> {
    pub(crate) fn of_config(config: &'d FlagConfig) -> Self {
        let mut references = Self::default();
        for (index, prerequisite) in config.prerequisites.iter().enumerate() {
            let place = Place::Element(&Place::Member(&Place::Root, "prerequisites"), index);
            references.flag(place, &prerequisite.flag, &prerequisite.variants);
        }
        for (index, rule) in config.rules.iter().enumerate() {
            let rule_place = Place::Element(&Place::Member(&Place::Root, "rules"), index);
            references.condition(Place::Member(&rule_place, "when"), &rule.when, 1);
        }
        references
    }

    pub(crate) fn of_segment(segment: &'d Segment) -> Self {
        let mut references = Self::default();
        if let Some(when) = &segment.when {
            references.condition(Place::Member(&Place::Root, "when"), when, 1);
        }
        references
    }

    fn condition(&mut self, place: Place<'_>, condition: &'d Condition, depth: usize) {
        self.depth = self.depth.max(depth);
        match condition {
            Condition::All { all: parts } | Condition::Any { any: parts } => {
                let name = if matches!(condition, Condition::All { .. }) { "all" } else { "any" };
                for (index, part) in parts.iter().enumerate() {
                    self.condition(Place::Element(&Place::Member(&place, name), index), part, depth + 1);
                }
            }
            Condition::Not { not } => self.condition(Place::Member(&place, "not"), not, depth + 1),
            Condition::Segment { segment } => {
                let pointer = format!("{place}/segment");
                self.found.push(Reference { pointer, to: Name::Segment(segment), variants: None });
            }
            Condition::Flag { flag, variants } => self.flag(place, flag, variants),
            Condition::Bucket { .. } | Condition::Leaf(_) => {}
        }
    }

    fn flag(&mut self, place: Place<'_>, flag: &'d str, variants: &'d [String]) {
        self.found.push(Reference {
            pointer: format!("{place}/flag"),
            to: Name::Flag(flag),
            variants: Some((format!("{place}/variants"), variants)),
        });
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => write!(formatter, "{parent}/{name}"),
            Self::Element(parent, index) => write!(formatter, "{parent}/{index}"),
        }
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
