use std::sync::Arc;

use super::Compiler;
use crate::attributes::Slot;
use crate::buckets::Drawer;
use crate::limits;
use crate::matcher::Matcher;
use crate::model::{Bucket, Condition, Leaf};
use crate::operator::Operator;

/// A condition, ready to be evaluated.
#[derive(Debug)]
pub(crate) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Segment(Box<str>),
    Flag(Box<CompiledQuestion>),
    Bucket(Box<CompiledBucket>),
    Leaf { attribute: Slot, op: Operator, matcher: Arc<Matcher> },
}

/// Whether another flag answers one of these variants.
#[derive(Debug)]
pub(crate) struct CompiledQuestion {
    pub(crate) flag: Box<str>,
    pub(crate) variants: Box<[Box<str>]>,
}

#[derive(Debug)]
pub(crate) struct CompiledBucket {
    pub(crate) by: Box<[Slot]>,
    pub(crate) drawer: Drawer,
    pub(crate) from: u32,
    pub(crate) below: u32,
}

impl Compiler<'_> {
    pub(super) fn condition(&mut self, condition: &Condition, depth: usize) -> Option<Node> {
        if depth > limits::CONDITION_DEPTH {
            self.faults.push("too_deep", "conditions nest too deep");
            return None;
        }
        Some(match condition {
            Condition::All { all } => Node::All(self.parts(all, depth)?),
            Condition::Any { any } => Node::Any(self.parts(any, depth)?),
            Condition::Not { not } => Node::Not(Box::new(self.condition(not, depth + 1)?)),
            Condition::Segment { segment } => Node::Segment(segment.as_str().into()),
            Condition::Flag { flag, variants } => {
                let variants = variants.iter().map(|variant| variant.as_str().into()).collect();
                Node::Flag(Box::new(CompiledQuestion { flag: flag.as_str().into(), variants }))
            }
            Condition::Bucket { bucket } => Node::Bucket(Box::new(self.bucket(bucket))),
            Condition::Leaf(leaf) => self.leaf(leaf)?,
        })
    }

    fn parts(&mut self, parts: &[Condition], depth: usize) -> Option<Box<[Node]>> {
        parts.iter().map(|part| self.condition(part, depth + 1)).collect()
    }

    fn bucket(&mut self, bucket: &Bucket) -> CompiledBucket {
        CompiledBucket {
            by: self.by(&bucket.by),
            drawer: self.drawer(bucket.salt.as_deref(), bucket.hash),
            from: bucket.from,
            below: bucket.below,
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Option<Node> {
        let matcher = self.pool.matcher(leaf, &mut self.faults)?;
        self.uses_now |= matcher.uses_now();
        Some(Node::Leaf { attribute: self.slot(&leaf.attribute), op: leaf.op, matcher })
    }
}
