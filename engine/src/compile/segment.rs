use std::collections::HashSet;
use std::sync::Arc;

use super::{Compiler, Links, Node, Pool};
use crate::TARGETING_KEY;
use crate::attributes::{AttributeTable, Slot};
use crate::buckets::HashScheme;
use crate::keyed_list::Keyed;
use crate::model::Segment;
use crate::references::References;

/// A segment, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct CompiledSegment {
    pub(crate) key: Arc<str>,
    pub(crate) membership: Result<Membership, Box<str>>,
    pub(crate) links: Links,
    pub(crate) uses_now: bool,
}

/// Who belongs to a segment.
#[derive(Debug)]
pub(crate) struct Membership {
    /// Where the targeting key is, which the lists are about.
    pub(crate) targeting_key: Slot,
    pub(crate) include: HashSet<Box<str>>,
    pub(crate) exclude: HashSet<Box<str>>,
    pub(crate) when: Option<Node>,
}

impl CompiledSegment {
    pub(crate) fn new(segment: &Segment, attributes: &mut Arc<AttributeTable>, pool: &mut Pool) -> Self {
        let mut compiler = Compiler::new(attributes, pool, &segment.key, HashScheme::default());
        let when = segment.when.as_ref().map(|when| compiler.condition(when, 1));
        let targeting_key = compiler.slot(TARGETING_KEY);
        let set = |keys: &[String]| keys.iter().map(|key| key.as_str().into()).collect();
        let membership = match when {
            Some(None) => None,
            when => Some(Membership {
                targeting_key,
                include: set(&segment.include),
                exclude: set(&segment.exclude),
                when: when.flatten(),
            }),
        };
        Self {
            key: segment.key.as_str().into(),
            links: Links::new(&References::of_segment(segment)),
            uses_now: compiler.uses_now,
            membership: Compiler::outcome(compiler.faults, membership),
        }
    }
}

impl Keyed for CompiledSegment {
    fn key(&self) -> &Arc<str> {
        &self.key
    }
}
