//! Making, changing, archiving and deleting flags.

use std::sync::Arc;

use flagstone_engine::model::Flag;
use serde_json::Value;
use uuid::Uuid;

use super::{FlagDetails, FlagFilter, FlagRecord, VersionedConfig, checks};
use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::changes::{Change, ChangedEnvironment, Changes};
use crate::error::ServiceError;
use crate::hub::EventKind;
use crate::page::{Page, PageRequest};
use crate::projects::{self, Environment, Project};
use crate::snapshot::{FlagDefinition, Patch, Reference, Snapshots};
use crate::store::flags::Configs;
use crate::store::{self, Db, Executor, StoreError};
use crate::version::Expected;

/// The flags of all projects. Every look-up is scoped by project.
pub struct Flags {
    pub(super) db: Db,
    pub(super) changes: Changes,
    pub(super) snapshots: Arc<Snapshots>,
}

impl Flags {
    pub(crate) fn new(db: Db, changes: Changes, snapshots: Arc<Snapshots>) -> Self {
        Self { db, changes, snapshots }
    }

    /// A page of a project's flags in the order of their keys.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn list(
        &self,
        project: &str,
        filter: &FlagFilter,
        page: PageRequest,
    ) -> Result<Page<FlagDetails>, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = projects::find(&mut reader, project).await?;
        let environments = store::environments::of_project(&mut reader, project.id).await?;
        let (records, total) =
            store::flags::list(&mut reader, project.id, filter, page.limit(), page.offset).await?;
        let mut configs = match (records.first(), records.last()) {
            (Some(first), Some(last)) => {
                let (first, last) = (&first.flag.key, &last.flag.key);
                store::flags::configs_between(&mut reader, project.id, first, last).await?
            }
            _ => Configs::new(),
        };
        let data = records.into_iter().map(|record| details(record, &environments, &mut configs)).collect();
        Ok(Page::new(data, total, page))
    }

    /// One flag.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn get(&self, project: &str, key: &str) -> Result<FlagDetails, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = projects::find(&mut reader, project).await?;
        let environments = store::environments::of_project(&mut reader, project.id).await?;
        let record = find(&mut reader, &project, key).await?;
        let mut configs = store::flags::configs_between(&mut reader, project.id, key, key).await?;
        Ok(details(record, &environments, &mut configs))
    }

    /// Makes a flag from its own fields; it is off in every environment.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`exists`), [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn create(
        &self,
        actor: &Actor,
        project: &str,
        document: &Value,
    ) -> Result<FlagDetails, ServiceError> {
        actor.require_member()?;
        let flag = Flag::read(document, FlagDetails::READ_ONLY_IN_NEW).map_err(ServiceError::Invalid)?;
        let project = project.to_owned();
        self.changes
            .run(actor, move |change| Box::pin(async move { create(change, &project, flag).await }))
            .await
    }

    /// Changes a flag's own fields, `archived` among them; the whole document is put. Key and type stay.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Conflict`] (`in_use`, when archiving), [`ServiceError::Forbidden`].
    pub async fn update(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        expected: Expected,
        document: &Value,
    ) -> Result<FlagDetails, ServiceError> {
        actor.require_member()?;
        let flag = Flag::read(document, FlagDetails::READ_ONLY).map_err(ServiceError::Invalid)?;
        let (project, key) = (project.to_owned(), key.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move { update(change, &project, &key, expected, flag).await })
            })
            .await
    }

    /// Deletes a flag and its configurations.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`in_use`) where another flag or a segment leans on it;
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
    pub async fn delete(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        expected: Expected,
    ) -> Result<(), ServiceError> {
        actor.require_member()?;
        let (project, key) = (project.to_owned(), key.to_owned());
        self.changes
            .run(actor, move |change| Box::pin(async move { delete(change, &project, &key, expected).await }))
            .await
    }
}

/// Makes a flag inside a change.
pub(crate) async fn create(
    change: &mut Change,
    project: &str,
    flag: Flag,
) -> Result<FlagDetails, ServiceError> {
    let project = change.project(project).await?;
    let mut environments = change.environments(&project).await?;
    let record = FlagRecord {
        id: Uuid::now_v7(),
        flag: Arc::new(flag),
        version: 1,
        created_at: change.now,
        updated_at: change.now,
    };
    let key = &record.flag.key;
    store::flags::insert(&mut change.transaction, project.id, &record).await.map_err(|error| {
        if error.is_unique() {
            ServiceError::conflict("exists", format!("there is a flag \"{key}\" in the project already"))
        } else {
            error.into()
        }
    })?;
    store::unknown_flags::delete(&mut change.transaction, project.id, key).await?;
    let entry = Entry {
        project: Some(&project.key),
        after: Some(audit::json(&record.flag)),
        ..Entry::new("flag.create", "flag", key)
    };
    change.record(entry).await?;
    for environment in &mut environments {
        put_definition(change, environment, &record, None, EventKind::Create).await?;
    }
    let rows: Vec<_> = environments.into_iter().map(|environment| environment.row).collect();
    Ok(details(record, &rows, &mut Configs::new()))
}

async fn update(
    change: &mut Change,
    project: &str,
    key: &str,
    expected: Expected,
    flag: Flag,
) -> Result<FlagDetails, ServiceError> {
    let project = change.project(project).await?;
    let before = find(&mut change.transaction, &project, key).await?;
    expected.check(before.version)?;
    let mut configs = store::flags::configs_between(&mut change.transaction, project.id, key, key).await?;
    let mut environments = change.environments(&project).await?;
    let archiving = flag.archived && !before.flag.archived;
    if archiving {
        refuse_if_used(&environments, Reference::Flag(key), "archive")?;
    }
    checks::flag_update(&before.flag, &flag, before.id, &environments, &configs)?;
    let kind = match (before.flag.archived, flag.archived) {
        (false, true) => EventKind::Deleted,
        (true, false) => EventKind::Create,
        _ => EventKind::Update,
    };
    let record = FlagRecord {
        flag: Arc::new(flag),
        version: before.version + 1,
        updated_at: change.now,
        ..before.clone()
    };
    store::flags::update(&mut change.transaction, &record).await?;
    let verb = match kind {
        EventKind::Deleted => "flag.archive",
        EventKind::Create => "flag.unarchive",
        EventKind::Update | EventKind::Refetch => "flag.update",
    };
    let entry = Entry {
        project: Some(&project.key),
        before: Some(audit::json(&before.flag)),
        after: Some(audit::json(&record.flag)),
        ..Entry::new(verb, "flag", key)
    };
    change.record(entry).await?;
    for environment in &mut environments {
        let config = configs.get(&(record.id, environment.row.id)).cloned();
        put_definition(change, environment, &record, config, kind).await?;
    }
    let rows: Vec<_> = environments.into_iter().map(|environment| environment.row).collect();
    Ok(details(record, &rows, &mut configs))
}

async fn delete(
    change: &mut Change,
    project: &str,
    key: &str,
    expected: Expected,
) -> Result<(), ServiceError> {
    let project = change.project(project).await?;
    let before = find(&mut change.transaction, &project, key).await?;
    expected.check(before.version)?;
    let mut environments = change.environments(&project).await?;
    refuse_if_used(&environments, Reference::Flag(key), "delete")?;
    let mut configs = store::flags::configs_between(&mut change.transaction, project.id, key, key).await?;
    let rows: Vec<_> = environments.iter().map(|environment| environment.row.clone()).collect();
    let entry = Entry {
        project: Some(&project.key),
        before: Some(audit::json(&details(before.clone(), &rows, &mut configs))),
        ..Entry::new("flag.delete", "flag", key)
    };
    change.record(entry).await?;
    store::flags::delete(&mut change.transaction, before.id).await?;
    for environment in &mut environments {
        change.patch(environment, EventKind::Deleted, key, &Patch::RemoveFlag(key.into())).await?;
    }
    Ok(())
}

/// Puts a flag as it is now into an environment's next snapshot. Readers are told to ask for all flags again where
/// others depend on this one: those may answer differently too.
pub(super) async fn put_definition(
    change: &mut Change,
    environment: &mut ChangedEnvironment,
    record: &FlagRecord,
    config: Option<VersionedConfig>,
    kind: EventKind,
) -> Result<(), ServiceError> {
    let config = config.unwrap_or_else(|| VersionedConfig::implicit(&record.flag));
    let definition = FlagDefinition::new(record, &config)?;
    let key = record.flag.key.clone();
    let alone = environment.snapshot.dependents(Reference::Flag(&key)).is_empty();
    let kind = if alone { kind } else { EventKind::Refetch };
    let patch = Patch::PutFlag(record.flag.clone(), Box::new(config.config), definition);
    change.patch(environment, kind, &key, &patch).await
}

/// Refuses to do away with what something in any environment leans on.
pub(super) fn refuse_if_used(
    environments: &[ChangedEnvironment],
    wanted: Reference<'_>,
    verb: &str,
) -> Result<(), ServiceError> {
    for environment in environments {
        let dependents = environment.snapshot.dependents(wanted);
        if !dependents.is_empty() {
            let detail = format!(
                "in \"{}\" it is used by {}: change these first, then {verb} it",
                environment.row.key,
                dependents.join(", ")
            );
            return Err(ServiceError::conflict("in_use", detail));
        }
    }
    Ok(())
}

/// The flag of this key in this project.
pub(super) async fn find(
    executor: &mut impl Executor,
    project: &Project,
    key: &str,
) -> Result<FlagRecord, ServiceError> {
    let found: Result<_, StoreError> = store::flags::by_key(executor, project.id, key).await;
    found?.ok_or(ServiceError::NotFound("flag"))
}

fn details(record: FlagRecord, environments: &[Environment], configs: &mut Configs) -> FlagDetails {
    let of_environment = |environment: &Environment| {
        let stored = configs.remove(&(record.id, environment.id));
        (environment.key.clone(), stored.unwrap_or_else(|| VersionedConfig::implicit(&record.flag)))
    };
    let environments = environments.iter().map(of_environment).collect();
    FlagDetails::new(record, environments)
}
