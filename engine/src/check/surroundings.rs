use std::collections::BTreeMap;

use crate::model::{Flag, FlagConfig, Segment};

/// The definitions of one environment, to check another against. Flags for which nothing is stored there
/// count with [`FlagConfig::implicit`].
pub trait Surroundings {
    /// The flag of this key.
    fn flag(&self, key: &str) -> Option<(&Flag, &FlagConfig)>;
    /// The segment of this key.
    fn segment(&self, key: &str) -> Option<&Segment>;
    /// All flags.
    fn flags(&self) -> Box<dyn Iterator<Item = (&Flag, &FlagConfig)> + '_>;
    /// All segments.
    fn segments(&self) -> Box<dyn Iterator<Item = &Segment> + '_>;
}

/// Surroundings made of borrowed definitions.
#[derive(Clone, Debug, Default)]
pub struct Definitions<'d> {
    flags: BTreeMap<&'d str, (&'d Flag, &'d FlagConfig)>,
    segments: BTreeMap<&'d str, &'d Segment>,
}

impl<'d> Definitions<'d> {
    /// Of definitions with the same key the last counts.
    pub fn new(
        flags: impl IntoIterator<Item = (&'d Flag, &'d FlagConfig)>,
        segments: impl IntoIterator<Item = &'d Segment>,
    ) -> Self {
        Self {
            flags: flags.into_iter().map(|(flag, config)| (flag.key.as_str(), (flag, config))).collect(),
            segments: segments.into_iter().map(|segment| (segment.key.as_str(), segment)).collect(),
        }
    }
}

impl Surroundings for Definitions<'_> {
    fn flag(&self, key: &str) -> Option<(&Flag, &FlagConfig)> {
        self.flags.get(key).copied()
    }

    fn segment(&self, key: &str) -> Option<&Segment> {
        self.segments.get(key).copied()
    }

    fn flags(&self) -> Box<dyn Iterator<Item = (&Flag, &FlagConfig)> + '_> {
        Box::new(self.flags.values().copied())
    }

    fn segments(&self) -> Box<dyn Iterator<Item = &Segment> + '_> {
        Box::new(self.segments.values().copied())
    }
}
