//! From a plan to chains that run.

use std::sync::Arc;

use flagstone_layers::kernel::{
    Generation, Instance, Next, Panic, PrepareContext, PrepareError, Prepared, Resources, chain,
};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    alias::Aliases,
    diagnostic::Diagnostic,
    host::Host,
    plan::{Plan, PlannedInstance, PlannedRoute},
    snapshot::{Alive, Chain, Running, Snapshot},
    state::{Carried, Draft},
};

/// What a new snapshot follows.
pub(crate) struct Before<'a> {
    /// The snapshot that runs; `None` at the start.
    pub(crate) snapshot: Option<&'a Snapshot>,
    /// Counts the snapshots in memory.
    pub(crate) alive: &'a Arc<watch::Sender<usize>>,
}

/// Prepares every instance of a plan, each once, and strings the chains. All instances are tried, so that all faults
/// are found at once. It has no effect outside: new state stays in the draft, and a snapshot does nothing by itself.
pub(crate) fn build(
    plan: &Plan,
    digest: String,
    host: &Host,
    draft: &mut Draft<'_>,
    before: &Before<'_>,
) -> Result<Snapshot, Vec<Diagnostic>> {
    let generation = before.snapshot.map_or(0, |snapshot| snapshot.generation.number()) + 1;
    let mut instances = Vec::with_capacity(plan.instances.len());
    let mut running = Vec::with_capacity(plan.instances.len());
    let mut faults = Vec::new();
    for planned in &plan.instances {
        match prepare(planned, &host.resources, draft) {
            Ok(instance) => {
                running.push(run(planned, &instance, draft, generation, before.snapshot));
                instances.push(instance);
            }
            Err(error) => faults.push(planned.prepare_failed(&error)),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let string = |route: &PlannedRoute, endpoint: &Next| {
        // Every step's place is that of an instance: all were prepared.
        let steps: Vec<Instance> =
            route.steps.iter().filter_map(|step| instances.get(step.instance).cloned()).collect();
        Chain { next: chain(&steps, endpoint.clone()), steps: steps.into() }
    };
    let chains = plan
        .routes
        .iter()
        .zip(&host.routes)
        .map(|(route, (_, endpoint))| route.as_ref().map(|route| string(route, endpoint)))
        .collect();
    Ok(Snapshot {
        generation: Generation::new(generation),
        digest,
        applied_at: Timestamp::now(),
        chains,
        fallback: string(&plan.fallback, &host.fallback),
        aliases: Aliases::new(plan.aliases.iter().map(|alias| (alias.from.clone(), alias.to.clone()))),
        instances: running,
        _alive: Alive::new(before.alive),
    })
}

fn prepare(
    planned: &PlannedInstance,
    resources: &Resources,
    draft: &mut Draft<'_>,
) -> Result<Instance, PrepareError> {
    let PlannedInstance { name, kind, settings, observe, .. } = planned;
    let stats = draft.begin(name, kind, settings);
    let mut context = PrepareContext::new(Arc::clone(name), kind, resources, draft);
    let prepared = catching(|| settings.prepare(&mut context))?;
    Ok(Instance { name: Arc::clone(name), prepared, observe: *observe, stats })
}

/// A layer that panics refuses the pipeline, and harms nothing else.
fn catching(prepare: impl FnOnce() -> Result<Prepared, PrepareError>) -> Result<Prepared, PrepareError> {
    Panic::catch(prepare).unwrap_or_else(|panic| {
        Err(PrepareError::new(None, format!("the layer panicked: {panic}"))
            .help("this is a fault of the layer, not of the file"))
    })
}

fn run(
    planned: &PlannedInstance,
    instance: &Instance,
    draft: &Draft<'_>,
    generation: u64,
    before: Option<&Snapshot>,
) -> Running {
    let carried = draft.carried(&planned.name, planned.kind);
    let mut running = Running {
        name: Arc::clone(&planned.name),
        kind: planned.kind,
        observe: planned.observe,
        settings: Arc::clone(&planned.settings),
        stats: Arc::clone(&instance.stats),
        since: generation,
        carried: carried == Carried::Kept,
        reset: if let Carried::Reset(reason) = carried { Some(reason) } else { None },
    };
    if let Some(before) = before.and_then(|snapshot| snapshot.instance(&running.name))
        && running.same(before)
    {
        running.since = before.since;
    }
    running
}
