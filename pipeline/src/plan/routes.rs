//! Which entry covers which handler route, and with which chain.

use std::{cmp::Ordering, collections::BTreeSet, ops::Range};

use flagstone_layers::kernel::RouteSpec;
use http::Method;
use toml::{Spanned, de::DeValue};

use super::{
    PlannedRoute, Step,
    chains::{Chain, Chains, Mention},
    layers::Layers,
    lower::{Handler, Lowering, Merged},
};
use crate::{
    diagnostic::{Diagnostic, Location, did_you_mean},
    document::Faults,
    fields::{Fields, Text, listed, table},
    pattern::Pattern,
};

/// The methods an entry or a test may name.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// What covers the handler routes.
pub(super) struct Covered {
    pub(super) routes: Vec<Option<PlannedRoute>>,
    /// `None` where it is missing, which is a fault.
    pub(super) fallback: Option<PlannedRoute>,
}

/// An entry of `[[routes]]`.
struct Entry {
    path: String,
    span: Range<usize>,
    /// `None` where the path is at fault.
    pattern: Option<Pattern>,
    methods: Option<Vec<Method>>,
    /// What its routes run.
    runs: PlannedRoute,
}

pub(super) fn read<'t, 'a>(
    merged: &Merged<'t, 'a>,
    chains: &Chains<'t>,
    layers: &mut Layers<'t, 'a>,
    lowering: &Lowering<'_>,
    start: Range<usize>,
    faults: &mut Faults,
) -> Covered {
    let mut entries = Vec::new();
    for value in &merged.routes {
        entries.extend(read_entry(value, chains, layers, lowering, faults));
    }
    let routes = cover(&entries, lowering.handlers, start.clone(), faults);
    let fallback = match merged.fallback {
        Some(value) => Fields::of(value, "the fallback", &["chain", "override"], faults).map(|fields| {
            let location = faults.at(value.span());
            run(&fields, location, "fallback", chains, layers, lowering, faults)
        }),
        None => {
            let fault = Diagnostic::error(
                "missing-fallback",
                &faults.at(start),
                "there is no `[fallback]`: unknown paths and wrong methods would run no chain",
            );
            faults.push(fault.help("add `[fallback]` with a `chain`"));
            None
        }
    };
    Covered { routes, fallback }
}

/// The declared chains as they would run without overrides.
pub(super) fn declared(chains: &Chains<'_>, layers: &Layers<'_, '_>) -> Vec<PlannedRoute> {
    let route = |chain: &Chain<'_>| {
        let location = chain.steps.first()?.location.clone();
        let step = |mention: &Mention<'_>| {
            let instance = layers.declared.get(mention.layer)?.instance?;
            Some(Step { instance, chain: mention.chain.clone(), location: mention.location.clone() })
        };
        let steps: Vec<_> = chain.steps.iter().filter_map(step).collect();
        Some(PlannedRoute {
            entry: location.clone(),
            chain: chain.name.clone(),
            chain_named: location,
            broken: chain.broken || steps.len() < chain.steps.len(),
            steps,
        })
    };
    chains.iter().filter_map(route).collect()
}

fn read_entry<'t, 'a>(
    value: &'t Spanned<DeValue<'a>>,
    chains: &Chains<'t>,
    layers: &mut Layers<'t, 'a>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> Option<Entry> {
    let fields = Fields::of(value, "a route", &["path", "methods", "chain", "override"], faults)?;
    let path = fields.required_text("path", faults);
    let pattern = path.clone().and_then(|(path, span)| match Pattern::parse(path) {
        Ok(parsed) => Some(parsed.pattern),
        Err(fault) => {
            faults.error("invalid-path", span, format!("`{path}`: {fault}"));
            None
        }
    });
    let methods = fields.texts("methods", faults).map(|names| methods(names, value.span(), faults));
    let (path, span) = path.unwrap_or(("?", value.span()));
    let name = match &methods {
        Some(methods) if !methods.is_empty() => {
            let names: Vec<_> = methods.iter().map(Method::as_str).collect();
            format!("{} {path}", names.join(","))
        }
        _ => path.to_owned(),
    };
    let location = faults.at(span.clone());
    let runs = run(&fields, location, &name, chains, layers, lowering, faults);
    Some(Entry { path: path.to_owned(), span, pattern, methods, runs })
}

fn methods(names: Vec<Text<'_>>, span: Range<usize>, faults: &mut Faults) -> Vec<Method> {
    if names.is_empty() {
        let fault = Diagnostic::error("invalid-value", &faults.at(span), "`methods` names no method");
        faults.push(fault.help("leave it out to cover all methods"));
    }
    names.into_iter().filter_map(|(name, span)| method(name, span, faults)).collect()
}

/// A method that is known.
pub(super) fn method(name: &str, span: Range<usize>, faults: &mut Faults) -> Option<Method> {
    if METHODS.contains(&name) {
        return name.parse().ok();
    }
    let location = faults.at(span);
    let fault = Diagnostic::error("unknown-method", &location, format!("there is no method `{name}`"));
    let meant = did_you_mean(&name.to_ascii_uppercase(), METHODS);
    faults.push(fault.help(meant.unwrap_or_else(|| format!("there are {}", listed(&METHODS)))));
    None
}

/// The chain of an entry, with the layers that the entry overrides.
fn run<'t, 'a>(
    fields: &Fields<'t, 'a>,
    entry: Location,
    name: &str,
    chains: &Chains<'t>,
    layers: &mut Layers<'t, 'a>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> PlannedRoute {
    let named = fields.required_text("chain", faults);
    let chain_named = named.as_ref().map_or(entry.clone(), |(_, span)| faults.at(span.clone()));
    let chain = named.as_ref().and_then(|(chain, _)| chains.get(chain));
    if let (Some((name, _)), None) = (&named, chain) {
        let fault = Diagnostic::error("unknown-chain", &chain_named, format!("there is no chain `{name}`"));
        faults.push(fault.help_if(did_you_mean(name, chains.names())));
    }
    let mut route = PlannedRoute {
        entry,
        chain: chain.map_or_else(|| "?".into(), |chain| chain.name.clone()),
        chain_named,
        steps: Vec::new(),
        broken: chain.is_none_or(|chain| chain.broken),
    };
    let overrides = fields.get("override").and_then(|value| table(value, "`override`", faults));
    for (layer, _) in overrides.into_iter().flatten() {
        let mentioned =
            chain.is_none_or(|chain| chain.steps.iter().any(|step| step.layer == layer.get_ref()));
        if mentioned || (route.broken && layers.declared.contains_key(layer.get_ref().as_ref())) {
            continue;
        }
        let layer_name = layer.get_ref();
        let location = faults.at(layer.span());
        let fault = if layers.declared.contains_key(layer_name.as_ref()) {
            let message = format!("chain `{}` has no `{layer_name}` to override", route.chain);
            Diagnostic::error("absent-layer", &location, message)
                .related(&route.chain_named, "this chain")
                .help("remove the override, or name a chain that has the layer")
        } else {
            let meant =
                did_you_mean(layer_name, chain.into_iter().flat_map(|c| c.steps.iter().map(|s| s.layer)));
            Diagnostic::error("unknown-layer", &location, format!("there is no layer `{layer_name}`"))
                .help_if(meant)
        };
        faults.push(fault);
    }
    for step in chain.into_iter().flat_map(|chain| &chain.steps) {
        let changes = overrides.and_then(|overrides| overrides.get(step.layer));
        let instance = match changes {
            Some(changes) => layers.derive(step.layer, name, changes, lowering, faults),
            None => layers.declared.get(step.layer).and_then(|declared| declared.instance),
        };
        match instance {
            Some(instance) => route.steps.push(Step {
                instance,
                chain: step.chain.clone(),
                location: step.location.clone(),
            }),
            None => route.broken = true,
        }
    }
    route
}

/// Finds for each handler route the most specific entry.
fn cover(
    entries: &[Entry],
    handlers: &[Handler<'_>],
    start: Range<usize>,
    faults: &mut Faults,
) -> Vec<Option<PlannedRoute>> {
    let mut covering = BTreeSet::new();
    let mut winning = BTreeSet::new();
    let mut ties: Vec<(usize, usize, Vec<String>)> = Vec::new();
    let mut uncovered = Vec::new();
    let routes = handlers
        .iter()
        .map(|handler| {
            let spec = handler.spec;
            let mut candidates: Vec<_> =
                entries.iter().enumerate().filter(|(_, entry)| entry.covers(handler)).collect();
            covering.extend(candidates.iter().map(|(index, _)| *index));
            candidates.sort_by(|(_, one), (_, other)| other.specificity(one));
            let mut best = candidates.iter();
            let Some((index, entry)) = best.next() else {
                if !spec.optional {
                    uncovered.push(spec);
                }
                return None;
            };
            winning.insert(*index);
            if let Some((second, _)) = best.next().filter(|(_, other)| entry.specificity(other).is_eq()) {
                winning.insert(*second);
                let name = route_name(spec);
                match ties.iter_mut().find(|(one, other, _)| (one, other) == (index, second)) {
                    Some((.., names)) => names.push(name),
                    None => ties.push((*index, *second, vec![name])),
                }
            }
            Some(entry.runs.clone())
        })
        .collect();
    report_entries(entries, &covering, &winning, handlers, faults);
    report_ties(entries, ties, faults);
    // An entry whose path is at fault may be the one that was meant.
    if entries.iter().all(|entry| entry.pattern.is_some()) {
        report_uncovered(&uncovered, start, faults);
    }
    routes
}

fn report_entries(
    entries: &[Entry],
    covering: &BTreeSet<usize>,
    winning: &BTreeSet<usize>,
    handlers: &[Handler<'_>],
    faults: &mut Faults,
) {
    for (index, entry) in entries.iter().enumerate() {
        if winning.contains(&index) || !entry.is_sound() {
            continue;
        }
        let location = faults.at(entry.span.clone());
        if covering.contains(&index) {
            let message = format!("more specific entries take every route of `{}`", entry.path);
            faults.push(Diagnostic::warning("shadowed-route", &location, message));
            continue;
        }
        let message = format!("`{}` covers no handler route", entry.name());
        faults.push(Diagnostic::error("covers-nothing", &location, message).help_if(entry.why(handlers)));
    }
}

fn report_ties(entries: &[Entry], ties: Vec<(usize, usize, Vec<String>)>, faults: &mut Faults) {
    for (one, other, names) in ties {
        let (Some(one), Some(other)) = (entries.get(one), entries.get(other)) else { continue };
        let (first, second) = if one.span.start < other.span.start { (one, other) } else { (other, one) };
        let message = format!("two entries cover {} alike", some(&names));
        let fault = Diagnostic::error("ambiguous-route", &faults.at(second.span.clone()), message)
            .related(&faults.at(first.span.clone()), "the other one")
            .help("remove one of them, or make one more specific by its path or by `methods`");
        faults.push(fault);
    }
}

fn report_uncovered(uncovered: &[&RouteSpec], start: Range<usize>, faults: &mut Faults) {
    if uncovered.is_empty() {
        return;
    }
    let names: Vec<_> =
        uncovered.iter().map(|spec| format!("{} ({})", route_name(spec), spec.access)).collect();
    let fault =
        Diagnostic::error("uncovered-route", &faults.at(start), format!("no entry covers {}", some(&names)));
    faults.push(
        fault.help("add a `[[routes]]` entry whose `path` covers each, with a chain that gives its access"),
    );
}

// === impl Entry ===

impl Entry {
    /// Whether it covers a route. One that may be left out takes an entry with exactly its path, so that a catch-all
    /// never opens it by accident.
    fn covers(&self, Handler { spec, pattern: handler }: &Handler<'_>) -> bool {
        let Some(pattern) = &self.pattern else { return false };
        let path = if spec.optional { pattern == handler } else { pattern.covers(handler) };
        path && self.methods.as_ref().is_none_or(|methods| methods.contains(&spec.method))
    }

    /// Of two entries that cover one route, the more specific is the greater: by path, then by methods.
    fn specificity(&self, other: &Self) -> Ordering {
        let paths = match (&self.pattern, &other.pattern) {
            (Some(this), Some(that)) => this.specificity(that),
            (this, that) => this.is_some().cmp(&that.is_some()),
        };
        paths.then(self.methods.is_some().cmp(&other.methods.is_some()))
    }

    /// Whether nothing of it is at fault that decides what it covers.
    fn is_sound(&self) -> bool {
        self.pattern.is_some() && self.methods.as_ref().is_none_or(|methods| !methods.is_empty())
    }

    fn name(&self) -> String {
        match &self.methods {
            Some(methods) => {
                let names: Vec<_> = methods.iter().map(Method::as_str).collect();
                format!("{} {}", names.join(","), self.path)
            }
            None => self.path.clone(),
        }
    }

    /// Why it covers nothing, or which path was meant.
    fn why(&self, handlers: &[Handler<'_>]) -> Option<String> {
        let pattern = self.pattern.as_ref()?;
        let below = || handlers.iter().filter(|handler| pattern.covers(&handler.pattern));
        if let Some(Handler { spec, .. }) =
            below().find(|handler| handler.spec.optional && handler.pattern != *pattern)
            && self.methods.as_ref().is_none_or(|methods| methods.contains(&spec.method))
        {
            return Some(format!("`{}` is optional: it takes an entry with exactly this path", spec.path));
        }
        let answered: BTreeSet<_> = below().map(|handler| handler.spec.method.as_str()).collect();
        if !answered.is_empty() {
            let answered: Vec<_> = answered.into_iter().collect();
            return Some(format!("the handlers there answer {}", listed(&answered)));
        }
        did_you_mean(&self.path, handlers.iter().map(|handler| handler.spec.path))
    }
}

/// `GET /path`
pub(crate) fn route_name(spec: &RouteSpec) -> String {
    format!("{} {}", spec.method, spec.path)
}

/// The first few of many names.
pub(crate) fn some<S: AsRef<str>>(names: &[S]) -> String {
    const FEW: usize = 8;
    match names.split_at_checked(FEW) {
        Some((few, rest)) if !rest.is_empty() => {
            let few: Vec<_> = few.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            format!("{} and {} more", few.join(", "), rest.len())
        }
        _ => listed(names),
    }
}
