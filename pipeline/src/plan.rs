//! A pipeline as it will be built: every route with its chain, every layer with its settings.
//!
//! What the file means, where it could be doubted:
//!
//! - An entry covers a handler route if every path of the route is one of the entry's; `/x/{*rest}` covers `/x` too. Of
//!   several, the most specific wins: segment by segment, text before a parameter before a catch-all; then one with
//!   `methods` before one without. Two that are alike are a fault.
//! - An optional route takes an entry with exactly its path: a catch-all never opens it by accident.
//! - `override.<layer>` replaces single settings, and makes an instance with its own state, `layer@/path`.
//! - Of several variables the first one that is set counts, also where it is set to nothing.
//! - In observe mode a layer gives nothing and keeps nobody out; where it may stand does not change with its mode.
//! - An alias is another name of its target's route, so it has the target's access.

mod aliases;
mod cases;
mod chains;
mod layers;
mod lower;
mod reach;
mod routes;
mod settings;

use std::{fmt, path::PathBuf, sync::Arc};

use flagstone_layers::kernel::{Order, Parsed, PrepareError, RouteSpec};
use http::Method;

use crate::{
    diagnostic::{Diagnostic, Location, Report},
    secret::Secrets,
};

pub(crate) use self::lower::plan_file;
pub use self::lower::{plan, plan_bytes};
pub(crate) use self::{
    reach::Reached,
    routes::{route_name, some},
};

/// What reading a pipeline file came to.
#[derive(Debug)]
pub struct Planned {
    /// The plan; `None` where the report has errors.
    pub plan: Option<Plan>,
    /// What was found.
    pub report: Report,
    /// Every file it was read from, to be watched: the pipeline file, what it includes, and files that give values.
    /// Files that are missing are among them.
    pub sources: Vec<PathBuf>,
    /// SHA-256, in hexadecimal, over everything that was read, values from the environment included.
    pub digest: String,
}

/// A pipeline that is proven, and not yet prepared.
#[derive(Debug)]
pub struct Plan {
    /// Every instance that a chain uses, each once.
    pub instances: Vec<PlannedInstance>,
    /// What covers each handler route, by route id; `None` is an optional route that is left out.
    pub routes: Vec<Option<PlannedRoute>>,
    /// What runs where no handler route answers.
    pub fallback: PlannedRoute,
    /// Paths that stand for others.
    pub aliases: Vec<PlannedAlias>,
    /// Requests with the answers they should have.
    pub tests: Vec<PlannedTest>,
    /// The handler routes it was planned for.
    pub specs: Vec<RouteSpec>,
}

/// One layer with its settings. Its state is known by its name.
pub struct PlannedInstance {
    /// Its name. A layer that a route overrides is `name@/path`, or `name@GET,POST /path` where the route has methods.
    pub name: Arc<str>,
    /// The layer's name in the file; the name, unless it is derived.
    pub layer: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// Its settings.
    pub settings: Arc<dyn Parsed>,
    /// What it needs and gives.
    pub order: Order,
    /// Whether it only counts and logs what it would have refused.
    pub observe: bool,
    /// Where the layer is declared.
    pub declared: Location,
    /// Where a route overrides it.
    pub derived: Option<Location>,
    pub(crate) places: Vec<(String, Location)>,
    pub(crate) secrets: Secrets,
}

/// A chain for one route.
#[derive(Clone, Debug)]
pub struct PlannedRoute {
    /// The entry's `path`, or `[fallback]`.
    pub entry: Location,
    /// The name of its chain.
    pub chain: Arc<str>,
    /// Where the entry names its chain.
    pub chain_named: Location,
    /// Its layers, the first outermost.
    pub steps: Vec<Step>,
    /// Whether something in it is at fault, so that nothing is proven of it.
    pub(crate) broken: bool,
}

/// One place of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The place of its instance in [`Plan::instances`].
    pub instance: usize,
    /// The chain that names it, which may be one that is spliced in.
    pub chain: Arc<str>,
    /// Where that chain names it.
    pub location: Location,
}

/// A path that stands for another.
#[derive(Clone, Debug)]
pub struct PlannedAlias {
    /// The path, with parameters as in a route's.
    pub from: String,
    /// What it stands for, with the same parameters.
    pub to: String,
    /// Where it is declared.
    pub location: Location,
}

/// A request with the answer it should have.
#[derive(Clone, Debug)]
pub struct PlannedTest {
    /// Its name.
    pub name: String,
    /// The request's method.
    pub method: Method,
    /// The request's path and query.
    pub path: String,
    /// The request's headers.
    pub headers: Vec<(String, String)>,
    /// The handler route it reaches; `None` is the fallback.
    pub route: Option<usize>,
    /// The status it should have.
    pub status: Option<u16>,
    /// The layer that should answer.
    pub stopped_by: Option<String>,
    /// The headers the answer should have.
    pub expected_headers: Vec<(String, String)>,
    /// Where it is declared.
    pub location: Location,
}

// === impl Plan ===

impl Plan {
    /// Leaves out the instances that no chain uses.
    fn keep_what_runs(&mut self) {
        let chains = self.routes.iter().flatten().chain([&self.fallback]);
        let used: std::collections::BTreeSet<usize> =
            chains.flat_map(|route| &route.steps).map(|step| step.instance).collect();
        let places: std::collections::BTreeMap<_, _> = used.iter().copied().zip(0..).collect();
        let mut place = 0..;
        self.instances.retain(|_| place.next().is_some_and(|place| used.contains(&place)));
        let chains = self.routes.iter_mut().flatten().chain([&mut self.fallback]);
        for step in chains.flat_map(|route| &mut route.steps) {
            step.instance = places.get(&step.instance).copied().unwrap_or_default();
        }
    }

    /// What a request reaches, aliases apart.
    pub(crate) fn reach(&self, method: &Method, path: &str) -> Reached {
        reach::RouteTable::new(&self.specs).reach(method, path)
    }

    /// The instances of a chain, the first outermost.
    pub fn chain(&self, route: &PlannedRoute) -> impl Iterator<Item = &PlannedInstance> {
        route.steps.iter().filter_map(|step| self.instances.get(step.instance))
    }
}

// === impl PlannedInstance ===

impl PlannedInstance {
    /// What stopped it from being prepared, at the setting it is about. Values that are secret are not printed.
    pub fn prepare_failed(&self, error: &PrepareError) -> Diagnostic {
        let message = format!("`{}` cannot be prepared: {}", self.name, self.secrets.redact(&error.message));
        let help = error.help.as_deref().map(|help| self.secrets.redact(help));
        Diagnostic::error("prepare-failed", self.place(error.key), message).help_if(help)
    }

    /// Where a setting is given, or else where the layer is declared.
    pub fn place(&self, key: Option<&str>) -> &Location {
        let given = key.and_then(|key| self.places.iter().find(|(known, _)| known == key));
        given.map_or_else(|| self.derived.as_ref().unwrap_or(&self.declared), |(_, location)| location)
    }
}

impl fmt::Debug for PlannedInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedInstance")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("observe", &self.observe)
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}
