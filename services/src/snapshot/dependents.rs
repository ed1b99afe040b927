//! What stands around a definition in its environment, and what leans on it.

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

impl Surroundings for Snapshot {
    fn flag(&self, key: &str) -> Option<(&Flag, &FlagConfig)> {
        self.flags.get(key).map(|definition| (&*definition.flag, &definition.config))
    }

    fn segment(&self, key: &str) -> Option<&Segment> {
        self.segments.get(key).map(|segment| &**segment)
    }

    fn flags(&self) -> Box<dyn Iterator<Item = (&Flag, &FlagConfig)> + '_> {
        Box::new(self.flags.values().map(|definition| (&*definition.flag, &definition.config)))
    }

    fn segments(&self) -> Box<dyn Iterator<Item = &Segment> + '_> {
        Box::new(self.segments.values().map(|segment| &**segment))
    }
}

/// A snapshot in which one flag has another configuration.
pub(crate) struct With<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) flag: &'a Flag,
    pub(crate) config: &'a FlagConfig,
}

impl Surroundings for With<'_> {
    fn flag(&self, key: &str) -> Option<(&Flag, &FlagConfig)> {
        if key == self.flag.key { Some((self.flag, self.config)) } else { self.snapshot.flag(key) }
    }

    fn segment(&self, key: &str) -> Option<&Segment> {
        self.snapshot.segment(key)
    }

    fn flags(&self) -> Box<dyn Iterator<Item = (&Flag, &FlagConfig)> + '_> {
        let others = self.snapshot.flags().filter(|(other, _)| other.key != self.flag.key);
        Box::new(others.chain([(self.flag, self.config)]))
    }

    fn segments(&self) -> Box<dyn Iterator<Item = &Segment> + '_> {
        self.snapshot.segments()
    }
}
