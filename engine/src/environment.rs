//! One environment, compiled: what evaluation reads. Immutable; a change makes a new one that shares what
//! stayed the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attributes::AttributeTable;
use crate::compile::{CompiledFlag, CompiledSegment, Dependency, Links};
use crate::context::Context;
use crate::evaluate::{Evaluator, Resolution};
use crate::graph;
use crate::keyed_list::KeyedList;
use crate::limits;
use crate::model::{Flag, FlagConfig, Segment};
use crate::trace::Trace;

/// An immutable, compiled snapshot of the flags and segments of one environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    attributes: Arc<AttributeTable>,
    flags: KeyedList<CompiledFlag>,
    segments: KeyedList<CompiledSegment>,
    /// For each flag and then each segment: what keeps it from being evaluated.
    hindrances: Box<[Option<Box<str>>]>,
    uses_now: bool,
}

/// One difference between two environments.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A flag is new or another than before.
    Flag(&'a Flag, &'a FlagConfig),
    /// The flag of this key is gone.
    NoFlag(&'a str),
    /// A segment is new or another than before.
    Segment(&'a Segment),
    /// The segment of this key is gone.
    NoSegment(&'a str),
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
        let mut patched = self.clone();
        let mut flags = BTreeMap::new();
        let mut segments = BTreeMap::new();
        for change in changes {
            match change {
                Change::Flag(flag, config) => {
                    let compiled = CompiledFlag::new(flag, config, &mut patched.attributes);
                    flags.insert(flag.key.as_str().into(), Some(compiled));
                }
                Change::NoFlag(key) => {
                    flags.insert(key.into(), None);
                }
                Change::Segment(segment) => {
                    let compiled = CompiledSegment::new(segment, &mut patched.attributes);
                    segments.insert(segment.key.as_str().into(), Some(compiled));
                }
                Change::NoSegment(key) => {
                    segments.insert(key.into(), None);
                }
            }
        }
        patched.flags.change(flags);
        patched.segments.change(segments);
        patched.hindrances = patched.find_hindrances();
        patched.uses_now = patched.flags.iter().any(CompiledFlag::uses_now)
            || patched.segments.iter().any(|segment| segment.uses_now);
        patched
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
        self.hindrances.get(flag)?.as_deref()
    }

    /// Flags and segments are nodes, segments after flags.
    fn find_hindrances(&self) -> Box<[Option<Box<str>>]> {
        let segments = self.segments.iter().map(|segment| &segment.links);
        let nodes: Vec<&Links> = self.flags.iter().map(CompiledFlag::links).chain(segments).collect();
        let own_depths: Vec<usize> = nodes.iter().map(|links| links.depth).collect();
        let targets = |links: &Links| links.dependencies.iter().filter_map(|it| self.node(it)).collect();
        let leads_to: Vec<Vec<usize>> = nodes.iter().map(|links| targets(links)).collect();
        let (order, depths) = graph::sort(&own_depths, &leads_to);

        let mut hindrances = vec![None; nodes.len()];
        for node in order {
            let too_deep = depths.get(node).copied().flatten().is_none_or(|depth| depth > limits::NESTING);
            let found = if too_deep {
                Some("the flags and segments it leads to nest too deep".into())
            } else {
                let mut dependencies = nodes.get(node).into_iter().flat_map(|links| &links.dependencies);
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
        hindrances.into_boxed_slice()
    }

    fn node(&self, dependency: &Dependency) -> Option<usize> {
        match dependency {
            Dependency::Flag(key) => self.flags.place(key),
            Dependency::Segment(key) => self.segments.place(key).map(|place| self.flags.len() + place),
        }
    }

    /// Why a dependency on a segment cannot be met. (A flag that is missing answers nothing, which is fine.)
    fn missing_segment(&self, dependency: &Dependency, found: &[Option<Box<str>>]) -> Option<Box<str>> {
        let Dependency::Segment(key) = dependency else { return None };
        let place = self.segments.place(key);
        let Some((place, segment)) = place.and_then(|place| Some((place, self.segments.at(place)?))) else {
            return Some(format!("the segment `{key}` does not exist").into());
        };
        let hindrance = found.get(self.flags.len() + place).and_then(Option::as_deref);
        let reason = segment.membership.as_ref().err().map(|reason| &**reason).or(hindrance)?;
        Some(format!("the segment `{key}` cannot be evaluated: {reason}").into())
    }
}
