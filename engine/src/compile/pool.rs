use std::collections::HashMap;
use std::sync::Arc;

use super::CompiledVariant;
use crate::fault::Faults;
use crate::matcher::Matcher;
use crate::model::{Flag, FlagType, Leaf, Variant};

/// What several definitions that are compiled together have alike, and share.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    matchers: HashMap<Leaf, Arc<Matcher>>,
    variants: HashMap<FlagType, HashMap<Vec<Variant>, Arc<[CompiledVariant]>>>,
}

impl Pool {
    /// As [`Matcher::compile`].
    pub(super) fn matcher(&mut self, leaf: &Leaf, faults: &mut Faults) -> Option<Arc<Matcher>> {
        if let Some(known) = self.matchers.get(leaf) {
            return Some(Arc::clone(known));
        }
        let matcher = Arc::new(Matcher::compile(leaf, faults)?);
        self.matchers.insert(leaf.clone(), Arc::clone(&matcher));
        Some(matcher)
    }

    /// The variants of a flag.
    pub(super) fn variants(&mut self, flag: &Flag) -> Arc<[CompiledVariant]> {
        let of_type = self.variants.entry(flag.flag_type).or_default();
        if let Some(known) = of_type.get(&flag.variants) {
            return Arc::clone(known);
        }
        let compile = |variant| CompiledVariant::new(variant, flag.flag_type);
        let compiled: Arc<[_]> = flag.variants.iter().map(compile).collect();
        of_type.insert(flag.variants.clone(), Arc::clone(&compiled));
        compiled
    }
}
