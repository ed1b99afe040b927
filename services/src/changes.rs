//! The one way a change goes: one transaction with its audit row and its change-log rows, then the snapshots, then
//! the streams.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::following::ArrivalObserver;
use crate::hub::{EndReason, Event, EventKind, StreamCounters};
use crate::keys::{KeyGrant, KeyTable};
use crate::missed::Missed;
use crate::projects::{Environment, Project};
use crate::snapshot::{EnvironmentHandle, Loader, Patch, Snapshot, Snapshots};
use crate::store::{self, Announcement, Db, StoreError, Transaction};
use crate::token::TokenHash;

/// Longest wait for the changes before this one.
const TURN: Duration = Duration::from_secs(10);

/// Makes changes, one after the other, so that snapshots are swapped in the order of their revisions.
#[derive(Clone)]
pub(crate) struct Changes(Arc<Shared>);

struct Shared {
    db: Db,
    clock: Clock,
    snapshots: Arc<Snapshots>,
    keys: Arc<KeyTable>,
    counters: Arc<StreamCounters>,
    arrivals: Arc<dyn ArrivalObserver>,
    turn: Mutex<()>,
    /// Set where it is not known whether a commit happened: memory may be behind the database.
    stale: AtomicBool,
    /// [`Db::reopened`] when memory was last brought to the database's state.
    reopened: AtomicU64,
}

/// A change on its way: what it does to the database and, once that is durable, to memory.
pub(crate) struct Change {
    pub(crate) transaction: Transaction,
    pub(crate) actor: Actor,
    pub(crate) now: Timestamp,
    shared: Arc<Shared>,
    effects: Vec<Effect>,
    /// The environments that this change made or patched, as they will be.
    pending: HashMap<Uuid, (Arc<EnvironmentHandle>, Arc<Snapshot>)>,
}

/// What follows a commit. Nothing of it can fail.
enum Effect {
    Swap(Arc<EnvironmentHandle>, Arc<Snapshot>),
    Publish(Arc<EnvironmentHandle>, Arc<Event>),
    AddEnvironment(Arc<EnvironmentHandle>),
    RemoveEnvironment(Arc<EnvironmentHandle>),
    AddKey(TokenHash, Arc<KeyGrant>),
    RevokeKey(Arc<KeyGrant>),
}

/// An environment inside a change.
pub(crate) struct ChangedEnvironment {
    pub(crate) row: Environment,
    /// As it is with what the change did so far.
    pub(crate) snapshot: Arc<Snapshot>,
    handle: Arc<EnvironmentHandle>,
    /// What other instances did that streams were not told yet.
    missed: Vec<Arc<Event>>,
}

/// The work of one change.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send + 'a>>;

impl Changes {
    pub(crate) fn new(
        db: Db,
        clock: Clock,
        snapshots: Arc<Snapshots>,
        keys: Arc<KeyTable>,
        counters: Arc<StreamCounters>,
        arrivals: Arc<dyn ArrivalObserver>,
    ) -> Self {
        let (turn, stale, reopened) = (Mutex::default(), AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Shared { db, clock, snapshots, keys, counters, arrivals, turn, stale, reopened }))
    }

    /// Runs `work` in a transaction of its own, commits, and brings memory and streams up to date. It is a task of
    /// its own: a caller that goes away stops neither half.
    ///
    /// # Errors
    /// What `work` answers, or that the database did not take it; then nothing was changed, unless a commit ran
    /// into its deadline.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        actor: &Actor,
        work: impl for<'a> FnOnce(&'a mut Change) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (changes, actor) = (self.clone(), actor.clone());
        let task = tokio::spawn(async move {
            let shared = &changes.0;
            let _turn = tokio::time::timeout(TURN, shared.turn.lock())
                .await
                .map_err(|_| StoreError::Unavailable("changes before this one take too long".to_owned()))?;
            changes.catch_up().await?;
            let transaction = shared.db.begin().await?;
            let now = shared.clock.now();
            let (effects, pending) = (Vec::new(), HashMap::new());
            let mut change = Change { transaction, actor, now, shared: shared.clone(), effects, pending };
            let outcome = work(&mut change).await?;
            change.transaction.announce(Announcement::Change).await?;
            // Until memory is where the database is, whatever happens in between, a panic included.
            shared.stale.store(true, Ordering::Relaxed);
            change.transaction.commit().await?;
            for effect in change.effects {
                shared.apply(effect, now);
            }
            shared.stale.store(false, Ordering::Relaxed);
            Ok(outcome)
        });
        task.await
            .unwrap_or_else(|error| Err(ServiceError::Internal(format!("a change was cut short: {error}"))))
    }

    /// Waits for the running change and keeps others from starting as long as the guard lives.
    pub(crate) async fn pause(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.turn.lock().await
    }

    /// Reads everything again where memory may not be at the database's state.
    pub(crate) async fn repair(&self) -> Result<(), ServiceError> {
        let _turn = self.pause().await;
        self.catch_up().await
    }

    /// Brings memory to where other instances brought the database.
    pub(crate) async fn follow(&self) -> Result<(), ServiceError> {
        let _turn = self.pause().await;
        self.load().await?;
        self.0.stale.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// As [`Changes::repair`], in a turn that is the caller's.
    async fn catch_up(&self) -> Result<(), ServiceError> {
        let shared = &self.0;
        let is_behind = || {
            shared.stale.load(Ordering::Relaxed)
                || shared.db.reopened() != shared.reopened.load(Ordering::Relaxed)
        };
        if is_behind() {
            self.load().await?;
            shared.stale.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Brings memory to the state of the database: environments, snapshots and SDK keys.
    pub(crate) async fn load(&self) -> Result<(), ServiceError> {
        let shared = &self.0;
        let now = shared.clock.now();
        let mut reader = shared.db.read().await?;
        // An older copy may have been put in place and have come to the same revision with other changes.
        let reopened = shared.db.reopened();
        let other_file = reopened != shared.reopened.load(Ordering::Relaxed);
        let mut gone = shared.snapshots.all();
        let (mut effects, mut newest) = (Vec::new(), None);
        let mut loader: Option<Loader> = None;
        for (project, row) in store::environments::with_projects(&mut reader).await? {
            gone.retain(|handle| handle.id != row.id);
            let known = shared.snapshots.by_id(row.id);
            let is_current = |handle: &Arc<EnvironmentHandle>| handle.snapshot.load().is_current(&row);
            if !other_file && known.as_ref().is_some_and(is_current) {
                continue;
            }
            let seen = known.as_ref().filter(|_| !other_file).map(|handle| handle.snapshot.load_full());
            newest = newest.max(seen.is_some().then_some(row.changed_at));
            let missed = Missed::read(&mut reader, &row, seen).await?;
            if let Some(handle) = &known
                && let Some(snapshot) = missed.snapshot(&mut reader, &row).await?
            {
                effects.extend(Effect::follow(handle, snapshot, missed.events(&row, now)));
                continue;
            }
            // A project's environments come one after the other; it is let go of before the next is read.
            let mut of_project = match loader.take().filter(|loader| loader.is_of(row.project_id)) {
                Some(loader) => loader,
                None => Loader::of_project(&mut reader, row.project_id).await?,
            };
            let snapshot = of_project.environment(&mut reader, &row).await?;
            loader = Some(of_project);
            if let Some(handle) = known {
                effects.extend(Effect::follow(&handle, Arc::new(snapshot), missed.events(&row, now)));
            } else {
                let handle = EnvironmentHandle::new(&row, &project, snapshot, &shared.counters);
                effects.push(Effect::AddEnvironment(Arc::new(handle)));
            }
        }
        effects.extend(gone.into_iter().map(Effect::RemoveEnvironment));
        let keys = store::keys::valid(&mut reader, now).await?;
        for effect in effects {
            shared.apply(effect, now);
        }
        if let Some(made_at) = newest {
            let after = shared.clock.now().duration_since(made_at);
            // One of a clock that is ahead arrived at once.
            shared.arrivals.arrived(after.try_into().unwrap_or_default());
        }
        let mut vanished = shared.keys.all();
        for (hash, key) in keys {
            vanished.retain(|grant| grant.id != key.id);
            if shared.keys.by_id(key.id).is_none()
                && let Some(handle) = shared.snapshots.by_id(key.environment_id)
            {
                shared.apply(Effect::AddKey(hash, Arc::new(KeyGrant::new(&key, handle))), now);
            }
        }
        for grant in vanished {
            shared.apply(Effect::RevokeKey(grant), now);
        }
        shared.reopened.store(reopened, Ordering::Relaxed);
        Ok(())
    }
}

impl Effect {
    /// What brings an environment to where other instances brought it.
    fn follow(
        handle: &Arc<EnvironmentHandle>,
        snapshot: Arc<Snapshot>,
        events: Vec<Arc<Event>>,
    ) -> impl Iterator<Item = Self> {
        let events = events.into_iter().map(|event| Self::Publish(handle.clone(), event));
        std::iter::once(Self::Swap(handle.clone(), snapshot)).chain(events)
    }
}

impl Shared {
    fn apply(&self, effect: Effect, now: Timestamp) {
        match effect {
            Effect::Swap(handle, snapshot) => handle.snapshot.store(snapshot),
            Effect::Publish(handle, event) => handle.channel.publish(&event, now),
            Effect::AddEnvironment(handle) => self.snapshots.add(&handle),
            Effect::RemoveEnvironment(handle) => {
                self.snapshots.remove(&handle);
                self.keys.remove_environment(handle.id);
                handle.channel.end(EndReason::EnvironmentDeleted);
            }
            Effect::AddKey(hash, grant) => self.keys.add(hash, &grant),
            Effect::RevokeKey(grant) => self.keys.revoke(&grant),
        }
    }
}

impl Change {
    /// Writes the audit row.
    pub(crate) async fn record(&mut self, entry: Entry<'_>) -> Result<(), StoreError> {
        audit::record(&mut self.transaction, self.now, &self.actor, entry).await
    }

    /// The project of this key.
    pub(crate) async fn project(&mut self, key: &str) -> Result<Project, ServiceError> {
        store::projects::by_key(&mut self.transaction, key).await?.ok_or(ServiceError::NotFound("project"))
    }

    /// The environments of a project in their order, each with its state as the database has it.
    pub(crate) async fn environments(
        &mut self,
        project: &Project,
    ) -> Result<Vec<ChangedEnvironment>, ServiceError> {
        let rows = store::environments::of_project(&mut self.transaction, project.id).await?;
        let mut environments = Vec::with_capacity(rows.len());
        for row in rows {
            let committed = || {
                let handle = self.shared.snapshots.by_id(row.id)?;
                let snapshot = handle.snapshot.load_full();
                Some((handle, snapshot))
            };
            let known = self.pending.get(&row.id).cloned().or_else(committed);
            environments.push(match known {
                Some((handle, snapshot)) if snapshot.is_current(&row) => {
                    ChangedEnvironment { row, snapshot, handle, missed: Vec::new() }
                }
                // Changed or made by another process.
                Some((handle, seen)) => {
                    let missed = Missed::read(&mut self.transaction, &row, Some(seen)).await?;
                    let snapshot = match missed.snapshot(&mut self.transaction, &row).await? {
                        Some(snapshot) => snapshot,
                        None => Arc::new(Snapshot::load(&mut self.transaction, &row).await?),
                    };
                    let missed = missed.events(&row, self.now);
                    ChangedEnvironment { row, snapshot, handle, missed }
                }
                None => {
                    let snapshot = Snapshot::load(&mut self.transaction, &row).await?;
                    let (handle, snapshot) = self.add_environment(&row, &project.key, snapshot);
                    ChangedEnvironment { row, snapshot, handle, missed: Vec::new() }
                }
            });
        }
        Ok(environments)
    }

    /// Counts the environment's revision up, logs the change, and patches the snapshot that follows the commit.
    pub(crate) async fn patch(
        &mut self,
        environment: &mut ChangedEnvironment,
        kind: EventKind,
        key: &str,
        patch: &Patch,
    ) -> Result<(), ServiceError> {
        let id = environment.row.id;
        let revision = store::environments::next_revision(&mut self.transaction, id).await?;
        store::changes::insert(&mut self.transaction, id, revision, kind.as_str(), key, self.now).await?;
        (environment.row.revision, environment.row.changed_at) = (revision, self.now);
        environment.snapshot = Arc::new(environment.snapshot.patched(revision, self.now, patch));
        let key = Some(key).filter(|_| kind != EventKind::Refetch);
        let event = Arc::new(Event::new(revision, kind, key, self.now));
        self.pending.insert(id, (environment.handle.clone(), environment.snapshot.clone()));
        self.effects.push(Effect::Swap(environment.handle.clone(), environment.snapshot.clone()));
        for event in environment.missed.drain(..).chain([event]) {
            self.effects.push(Effect::Publish(environment.handle.clone(), event));
        }
        Ok(())
    }

    pub(crate) fn add_environment(
        &mut self,
        row: &Environment,
        project: &str,
        snapshot: Snapshot,
    ) -> (Arc<EnvironmentHandle>, Arc<Snapshot>) {
        let handle = Arc::new(EnvironmentHandle::new(row, project, snapshot, &self.shared.counters));
        let snapshot = handle.snapshot.load_full();
        self.pending.insert(row.id, (handle.clone(), snapshot.clone()));
        self.effects.push(Effect::AddEnvironment(handle.clone()));
        (handle, snapshot)
    }

    /// Its SDK keys end with it.
    pub(crate) fn remove_environment(&mut self, environment: ChangedEnvironment) {
        self.effects.push(Effect::RemoveEnvironment(environment.handle));
    }

    pub(crate) fn add_key(&mut self, hash: TokenHash, grant: Arc<KeyGrant>) {
        self.effects.push(Effect::AddKey(hash, grant));
    }

    pub(crate) fn revoke_key(&mut self, id: Uuid) {
        self.effects.extend(self.shared.keys.by_id(id).map(Effect::RevokeKey));
    }
}

impl ChangedEnvironment {
    pub(crate) fn handle(&self) -> &Arc<EnvironmentHandle> {
        &self.handle
    }
}
