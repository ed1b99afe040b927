//! What layers counted and remembered, from one generation to the next.

use std::{
    any::Any,
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use flagstone_layers::kernel::{Carry, Parsed, StateSource, Stats};

/// How long the state of a removed instance is kept, so that removing a layer and taking that back clears no counters.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

const KIND_CHANGED: &str = "the layer's kind changed";

/// The state of all instances of the running generation, and of those removed a short while ago.
#[derive(Clone, Default)]
pub(crate) struct States {
    instances: HashMap<Identity, Kept>,
    shared: HashMap<SharedKey, Shared>,
}

/// What instances of a kind share under a name.
type SharedKey = (&'static str, Box<str>);

#[derive(Clone)]
struct Shared {
    state: State,
    /// Since when no instance has asked for it.
    absent_since: Option<Instant>,
}

/// Whose state it is. A layer that changes its kind and keeps its name is another one.
type Identity = (Arc<str>, &'static str);

type State = Arc<dyn Any + Send + Sync>;

#[derive(Clone)]
struct Kept {
    settings: Arc<dyn Parsed>,
    stats: Arc<Stats>,
    states: HashMap<Box<str>, State>,
    /// Since when no generation has had the instance.
    absent_since: Option<Instant>,
}

/// The states of a generation that is being prepared. Nothing of it is seen by others until it is committed.
pub(crate) struct Draft<'a> {
    before: &'a States,
    instances: RefCell<HashMap<Identity, Drafted>>,
    shared: RefCell<HashMap<SharedKey, State>>,
}

struct Drafted {
    kept: Kept,
    carry: Carry,
    carried: bool,
}

/// What becomes of an instance's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// There was none, or none was asked for.
    Nothing,
    /// It goes on.
    Kept,
    /// It was given up, for this reason.
    Reset(&'static str),
}

// === impl States ===

impl States {
    /// Begins a new generation.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft { before: self, instances: RefCell::default(), shared: RefCell::default() }
    }

    /// Forgets what belongs to instances that have been gone for longer than [`GRACE`].
    pub(crate) fn prune(&mut self, now: Instant) {
        let in_grace =
            |absent: Option<Instant>| absent.is_none_or(|since| now.saturating_duration_since(since) < GRACE);
        self.instances.retain(|_, kept| in_grace(kept.absent_since));
        self.shared.retain(|_, shared| in_grace(shared.absent_since));
    }

    fn get(&self, name: &Arc<str>, kind: &'static str) -> Option<&Kept> {
        self.instances.get(&(Arc::clone(name), kind))
    }

    /// Whether an instance of this name, but of another kind, loses state.
    fn changes_kind(&self, name: &str, kind: &'static str) -> bool {
        self.instances.iter().any(|((other, other_kind), kept)| {
            **other == *name && *other_kind != kind && kept.absent_since.is_none() && !kept.states.is_empty()
        })
    }
}

// === impl Draft ===

impl Draft<'_> {
    /// An instance is about to be prepared. Answers with its figures, which go on wherever the instance does.
    pub(crate) fn begin(
        &mut self,
        name: &Arc<str>,
        kind: &'static str,
        settings: &Arc<dyn Parsed>,
    ) -> Arc<Stats> {
        let before = self.before.get(name, kind);
        let carry = before.map_or(Carry::Keep, |kept| settings.carry_from(&*kept.settings));
        let stats = before.map(|kept| Arc::clone(&kept.stats)).unwrap_or_default();
        let kept = Kept {
            settings: Arc::clone(settings),
            stats: Arc::clone(&stats),
            states: HashMap::new(),
            absent_since: None,
        };
        let drafted = Drafted { kept, carry, carried: false };
        self.instances.get_mut().insert((Arc::clone(name), kind), drafted);
        stats
    }

    /// What became of the state of an instance that has been prepared.
    pub(crate) fn carried(&self, name: &Arc<str>, kind: &'static str) -> Carried {
        let instances = self.instances.borrow();
        let Some(drafted) = instances.get(&(Arc::clone(name), kind)) else { return Carried::Nothing };
        if drafted.carried {
            return Carried::Kept;
        }
        match drafted.carry {
            Carry::Reset(reason)
                if self.before.get(name, kind).is_some_and(|kept| !kept.states.is_empty()) =>
            {
                Carried::Reset(reason)
            }
            _ if self.before.changes_kind(name, kind) => Carried::Reset(KIND_CHANGED),
            _ => Carried::Nothing,
        }
    }

    /// The states once this generation runs: its own, and those of instances removed a short while ago.
    pub(crate) fn commit(self, now: Instant) -> States {
        let mut instances: HashMap<Identity, Kept> = self
            .instances
            .into_inner()
            .into_iter()
            .map(|(identity, drafted)| (identity, drafted.kept))
            .collect();
        for (identity, kept) in &self.before.instances {
            instances.entry(identity.clone()).or_insert_with(|| {
                let absent_since = Some(kept.absent_since.unwrap_or(now));
                Kept { absent_since, ..kept.clone() }
            });
        }
        let present = |(key, state)| (key, Shared { state, absent_since: None });
        let mut shared: HashMap<SharedKey, Shared> =
            self.shared.into_inner().into_iter().map(present).collect();
        for (key, before) in &self.before.shared {
            shared.entry(key.clone()).or_insert_with(|| Shared {
                state: Arc::clone(&before.state),
                absent_since: Some(before.absent_since.unwrap_or(now)),
            });
        }
        let mut states = States { instances, shared };
        states.prune(now);
        states
    }
}

impl StateSource for Draft<'_> {
    fn get(&self, instance: &str, kind: &'static str, key: &str) -> Option<State> {
        let identity = (Arc::from(instance), kind);
        let mut instances = self.instances.borrow_mut();
        let drafted = instances.get_mut(&identity)?;
        if let Some(state) = drafted.kept.states.get(key) {
            return Some(Arc::clone(state));
        }
        if drafted.carry != Carry::Keep {
            return None;
        }
        let state = self.before.instances.get(&identity)?.states.get(key)?;
        drafted.carried = true;
        drafted.kept.states.insert(key.into(), Arc::clone(state));
        Some(Arc::clone(state))
    }

    fn put(&mut self, instance: &str, kind: &'static str, key: &str, state: State) {
        if let Some(drafted) = self.instances.get_mut().get_mut(&(Arc::from(instance), kind)) {
            drafted.kept.states.insert(key.into(), state);
        }
    }

    fn get_shared(&self, instance: &str, kind: &'static str, key: &str) -> Option<State> {
        let key: SharedKey = (kind, key.into());
        let mut shared = self.shared.borrow_mut();
        if let Some(state) = shared.get(&key) {
            return Some(Arc::clone(state));
        }
        let state = Arc::clone(&self.before.shared.get(&key)?.state);
        if let Some(drafted) = self.instances.borrow_mut().get_mut(&(Arc::from(instance), kind)) {
            drafted.carried = true;
        }
        shared.insert(key, Arc::clone(&state));
        Some(state)
    }

    fn put_shared(&mut self, kind: &'static str, key: &str, state: State) {
        self.shared.get_mut().insert((kind, key.into()), state);
    }
}

#[cfg(test)]
mod tests;
