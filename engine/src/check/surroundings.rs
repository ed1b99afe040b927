use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::environment::Environment;
use crate::model::{Flag, FlagConfig, Segment};

/// The definitions of one environment, to check another against. Flags for which nothing is stored there
/// count with [`FlagConfig::implicit`].
pub trait Surroundings {
    /// All of them, compiled: what is looked through for those that matter.
    fn environment(&self) -> &Environment;
    /// The flag of this key, as it was written.
    fn flag(&self, key: &str) -> Option<(Cow<'_, Flag>, Cow<'_, FlagConfig>)>;
    /// The segment of this key, as it was written.
    fn segment(&self, key: &str) -> Option<Cow<'_, Segment>>;
}

/// Surroundings made of borrowed definitions.
#[derive(Clone, Debug, Default)]
pub struct Definitions<'d> {
    flags: BTreeMap<&'d str, (&'d Flag, &'d FlagConfig)>,
    segments: BTreeMap<&'d str, &'d Segment>,
    environment: Environment,
}

impl<'d> Definitions<'d> {
    /// Of definitions with the same key the last counts.
    pub fn new(
        flags: impl IntoIterator<Item = (&'d Flag, &'d FlagConfig)>,
        segments: impl IntoIterator<Item = &'d Segment>,
    ) -> Self {
        let flags: BTreeMap<_, _> =
            flags.into_iter().map(|(flag, config)| (flag.key.as_str(), (flag, config))).collect();
        let segments: BTreeMap<_, _> =
            segments.into_iter().map(|segment| (segment.key.as_str(), segment)).collect();
        let environment = Environment::new(flags.values().copied(), segments.values().copied());
        Self { flags, segments, environment }
    }
}

impl Surroundings for Definitions<'_> {
    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn flag(&self, key: &str) -> Option<(Cow<'_, Flag>, Cow<'_, FlagConfig>)> {
        self.flags.get(key).map(|(flag, config)| (Cow::Borrowed(*flag), Cow::Borrowed(*config)))
    }

    fn segment(&self, key: &str) -> Option<Cow<'_, Segment>> {
        self.segments.get(key).map(|segment| Cow::Borrowed(*segment))
    }
}
