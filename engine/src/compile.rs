//! From definitions to what is evaluated: everything parsed, named variants and attributes turned into
//! places.
//!
//! Compiling never fails: a definition that no longer compiles becomes a flag that answers `error` once it
//! is enabled, or a segment whose users do.

mod condition;
mod flag;
mod pool;
mod segment;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::NOW;
use crate::attributes::{AttributeTable, Slot};
use crate::buckets::{Drawer, HashScheme};
use crate::fault::Faults;
use crate::model::By;
use crate::references::{Name, References};

pub(crate) use condition::{CompiledBucket, CompiledQuestion, Node};
pub use flag::{CompiledFlag, CompiledVariant};
pub(crate) use flag::{
    CompiledPrerequisite, CompiledRule, CompiledServe, CompiledSplit, CompiledTarget, OwnFields, Place, Plan,
};
pub(crate) use pool::Pool;
pub(crate) use segment::CompiledSegment;

/// Another definition that one leads to.
#[derive(Debug)]
enum Dependency {
    Flag(Box<str>),
    Segment(Box<str>),
}

/// What a definition leads to, each once, and how deep an evaluation of it alone nests.
#[derive(Debug)]
pub(crate) struct Links {
    dependencies: Box<[Dependency]>,
    pub(crate) depth: usize,
}

/// Compiles one definition.
struct Compiler<'c> {
    attributes: &'c mut Arc<AttributeTable>,
    pool: &'c mut Pool,
    salt: &'c str,
    hash: HashScheme,
    faults: Faults,
    uses_now: bool,
}

impl Links {
    pub(crate) fn new(references: &References<'_>) -> Self {
        let names: BTreeSet<Name<'_>> = references.found.iter().map(|reference| reference.to).collect();
        let dependency = |name| match name {
            Name::Flag(key) => Dependency::Flag(key.into()),
            Name::Segment(key) => Dependency::Segment(key.into()),
        };
        Self { dependencies: names.into_iter().map(dependency).collect(), depth: references.depth + 1 }
    }

    /// The definitions it leads to.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.dependencies.iter().map(|dependency| match dependency {
            Dependency::Flag(key) => Name::Flag(key),
            Dependency::Segment(key) => Name::Segment(key),
        })
    }
}

impl<'c> Compiler<'c> {
    fn new(
        attributes: &'c mut Arc<AttributeTable>,
        pool: &'c mut Pool,
        salt: &'c str,
        hash: HashScheme,
    ) -> Self {
        Self { attributes, pool, salt, hash, faults: Faults::default(), uses_now: false }
    }

    fn slot(&mut self, attribute: &str) -> Slot {
        self.uses_now |= attribute.strip_prefix('/').unwrap_or(attribute) == NOW;
        AttributeTable::intern(self.attributes, attribute)
    }

    fn by(&mut self, by: &By) -> Box<[Slot]> {
        by.attributes().iter().map(|attribute| self.slot(attribute)).collect()
    }

    fn drawer(&self, salt: Option<&str>, hash: Option<HashScheme>) -> Drawer {
        Drawer::new(hash.unwrap_or(self.hash), salt.unwrap_or(self.salt))
    }

    /// What was compiled, or why it could not be.
    fn outcome<T>(faults: Faults, compiled: Option<T>) -> Result<T, Box<str>> {
        let fault = faults.into_vec().into_iter().next();
        match (fault, compiled) {
            (None, Some(compiled)) => Ok(compiled),
            (Some(fault), _) => Err(fault.to_string().into()),
            (None, None) => Err("does not compile".into()),
        }
    }
}
