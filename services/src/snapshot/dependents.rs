//! What stands around a definition in its environment, and what leans on it.

use std::borrow::Cow;

use flagstone_engine::Environment;
use flagstone_engine::check::{Surroundings, User, users_of_flag, users_of_segment};
use flagstone_engine::model::{Flag, FlagConfig, Segment};

use super::Snapshot;

/// A flag or a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reference<'a> {
    Flag(&'a str),
    Segment(&'a str),
}

impl Snapshot {
    /// The other flags and segments that use this one, each named once.
    pub(crate) fn dependents(&self, of: Reference<'_>) -> Vec<String> {
        let users = match of {
            Reference::Flag(key) => users_of_flag(key, self),
            Reference::Segment(key) => users_of_segment(key, self),
        };
        let mut names: Vec<String> = users
            .into_iter()
            .map(|user| match user {
                User::Flag { key, .. } => format!("flag \"{key}\""),
                User::Segment { key, .. } => format!("segment \"{key}\""),
            })
            .collect();
        // One definition may use another in several places, which come one after the other.
        names.dedup();
        names
    }
}

/// A snapshot in which one flag has another configuration.
pub(crate) struct With<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) flag: &'a Flag,
    pub(crate) config: &'a FlagConfig,
}

impl Surroundings for With<'_> {
    fn environment(&self) -> &Environment {
        self.snapshot.environment()
    }

    fn flag(&self, key: &str) -> Option<(Cow<'_, Flag>, Cow<'_, FlagConfig>)> {
        if key == self.flag.key {
            Some((Cow::Borrowed(self.flag), Cow::Borrowed(self.config)))
        } else {
            self.snapshot.flag(key)
        }
    }

    fn segment(&self, key: &str) -> Option<Cow<'_, Segment>> {
        self.snapshot.segment(key)
    }
}
