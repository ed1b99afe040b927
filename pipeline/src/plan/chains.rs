//! Chains with everything spliced in and removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{
    layers::Layers,
    lower::{Merged, Named},
};
use crate::{
    diagnostic::{Diagnostic, Location, did_you_mean},
    document::Faults,
    fields::{self, Text},
};

/// The declared chains, each as it runs.
pub(super) struct Chains<'t> {
    by_name: BTreeMap<&'t str, Chain<'t>>,
}

/// A chain as it runs.
#[derive(Clone)]
pub(super) struct Chain<'t> {
    pub(super) name: Arc<str>,
    pub(super) steps: Vec<Mention<'t>>,
    /// Whether something in it is at fault, so that nothing can be proven of it.
    pub(super) broken: bool,
}

/// A layer by its name, and where which chain names it.
#[derive(Clone)]
pub(super) struct Mention<'t> {
    pub(super) layer: &'t str,
    pub(super) chain: Arc<str>,
    pub(super) location: Location,
}

/// Chains that are being looked at.
struct Splicing<'c, 't, 'a> {
    lists: BTreeMap<&'t str, Vec<Text<'t>>>,
    merged: &'c Merged<'t, 'a>,
    layers: &'c Layers<'t, 'a>,
    faults: &'c mut Faults,
    done: BTreeMap<&'t str, Chain<'t>>,
    /// The chains that led to this one, each with the place that splices the next.
    path: Vec<(&'t str, Range<usize>)>,
}

// === impl Chains ===

impl<'t> Chains<'t> {
    pub(super) fn get(&self, name: &str) -> Option<&Chain<'t>> {
        self.by_name.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chain<'t>> {
        self.by_name.values()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'t str> {
        self.by_name.keys().copied()
    }
}

/// Resolves all chains.
pub(super) fn read<'t, 'a>(
    merged: &Merged<'t, 'a>,
    layers: &Layers<'t, 'a>,
    faults: &mut Faults,
) -> Chains<'t> {
    let mut lists = BTreeMap::new();
    for (name, named) in &merged.chains {
        if let Some(list) = fields::texts(named.value, &format!("chain `{name}`"), faults) {
            lists.insert(*name, list);
        }
    }
    let mut splicing = Splicing { lists, merged, layers, faults, done: BTreeMap::new(), path: Vec::new() };
    for name in merged.chains.keys() {
        splicing.resolve(name);
    }
    Chains { by_name: splicing.done }
}

// === impl Splicing ===

impl<'t> Splicing<'_, 't, '_> {
    fn resolve(&mut self, name: &'t str) -> Chain<'t> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let mut chain = Chain { name: name.into(), steps: Vec::new(), broken: false };
        match self.lists.get(name).cloned() {
            Some(list) => {
                for (item, span) in list {
                    self.item(&mut chain, name, item, span);
                }
            }
            None => chain.broken = true,
        }
        self.done.insert(name, chain.clone());
        chain
    }

    fn item(&mut self, chain: &mut Chain<'t>, name: &'t str, item: &'t str, span: Range<usize>) {
        if let Some(spliced) = item.strip_prefix('@') {
            self.splice(chain, name, spliced, span);
        } else if let Some(removed) = item.strip_prefix('-') {
            self.remove(chain, removed, span);
        } else if let Some((layer, _)) = self.layers.declared.get_key_value(item) {
            let location = self.faults.at(span);
            self.add(chain, Mention { layer, chain: chain.name.clone(), location });
        } else {
            chain.broken = true;
            let fault = Diagnostic::error(
                "unknown-layer",
                &self.faults.at(span),
                format!("there is no layer `{item}`"),
            );
            let help = match self.merged.chains.contains_key(item) {
                true => Some(format!("`@{item}` splices the chain of that name")),
                false => did_you_mean(item, self.layers.declared.keys().copied()),
            };
            let help = help.unwrap_or_else(|| format!("declare it as `[layers.{item}]`, with its `kind`"));
            self.faults.push(fault.help(help));
        }
    }

    fn add(&mut self, chain: &mut Chain<'t>, step: Mention<'t>) {
        let Some(first) = chain.steps.iter().find(|known| known.layer == step.layer) else {
            chain.steps.push(step);
            return;
        };
        let message = format!("chain `{}` has `{}` twice", chain.name, step.layer);
        let fault = Diagnostic::error("duplicate-layer", &step.location, message)
            .related(&first.location, "here for the first time")
            .help("a layer stands in a chain once; for other settings, declare another layer of its kind");
        self.faults.push(fault);
    }

    fn splice(&mut self, chain: &mut Chain<'t>, name: &'t str, spliced: &str, span: Range<usize>) {
        let location = self.faults.at(span.clone());
        let Some((spliced, _)) = self.merged.chains.get_key_value(spliced) else {
            chain.broken = true;
            let fault =
                Diagnostic::error("unknown-chain", &location, format!("there is no chain `{spliced}`"));
            let meant = did_you_mean(spliced, self.merged.chains.keys().copied());
            self.faults.push(fault.help_if(meant));
            return;
        };
        self.path.push((name, span));
        if let Some(begins) = self.path.iter().position(|(known, _)| known == spliced) {
            chain.broken = true;
            self.report_cycle(begins);
        } else {
            let inner = self.resolve(spliced);
            chain.broken |= inner.broken;
            for step in inner.steps {
                // The place to mend is where the second one comes in.
                match chain.steps.iter().any(|known| known.layer == step.layer) {
                    true => self.add(chain, Mention { location: location.clone(), ..step }),
                    false => chain.steps.push(step),
                }
            }
        }
        self.path.pop();
    }

    fn report_cycle(&mut self, begins: usize) {
        let cycle: Vec<_> = self.path.iter().skip(begins).cloned().collect();
        let mut names: Vec<_> = cycle.iter().map(|(name, _)| *name).collect();
        names.extend(names.first().copied());
        let Some(((_, last), others)) = cycle.split_last() else { return };
        let message = format!("chains splice one another in a circle: {}", names.join(" → "));
        let mut fault = Diagnostic::error("chain-cycle", &self.faults.at(last.clone()), message);
        for (_, span) in others {
            fault = fault.related(&self.faults.at(span.clone()), "through here");
        }
        self.faults.push(fault.help("remove one of these"));
    }

    fn remove(&mut self, chain: &mut Chain<'t>, removed: &str, span: Range<usize>) {
        let before = chain.steps.len();
        chain.steps.retain(|step| step.layer != removed);
        if chain.steps.len() < before || (chain.broken && self.layers.declared.contains_key(removed)) {
            return;
        }
        let location = self.faults.at(span);
        let message = format!("chain `{}` has no `{removed}` to remove here", chain.name);
        let fault = Diagnostic::error("absent-layer", &location, message);
        let meant = did_you_mean(removed, chain.steps.iter().map(|step| step.layer));
        let help = meant.unwrap_or_else(|| "a removal stands after what brings the layer in".to_owned());
        self.faults.push(fault.help(help));
        chain.broken = true;
    }
}

/// Says which layers and chains nothing names. Where a name is misspelt that is no news.
pub(super) fn warn_unused(merged: &Merged<'_, '_>, faults: &mut Faults) {
    let mut used = BTreeSet::new();
    for named in merged.chains.values() {
        let items = named.value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
        used.extend(items.filter_map(|item| item.get_ref().as_str()).map(str::to_owned));
    }
    for entry in merged.routes.iter().copied().chain(merged.fallback) {
        let chain = entry.get_ref().as_table().and_then(|table| table.get("chain")?.get_ref().as_str());
        used.extend(chain.map(|chain| format!("@{chain}")));
    }
    let mut warn = |code, named: &Named<'_, '_>, message: String| {
        let warning = Diagnostic::warning(code, &faults.at(named.name.clone()), message);
        faults.push(warning);
    };
    for (name, named) in &merged.layers {
        if !used.contains(*name) {
            warn("unused-layer", named, format!("no chain has the layer `{name}`"));
        }
    }
    for (name, named) in &merged.chains {
        if !used.contains(&format!("@{name}")) {
            warn("unused-chain", named, format!("no route and no chain has the chain `{name}`"));
        }
    }
}
