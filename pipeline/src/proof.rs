//! The proof that a pipeline keeps its promises: every layer has what it needs where it stands, and every route the
//! access it states.
//!
//! The order of a chain does not depend on modes, since a mode may be switched at any time; what a layer gives and whom
//! it keeps out does: in observe mode that is nothing and nobody.

use std::collections::BTreeSet;

use flagstone_layers::kernel::{Fact, PrincipalSet, RouteSpec};

use crate::{
    diagnostic::{Diagnostic, Location},
    document::Faults,
    fields::listed,
    plan::{PlannedInstance, PlannedRoute, Step, route_name, some},
};

/// Proves order for all chains and access for all routes; `chains` are those to recommend. Each fault is said once, with all routes that have it.
pub(crate) fn prove(
    specs: &[RouteSpec],
    routes: &[Option<PlannedRoute>],
    fallback: &PlannedRoute,
    chains: &[PlannedRoute],
    instances: &[PlannedInstance],
    faults: &mut Faults,
) {
    let mut found = Vec::new();
    // Entries whose order is in order: their other routes run the same chain.
    let mut ordered: Vec<&Location> = Vec::new();
    let covered = specs.iter().zip(routes).filter_map(|(spec, route)| Some((spec, route.as_ref()?)));
    for (spec, route) in covered.filter(|(_, route)| !route.broken) {
        let chain = Chain::new(route, instances);
        let name = route_name(spec);
        if !ordered.contains(&&route.entry) {
            let failures = chain.order();
            if failures.is_empty() {
                ordered.push(&route.entry);
            }
            found.extend(failures.into_iter().map(|failure| (failure, name.clone())));
        }
        found.extend(chain.streams(spec).into_iter().map(|failure| (failure, name.clone())));
        found.extend(chain.access(spec, chains, instances).map(|failure| (failure, name.clone())));
    }
    if !fallback.broken {
        let chain = Chain::new(fallback, instances);
        found.extend(chain.order().into_iter().map(|failure| (failure, "[fallback]".to_owned())));
    }
    let mut merged: Vec<(Failure, Vec<String>)> = Vec::new();
    for (failure, route) in found {
        match merged.iter_mut().find(|(known, _)| known.key() == failure.key()) {
            Some((_, routes)) => routes.push(route),
            None => merged.push((failure, vec![route])),
        }
    }
    for (failure, routes) in merged {
        faults.push(failure.diagnostic(&routes));
    }
}

/// The code of a chain that lets in whom its route does not.
const ACCESS: &str = "access";

/// A promise that is not kept.
struct Failure {
    code: &'static str,
    location: Location,
    note: String,
    /// The other line it is about.
    other: Option<(Location, String)>,
    message: String,
    help: String,
}

/// A chain with its instances.
struct Chain<'p> {
    route: &'p PlannedRoute,
    steps: Vec<Placed<'p>>,
}

#[derive(Clone, Copy)]
struct Placed<'p> {
    step: &'p Step,
    instance: &'p PlannedInstance,
}

// === impl Failure ===

impl Failure {
    /// What makes two failures the same fault. A chain that several entries name fails them all alike.
    fn key(&self) -> (&'static str, Option<&Location>, &str, &str, Option<&Location>) {
        let location = (self.code != ACCESS).then_some(&self.location);
        (self.code, location, &self.message, &self.note, self.other.as_ref().map(|(other, _)| other))
    }

    fn diagnostic(self, routes: &[String]) -> Diagnostic {
        let on = if routes == ["[fallback]"] {
            "in `[fallback]`".to_owned()
        } else {
            format!("on {}", some(routes))
        };
        let mut diagnostic =
            Diagnostic::error(self.code, &self.location, format!("{}, {on}", self.message)).note(&self.note);
        if let Some((location, text)) = &self.other {
            diagnostic = diagnostic.related(location, text);
        }
        diagnostic.help(&self.help)
    }
}

// === impl Placed ===

impl Placed<'_> {
    /// What the file calls it.
    fn layer(&self) -> &str {
        &self.instance.layer
    }

    /// Whether it gives a fact, as the chain stands.
    fn gives(&self, fact: Fact) -> bool {
        !self.instance.observe && self.instance.order.gives.contains(&fact)
    }

    /// What puts it in observe mode, or else where it stands.
    fn mode(&self) -> &Location {
        self.instance.place(Some("mode"))
    }
}

// === impl Chain ===

impl<'p> Chain<'p> {
    fn new(route: &'p PlannedRoute, instances: &'p [PlannedInstance]) -> Self {
        let placed = |step: &'p Step| Some(Placed { step, instance: instances.get(step.instance)? });
        Self { route, steps: route.steps.iter().filter_map(placed).collect() }
    }

    /// What is wrong with the order.
    fn order(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (place, inner) in self.steps.iter().enumerate() {
            let outside = self.steps.get(..place).unwrap_or_default();
            failures.extend(self.needs(inner, outside));
            for outer in outside {
                failures.extend(misplaced(outer, inner));
            }
        }
        failures
    }

    /// Facts that a layer needs and nothing outside it gives.
    fn needs<'s>(
        &'s self,
        layer: &'s Placed<'p>,
        outside: &'s [Placed<'p>],
    ) -> impl Iterator<Item = Failure> + 's {
        let needed: BTreeSet<Fact> = layer.instance.order.needs.iter().copied().collect();
        needed.into_iter().filter(|fact| !outside.iter().any(|outer| outer.gives(*fact))).map(|fact| {
            let name = layer.layer();
            let giving = |placed: &&Placed<'p>| placed.instance.order.gives.contains(&fact);
            let observing = outside.iter().find(giving);
            let later = self.steps.iter().find(|placed| placed.step != layer.step && giving(placed));
            let (other, help) = match (observing, later) {
                (Some(outer), _) => (
                    Some((
                        outer.mode().clone(),
                        format!("`{}` only observes, so it gives nothing", outer.layer()),
                    )),
                    format!("set `mode = \"enforce\"` for `{}`", outer.layer()),
                ),
                (None, Some(later)) => (
                    Some((later.step.location.clone(), format!("`{}` gives it, further in", later.layer()))),
                    format!("move `{name}` after `{}`", later.layer()),
                ),
                (None, None) => (
                    Some((self.route.chain_named.clone(), format!("chain `{}`", self.route.chain))),
                    format!("put a layer that gives {} before `{name}`", described(fact)),
                ),
            };
            Failure {
                code: "missing-fact",
                location: layer.step.location.clone(),
                note: format!("needs {}", described(fact)),
                other,
                message: format!("`{name}` needs {}, which nothing before it gives", described(fact)),
                help,
            }
        })
    }

    /// What would break a stream.
    fn streams(&self, spec: &RouteSpec) -> Vec<Failure> {
        if !spec.streaming {
            return Vec::new();
        }
        let breaking =
            self.steps.iter().filter_map(|placed| Some((placed, placed.instance.order.breaks_streams?)));
        breaking
            .map(|(placed, why)| Failure {
                code: "breaks-stream",
                location: self.route.chain_named.clone(),
                note: "this chain runs for a stream".to_owned(),
                other: Some((placed.step.location.clone(), format!("`{}` stands here", placed.layer()))),
                message: format!("`{}` would break a stream: {why}", placed.layer()),
                help: format!(
                    "use a chain without it: `[\"@{}\", \"-{}\"]`",
                    self.route.chain,
                    placed.layer()
                ),
            })
            .collect()
    }

    /// The principals that may come through.
    fn admits(&self) -> PrincipalSet {
        let sets = self.steps.iter().filter(|placed| !placed.instance.observe);
        sets.filter_map(|placed| placed.instance.order.admits)
            .fold(PrincipalSet::ALL, PrincipalSet::intersection)
    }

    fn access(
        &self,
        spec: &RouteSpec,
        chains: &[PlannedRoute],
        instances: &[PlannedInstance],
    ) -> Option<Failure> {
        let admitted = self.admits();
        let wanted = spec.access.principals();
        if admitted.is_subset(wanted) && !admitted.is_empty() {
            return None;
        }
        let named = &self.route.chain;
        if admitted.is_empty() {
            let mut keepers = self.steps.iter().filter(|placed| placed.instance.order.admits.is_some());
            let first = keepers.next()?;
            let last = keepers.next_back().unwrap_or(first);
            return Some(Failure {
                code: "nobody-passes",
                location: last.step.location.clone(),
                note: "keeps the last ones out".to_owned(),
                other: Some((
                    first.step.location.clone(),
                    format!("`{}` lets others through", first.layer()),
                )),
                message: format!("`{}` and `{}` together let nobody through", first.layer(), last.layer()),
                help: "use layers that admit the same principals".to_owned(),
            });
        }
        let strangers: Vec<_> = admitted
            .iter()
            .filter(|kind| !wanted.contains(*kind))
            .map(flagstone_layers::kernel::PrincipalKind::as_str)
            .collect();
        let observing = self.steps.iter().find(|placed| {
            placed.instance.observe
                && placed.instance.order.admits.is_some_and(|set| set != PrincipalSet::ALL)
        });
        let (other, help) = match observing {
            Some(placed) => (
                Some((
                    placed.mode().clone(),
                    format!("`{}` only observes, so it keeps nobody out", placed.layer()),
                )),
                format!("set `mode = \"enforce\"` for `{}`", placed.layer()),
            ),
            None => (self.keeper(), help_for(spec, chains, instances)),
        };
        Some(Failure {
            code: ACCESS,
            location: self.route.chain_named.clone(),
            note: format!("lets {} through", listed(&strangers)),
            other,
            message: format!("chain `{named}` does not give the access `{}`", spec.access),
            help,
        })
    }

    /// The innermost layer that keeps anybody out; where there is none, where the chain begins.
    fn keeper(&self) -> Option<(Location, String)> {
        let keeper = self.steps.iter().rev().find(|placed| placed.instance.order.admits.is_some());
        let text = match keeper {
            Some(keeper) => format!("`{}` does not keep them out", keeper.layer()),
            None => "nothing from here on asks who calls".to_owned(),
        };
        keeper.or(self.steps.first()).map(|placed| (placed.step.location.clone(), text))
    }
}

/// What is wrong with one layer standing outside another.
fn misplaced(outer: &Placed<'_>, inner: &Placed<'_>) -> Vec<Failure> {
    let (first, second) = (outer.layer(), inner.layer());
    let failure = |code, message: String| Failure {
        code,
        location: inner.step.location.clone(),
        note: "stands further in".to_owned(),
        other: Some((outer.step.location.clone(), format!("`{first}` stands here"))),
        message,
        help: format!("move `{second}` before `{first}`"),
    };
    let (outer_order, inner_order) = (&outer.instance.order, &inner.instance.order);
    let mut failures = Vec::new();
    if inner_order.sees_refusals && outer_order.refuses {
        failures.push(failure(
            "misses-refusals",
            format!("`{second}` must see refusals, but `{first}` refuses outside of it"),
        ));
    }
    if inner_order.before_authentication && outer_order.gives.contains(&Fact::Principal) {
        failures.push(failure(
            "after-authentication",
            format!("`{second}` must stand before `{first}`, because authenticating costs more"),
        ));
    }
    if outer_order.inside_of.contains(&inner.instance.kind) {
        failures.push(failure(
            "wrong-order",
            format!("`{first}` must stand inside `{second}` (a `{}`)", inner.instance.kind),
        ));
    }
    if inner_order.once && outer.instance.kind == inner.instance.kind {
        failures.push(Failure {
            help: "remove one of them".to_owned(),
            ..failure(
                "more-than-once",
                format!("`{first}` and `{second}` are both a `{}`: one is the most", inner.instance.kind),
            )
        });
    }
    failures
}

fn described(fact: Fact) -> &'static str {
    match fact {
        Fact::RequestId => "a request id",
        Fact::ClientIp => "the client's address",
        Fact::Principal => "a principal",
        Fact::BoundedBody => "a bounded body",
    }
}

/// A chain that gives the access, or else what is missing.
fn help_for(spec: &RouteSpec, chains: &[PlannedRoute], instances: &[PlannedInstance]) -> String {
    let wanted = spec.access.principals();
    let fitting = chains.iter().filter(|chain| !chain.broken).find(|route| {
        let chain = Chain::new(route, instances);
        let admitted = chain.admits();
        let streams = chain.streams(spec).is_empty();
        streams && admitted.is_subset(wanted) && !admitted.is_empty()
    });
    match fitting {
        Some(route) => format!("chain `{}` gives it", route.chain),
        None => {
            let kinds: Vec<_> = wanted.iter().map(flagstone_layers::kernel::PrincipalKind::as_str).collect();
            format!("add layers that let only {} through", listed(&kinds))
        }
    }
}
