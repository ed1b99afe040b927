//! A pipeline as it runs: immutable, made whole, swapped whole.

use std::sync::Arc;

use flagstone_layers::kernel::{Exchange, Generation, Instance, Matched, Next, Parsed, Stats};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::alias::Aliases;

/// One generation of a pipeline, ready to run. Load it for each request and let it go once the chain is called:
/// whoever keeps it keeps an old pipeline.
pub struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    pub(crate) digest: String,
    pub(crate) applied_at: Timestamp,
    pub(crate) instances: Vec<Running>,
    pub(crate) chains: Box<[Option<Chain>]>,
    pub(crate) fallback: Chain,
    pub(crate) aliases: Aliases,
    pub(crate) _alive: Alive,
}

/// A chain of layers around an endpoint.
pub(crate) struct Chain {
    pub(crate) next: Next,
    /// What it is made of, the outermost first.
    pub(crate) steps: Box<[Instance]>,
}

/// A layer's instance in a snapshot.
pub(crate) struct Running {
    pub(crate) name: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) observe: bool,
    pub(crate) settings: Arc<dyn Parsed>,
    pub(crate) stats: Arc<Stats>,
    /// The generation since which it is as it is.
    pub(crate) since: u64,
    /// Whether its state comes from the generation before.
    pub(crate) carried: bool,
    /// Why its state was given up, if it was.
    pub(crate) reset: Option<&'static str>,
}

/// Counts a snapshot for as long as it is in memory.
pub(crate) struct Alive(Arc<watch::Sender<usize>>);

// === impl Snapshot ===

impl Snapshot {
    /// Its generation, for the exchanges that run on it.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The SHA-256 of what it was made from, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The chain of a route of the host; `None` for an optional route that the pipeline leaves out.
    pub fn chain(&self, route: usize) -> Option<&Next> {
        Some(&self.chains.get(route)?.as_ref()?.next)
    }

    /// The chain of everything no route answers: unknown paths and wrong methods.
    pub fn fallback(&self) -> &Next {
        &self.fallback.next
    }

    /// The path an alias stands for, with the parameters put in place: `/admin/users/7` becomes
    /// `/api/management/users/7`. To be asked only for paths that no route knows.
    pub fn resolve_alias(&self, path: &str) -> Option<String> {
        self.aliases.resolve(path)
    }

    pub(crate) fn instance(&self, name: &str) -> Option<&Running> {
        self.instances.iter().find(|instance| *instance.name == *name)
    }

    /// The names of a route's layers.
    pub(crate) fn layers(&self, route: usize) -> Option<Vec<&str>> {
        Some(self.chains.get(route)?.as_ref()?.layers())
    }

    /// Whether a stream that began on an older generation would be let in by this one's chain of its route.
    pub(crate) fn readmits(&self, stream: &Exchange) -> bool {
        let chain = match stream.matched() {
            Matched::Route { id, .. } => self.chains.get(*id).and_then(Option::as_ref),
            Matched::MethodNotAllowed { .. } | Matched::NotFound => Some(&self.fallback),
        };
        chain.is_some_and(|chain| chain.steps.iter().all(|step| step.readmits(stream)))
    }
}

// === impl Chain ===

impl Chain {
    /// The names of its layers.
    pub(crate) fn layers(&self) -> Vec<&str> {
        self.steps.iter().map(|step| &*step.name).collect()
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation.number())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

// === impl Running ===

impl Running {
    /// Whether it is what it was. Its state may go on either way.
    pub(crate) fn same(&self, before: &Self) -> bool {
        self.kind == before.kind && self.observe == before.observe && self.settings.same(&*before.settings)
    }
}

// === impl Alive ===

impl Alive {
    pub(crate) fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
