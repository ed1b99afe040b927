//! What runs for a request, and why.

use std::fmt;

use flagstone_layers::kernel::{Access, Fact};
use http::Method;
use serde::Serialize;

use crate::{
    alias::Aliases,
    plan::{Plan, PlannedInstance, PlannedRoute, Reached, Step, route_name},
};

/// What runs for a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The handler route, as `GET /path`; `None` where no handler answers.
    pub route: Option<String>,
    /// The handler route's name.
    pub name: Option<&'static str>,
    /// The access it states.
    pub access: Option<Access>,
    /// Why no handler answers: `unknown path`, `wrong method` or `left out by the pipeline`.
    pub unanswered: Option<&'static str>,
    /// The path that an alias stands for.
    pub alias_of: Option<String>,
    /// Where the entry is that covers it, or `[fallback]`, as `file:line`.
    pub entry: String,
    /// The chain that runs.
    pub chain: String,
    /// Its layers, the first outermost.
    pub layers: Vec<ExplainedLayer>,
}

/// One layer of a chain.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedLayer {
    /// The instance's name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Where the chain names it, as `file:line`.
    pub named: String,
    /// The chain that names it, which may be one that is spliced in.
    pub chain: String,
    /// Where it is declared, as `file:line`.
    pub declared: String,
    /// Where the route overrides it, as `file:line`.
    pub overridden: Option<String>,
    /// Whether it may answer instead of the handler.
    pub refuses: bool,
    /// Whether it only counts and logs what it would have refused.
    pub observe: bool,
    /// What it needs to know.
    pub needs: Vec<&'static str>,
    /// What those inside it know by it. In observe mode, nothing.
    pub gives: Vec<&'static str>,
    /// The principals it lets through, where it does not let everybody through.
    pub admits: Option<Vec<&'static str>>,
    /// The number, from 1, of the group of neighbouring hooks that run in one loop; `None` for a layer that wraps all
    /// that is inside, and where [`Explanation::fuse`] was not called.
    pub group: Option<usize>,
}

/// What runs for a request of this method and path. A query is ignored.
pub fn explain(plan: &Plan, method: &Method, path: &str) -> Explanation {
    let path = path.split('?').next().unwrap_or_default();
    let aliases = Aliases::new(plan.aliases.iter().map(|alias| (alias.from.clone(), alias.to.clone())));
    let alias_of = aliases.resolve(path);
    let reached = plan.reach(method, alias_of.as_deref().unwrap_or(path));
    let (spec, route, unanswered) = match reached {
        Reached::Route(id) => {
            let spec = plan.specs.get(id);
            match plan.routes.get(id).and_then(Option::as_ref) {
                Some(route) => (spec, route, None),
                None => (spec, &plan.fallback, Some("left out by the pipeline")),
            }
        }
        Reached::WrongMethod => (None, &plan.fallback, Some("wrong method")),
        Reached::Nothing => (None, &plan.fallback, Some("unknown path")),
    };
    Explanation {
        route: spec.map(route_name),
        name: spec.map(|spec| spec.name),
        access: spec.map(|spec| spec.access),
        unanswered,
        alias_of,
        entry: route.entry.to_string(),
        chain: route.chain.to_string(),
        layers: layers(plan, route),
    }
}

fn layers(plan: &Plan, route: &PlannedRoute) -> Vec<ExplainedLayer> {
    route.steps.iter().filter_map(|step| Some(explained(step, plan.instances.get(step.instance)?))).collect()
}

fn explained(step: &Step, instance: &PlannedInstance) -> ExplainedLayer {
    let order = &instance.order;
    let admits = order.admits.filter(|_| !instance.observe);
    ExplainedLayer {
        name: instance.name.to_string(),
        kind: instance.kind,
        named: step.location.to_string(),
        chain: step.chain.to_string(),
        declared: instance.declared.to_string(),
        overridden: instance.derived.as_ref().map(ToString::to_string),
        refuses: order.refuses,
        observe: instance.observe,
        needs: order.needs.iter().copied().map(fact).collect(),
        gives: match instance.observe {
            true => Vec::new(),
            false => order.gives.iter().copied().map(fact).collect(),
        },
        admits: admits.map(|set| set.iter().map(flagstone_layers::kernel::PrincipalKind::as_str).collect()),
        group: None,
    }
}

fn fact(fact: Fact) -> &'static str {
    match fact {
        Fact::RequestId => "RequestId",
        Fact::ClientIp => "ClientIp",
        Fact::Principal => "Principal",
        Fact::BoundedBody => "BoundedBody",
    }
}

// === impl Explanation ===

impl Explanation {
    /// Numbers the groups of neighbouring hooks. `is_hook` tells of an instance, by its name, whether it is one, which
    /// is known once it is prepared.
    #[must_use]
    pub fn fuse(mut self, is_hook: impl Fn(&str) -> bool) -> Self {
        let mut group = 0;
        let mut open = false;
        for layer in &mut self.layers {
            let hook = is_hook(&layer.name);
            if hook && !open {
                group += 1;
            }
            open = hook;
            layer.group = hook.then_some(group);
        }
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.route, self.access, self.unanswered) {
            (Some(route), Some(access), None) => writeln!(f, "{route}  needs {access}")?,
            (Some(route), _, Some(why)) => writeln!(f, "{route}  {why}: the fallback answers")?,
            (_, _, why) => writeln!(f, "no handler: {}; the fallback answers", why.unwrap_or_default())?,
        }
        if let Some(alias_of) = &self.alias_of {
            writeln!(f, "  the path is an alias of {alias_of}")?;
        }
        writeln!(f, "  chain {}, by {}", self.chain, self.entry)?;
        let longest = |text: fn(&ExplainedLayer) -> usize| self.layers.iter().map(text).max().unwrap_or(0);
        let name = longest(|layer| layer.name.chars().count());
        let kind = longest(|layer| layer.kind.chars().count());
        let named = longest(|layer| layer.named.chars().count());
        for (place, layer) in self.layers.iter().enumerate() {
            let group = layer.group.map(|group| format!(" [{group}]")).unwrap_or_default();
            let line = format!(
                "{:>4}. {:name$}  {:kind$}  {:named$}{group}  {}",
                place + 1,
                layer.name,
                layer.kind,
                layer.named,
                layer.remarks()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

// === impl ExplainedLayer ===

impl ExplainedLayer {
    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        let mut list = |what: &str, names: &[&str]| {
            if !names.is_empty() {
                remarks.push(format!("{what} {}", names.join(", ")));
            }
        };
        list("needs", &self.needs);
        list("gives", &self.gives);
        list("admits", self.admits.as_deref().unwrap_or_default());
        if self.refuses {
            remarks.push(if self.observe { "observes only" } else { "may refuse" }.to_owned());
        }
        if let Some(overridden) = &self.overridden {
            remarks.push(format!("overridden at {overridden}"));
        }
        remarks.join("; ")
    }
}
