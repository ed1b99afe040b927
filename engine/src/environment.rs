//! One environment, compiled: what evaluation reads. Immutable; a change makes a new one that shares what
//! stayed the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attributes::AttributeTable;
use crate::compile::{CompiledFlag, CompiledSegment, Links, OwnFields, Pool};
use crate::context::Context;
use crate::evaluate::{Evaluator, Resolution};
use crate::graph;
use crate::keyed_list::KeyedList;
use crate::limits;
use crate::model::{Flag, FlagConfig, Segment};
use crate::references::Name;
use crate::trace::Trace;

/// An immutable, compiled snapshot of the flags and segments of one environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    attributes: Arc<AttributeTable>,
    flags: KeyedList<CompiledFlag>,
    segments: KeyedList<CompiledSegment>,
    /// What keeps flags from being evaluated, by their places.
    hindrances: BTreeMap<usize, Box<str>>,
    uses_now: bool,
}

/// One difference between two environments.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A flag is new or another than before.
    Flag(&'a Flag, &'a FlagConfig),
    /// The flag of this key has another configuration; its own fields are as before.
    Config(&'a str, &'a FlagConfig),
    /// The flag of this key is gone.
    NoFlag(&'a str),
    /// A segment is new or another than before.
    Segment(&'a Segment),
    /// The segment of this key is gone.
    NoSegment(&'a str),
}

/// An environment that is being changed: definitions can be read, given and let go one by one.
#[derive(Debug)]
pub struct Draft {
    environment: Environment,
    flags: BTreeMap<Arc<str>, Option<Arc<CompiledFlag>>>,
    segments: BTreeMap<Arc<str>, Option<Arc<CompiledSegment>>>,
    pool: Pool,
}

impl Environment {
    /// Compiles a whole environment. Of flags or segments with the same key the last counts.
    pub fn new<'a>(
        flags: impl IntoIterator<Item = (&'a Flag, &'a FlagConfig)>,
        segments: impl IntoIterator<Item = &'a Segment>,
    ) -> Self {
        let flags = flags.into_iter().map(|(flag, config)| Change::Flag(flag, config));
        Self::default().patched(flags.chain(segments.into_iter().map(Change::Segment)))
    }

    /// The environment after some changes. What is not named in them is shared, not compiled again.
    ///
    /// The names of attributes that nothing uses any more are kept; [`Environment::new`] starts without.
    #[must_use]
    pub fn patched<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) -> Self {
        let mut draft = self.draft();
        changes.into_iter().for_each(|change| draft.apply(change));
        draft.finish()
    }

    /// Begins to change a copy, which shares what stays the same.
    pub fn draft(&self) -> Draft {
        let (flags, segments, pool) = (BTreeMap::new(), BTreeMap::new(), Pool::default());
        Draft { environment: self.clone(), flags, segments, pool }
    }

    /// Evaluates one flag; `None` where there is none of this key. An archived flag answers
    /// [`Reason::Archived`](crate::Reason::Archived).
    pub fn evaluate<'e>(&'e self, key: &str, context: &Context<'_>) -> Option<Resolution<'e>> {
        self.evaluator(context).flag(key)
    }

    /// Evaluates one flag and tells each step; `None` where there is none of this key.
    pub fn trace(&self, key: &str, context: &Context<'_>) -> Option<Trace> {
        self.evaluator(context).trace(key)
    }

    /// Evaluates several flags for one context, which is looked through once.
    pub fn evaluator<'e, 'c>(&'e self, context: &'c Context<'_>) -> Evaluator<'e, 'c> {
        Evaluator::new(self, context)
    }

    /// The flags in the order of their keys, archived ones too.
    pub fn flags(&self) -> impl DoubleEndedIterator<Item = &CompiledFlag> + ExactSizeIterator {
        self.flags.iter()
    }

    /// The flag of this key.
    pub fn flag(&self, key: &str) -> Option<&CompiledFlag> {
        self.flags.at(self.flags.place(key)?)
    }

    /// Where the flag of this key stands in [`Environment::flags`].
    pub fn flag_position(&self, key: &str) -> Option<usize> {
        self.flags.place(key)
    }

    pub(crate) fn has_segment(&self, key: &str) -> bool {
        self.segments.place(key).is_some()
    }

    /// The keys of the segments, in their order.
    pub(crate) fn segment_keys(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| &*segment.key)
    }

    /// Whether anything here depends on the time, so that the same context may get other answers later.
    pub fn uses_now(&self) -> bool {
        self.uses_now
    }

    pub(crate) fn attributes(&self) -> &AttributeTable {
        &self.attributes
    }

    pub(crate) fn flag_list(&self) -> &KeyedList<CompiledFlag> {
        &self.flags
    }

    pub(crate) fn segment_list(&self) -> &KeyedList<CompiledSegment> {
        &self.segments
    }

    /// Why the flag at this place cannot be evaluated although it compiled.
    pub(crate) fn hindrance(&self, flag: usize) -> Option<&str> {
        self.hindrances.get(&flag).map(|reason| &**reason)
    }

    /// What leads to what: the flags and then the segments.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Name<'_>, &Links)> {
        let flags = self.flags.iter().map(|flag| (Name::Flag(flag.key()), flag.links()));
        flags.chain(self.segments.iter().map(|segment| (Name::Segment(&segment.key), &segment.links)))
    }

    /// Flags and segments are nodes, segments after flags.
    fn find_hindrances(&self) -> BTreeMap<usize, Box<str>> {
        let nodes: Vec<&Links> = self.links().map(|(_, links)| links).collect();
        let own_depths: Vec<usize> = nodes.iter().map(|links| links.depth).collect();
        let targets = |links: &Links| links.names().filter_map(|it| self.node(it)).collect();
        let leads_to: Vec<Vec<usize>> = nodes.iter().map(|links| targets(links)).collect();
        let (order, depths) = graph::sort(&own_depths, &leads_to);

        let mut hindrances = vec![None; nodes.len()];
        for node in order {
            let too_deep = depths.get(node).copied().flatten().is_none_or(|depth| depth > limits::NESTING);
            let found = if too_deep {
                Some("the flags and segments it leads to nest too deep".into())
            } else {
                let mut dependencies = nodes.get(node).into_iter().flat_map(|links| links.names());
                dependencies.find_map(|dependency| self.missing_segment(dependency, &hindrances))
            };
            if let Some(place) = hindrances.get_mut(node) {
                *place = found;
            }
        }
        for (hindrance, depth) in hindrances.iter_mut().zip(&depths) {
            if depth.is_none() {
                *hindrance = Some("it leads to itself, or to what does".into());
            }
        }
        hindrances.truncate(self.flags.len());
        let found = hindrances.into_iter().enumerate();
        found.filter_map(|(place, hindrance)| Some((place, hindrance?))).collect()
    }

    fn node(&self, dependency: Name<'_>) -> Option<usize> {
        match dependency {
            Name::Flag(key) => self.flags.place(key),
            Name::Segment(key) => self.segments.place(key).map(|place| self.flags.len() + place),
        }
    }

    /// Why a dependency on a segment cannot be met. (A flag that is missing answers nothing, which is fine.)
    fn missing_segment(&self, dependency: Name<'_>, found: &[Option<Box<str>>]) -> Option<Box<str>> {
        let Name::Segment(key) = dependency else { return None };
        let place = self.segments.place(key);
        let Some((place, segment)) = place.and_then(|place| Some((place, self.segments.at(place)?))) else {
            return Some(format!("the segment `{key}` does not exist").into());
        };
        let hindrance = found.get(self.flags.len() + place).and_then(Option::as_deref);
        let reason = segment.membership.as_ref().err().map(|reason| &**reason).or(hindrance)?;
        Some(format!("the segment `{key}` cannot be evaluated: {reason}").into())
    }
}

impl Draft {
    /// Makes one change. A configuration of a flag that there is not is passed over.
    pub fn apply(&mut self, change: Change<'_>) {
        match change {
            Change::Flag(flag, config) => {
                let own = Arc::new(OwnFields::new(flag, &mut self.pool));
                self.put(own, config);
            }
            Change::Config(key, config) => {
                let changed = self.flags.get(key).map(Option::as_deref);
                let flag = changed.unwrap_or_else(|| self.environment.flag(key));
                if let Some(own) = flag.map(|flag| Arc::clone(flag.own())) {
                    self.put(own, config);
                }
            }
            Change::NoFlag(key) => {
                self.flags.insert(key.into(), None);
            }
            Change::Segment(segment) => {
                let attributes = &mut self.environment.attributes;
                let compiled = CompiledSegment::new(segment, attributes, &mut self.pool);
                self.segments.insert(Arc::clone(&compiled.key), Some(Arc::new(compiled)));
            }
            Change::NoSegment(key) => {
                self.segments.insert(key.into(), None);
            }
        }
    }

    fn put(&mut self, own: Arc<OwnFields>, config: &FlagConfig) {
        let key = Arc::clone(own.key());
        let compiled = CompiledFlag::new(own, config, &mut self.environment.attributes, &mut self.pool);
        self.flags.insert(key, Some(Arc::new(compiled)));
    }

    /// The changed environment.
    pub fn finish(self) -> Environment {
        let Self { mut environment, flags, segments, .. } = self;
        environment.flags.change(flags);
        environment.segments.change(segments);
        environment.hindrances = environment.find_hindrances();
        environment.uses_now = environment.flags.iter().any(CompiledFlag::uses_now)
            || environment.segments.iter().any(|segment| segment.uses_now);
        environment
    }
}
