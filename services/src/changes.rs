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
use crate::projects::{Environment, Project};
use crate::snapshot::{EnvironmentHandle, Loader, Patch, Snapshot, Snapshots};
use crate::store::{self, Announcement, Db, Executor, StoreError, Transaction};
use crate::token::TokenHash;

/// Longest wait for the changes before this one.
const TURN: Duration = Duration::from_secs(10);

/// The most changes of an environment that are told one by one when they were missed.
const MISSED: u64 = 100;

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
            // A project's environments come one after the other; it is let go of before the next is read.
            let mut of_project = match loader.take().filter(|loader| loader.is_of(row.project_id)) {
                Some(loader) => loader,
                None => Loader::of_project(&mut reader, row.project_id).await?,
            };
            let snapshot = of_project.environment(&mut reader, &row).await?;
            loader = Some(of_project);
            if let Some(handle) = known {
                let seen = if other_file { None } else { Some(handle.snapshot.load_full()) };
                newest = newest.max(seen.is_some().then_some(row.changed_at));
                let missed = missed_events(&mut reader, &row, seen.as_deref(), now).await?;
                effects.push(Effect::Swap(handle.clone(), Arc::new(snapshot)));
                effects.extend(missed.into_iter().map(|event| Effect::Publish(handle.clone(), event)));
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

/// What happened to an environment since the state `seen`: one event for each change, or one for all of them where they
/// are many or not all known, or where the database forgot a part of what was seen.
async fn missed_events(
    executor: &mut impl Executor,
    row: &Environment,
    seen: Option<&Snapshot>,
    now: Timestamp,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let count =
        seen.and_then(|seen| row.revision.checked_sub(seen.revision)).filter(|count| *count <= MISSED);
    if let (Some(seen), Some(count)) = (seen, count)
        && (seen.revision == 0
            || store::changes::made_at(executor, row.id, seen.revision).await? == Some(seen.changed_at))
    {
        let rows = store::changes::since(executor, row.id, seen.revision).await?;
        let event = |(revision, kind, key): &(u64, String, String)| match EventKind::parse(kind)? {
            EventKind::Refetch => None,
            kind => Some(Arc::new(Event::new(*revision, kind, Some(key), now))),
        };
        let events: Option<Vec<_>> = rows.iter().map(event).collect();
        if let Some(events) = events.filter(|events| events.len() as u64 == count) {
            return Ok(events);
        }
    }
    Ok(vec![Arc::new(Event::new(row.revision, EventKind::Refetch, None, now))])
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
                known => {
                    let snapshot = Snapshot::load(&mut self.transaction, &row).await?;
                    let (handle, snapshot, missed) = match known {
                        Some((handle, seen)) => {
                            let missed =
                                missed_events(&mut self.transaction, &row, Some(&seen), self.now).await?;
                            (handle, Arc::new(snapshot), missed)
                        }
                        None => {
                            let (handle, snapshot) = self.add_environment(&row, &project.key, snapshot);
                            (handle, snapshot, Vec::new())
                        }
                    };
                    ChangedEnvironment { row, snapshot, handle, missed }
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
