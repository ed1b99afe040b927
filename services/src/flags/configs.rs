//! A flag's configuration in one environment.

use flagstone_engine::model::FlagConfig;
use serde_json::Value;

use super::service::{find, put_definition};
use super::{FlagRecord, Flags, VersionedConfig, checks};
use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::changes::{Change, ChangedEnvironment};
use crate::error::ServiceError;
use crate::hub::EventKind;
use crate::store;
use crate::version::Expected;

impl Flags {
    /// A flag's configuration in one environment; the implicit one, with version 0, where none is stored.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn config(
        &self,
        project: &str,
        key: &str,
        environment: &str,
    ) -> Result<VersionedConfig, ServiceError> {
        let details = self.get(project, key).await?;
        let found = details.environments.into_iter().find(|(other, _)| other == environment);
        found.map(|(_, config)| config).ok_or(ServiceError::NotFound("environment"))
    }

    /// Puts a flag's configuration in one environment.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn put_config(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        environment: &str,
        expected: Expected,
        document: Value,
    ) -> Result<VersionedConfig, ServiceError> {
        actor.require_member()?;
        let (project, key, environment) = (project.to_owned(), key.to_owned(), environment.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let record = find(&mut change.transaction, &project, &key).await?;
                    let environments = change.environments(&project).await?;
                    let mut environment = environments
                        .into_iter()
                        .find(|other| other.row.key == environment)
                        .ok_or(ServiceError::NotFound("environment"))?;
                    let before = stored(change, &record, &environment).await?;
                    expected.check(before.version)?;
                    let config = FlagConfig::read(&document, &record.flag, VersionedConfig::READ_ONLY)
                        .map_err(ServiceError::Invalid)?;
                    put(change, &project.key, &record, &mut environment, before, config).await
                })
            })
            .await
    }
}

/// What is stored of a flag in an environment, or the implicit configuration.
pub(super) async fn stored(
    change: &mut Change,
    record: &FlagRecord,
    environment: &ChangedEnvironment,
) -> Result<VersionedConfig, ServiceError> {
    let key = &record.flag.key;
    let project = environment.row.project_id;
    let mut configs = store::flags::configs_between(&mut change.transaction, project, key, key).await?;
    let stored = configs.remove(&(record.id, environment.row.id));
    Ok(stored.unwrap_or_else(|| VersionedConfig::implicit(&record.flag)))
}

/// Checks and puts a configuration inside a change.
pub(crate) async fn put(
    change: &mut Change,
    project: &str,
    record: &FlagRecord,
    environment: &mut ChangedEnvironment,
    before: VersionedConfig,
    config: FlagConfig,
) -> Result<VersionedConfig, ServiceError> {
    checks::config(&record.flag, &config, &environment.snapshot)?;
    let after = VersionedConfig { config, version: before.version + 1, updated_at: Some(change.now) };
    store::flags::put_config(&mut change.transaction, record.id, environment.row.id, &after).await?;
    let environment_key = environment.row.key.clone();
    let entry = Entry {
        project: Some(project),
        environment: Some(&environment_key),
        before: Some(audit::json(&before)),
        after: Some(audit::json(&after)),
        ..Entry::new("flag_config.update", "flag", &record.flag.key)
    };
    change.record(entry).await?;
    put_definition(change, environment, record, Some(after.clone()), EventKind::Update).await?;
    Ok(after)
}
