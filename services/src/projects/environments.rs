//! Making, changing, ordering and deleting the environments of a project.

use serde_json::Value;

use super::{Environment, Projects};
use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::error::ServiceError;
use crate::fields::Fields;
use crate::snapshot::Snapshot;
use crate::store;
use crate::version::Expected;

/// Environments of one project: each has a snapshot of all its flags.
const ENVIRONMENTS: usize = 50;
impl Projects {
    /// The environments of a project, in their order.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn environments(&self, project: &str) -> Result<Vec<Environment>, ServiceError> {
        Ok(self.get(project).await?.environments)
    }

    /// One environment.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn environment(&self, project: &str, key: &str) -> Result<Environment, ServiceError> {
        let environments = self.environments(project).await?;
        environments.into_iter().find(|other| other.key == key).ok_or(ServiceError::NotFound("environment"))
    }

    /// Makes an environment from `{"key", "name"}`, after the others; every flag is off in it.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`exists`, `environment_limit`), [`ServiceError::NotFound`],
    /// [`ServiceError::Invalid`], [`ServiceError::Forbidden`].
    pub async fn create_environment(
        &self,
        actor: &Actor,
        project: &str,
        document: &Value,
    ) -> Result<Environment, ServiceError> {
        actor.require_admin()?;
        let mut fields = Fields::new(document);
        let key = fields.project_key("key", None);
        let name = fields.name(&key);
        let (key, name) = fields.finish((key, name))?;
        let project = project.to_owned();
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let others = store::environments::of_project(&mut change.transaction, project.id).await?;
                    if others.iter().any(|other| other.key == key) {
                        let detail = format!("there is an environment \"{key}\" already");
                        return Err(ServiceError::conflict("exists", detail));
                    }
                    if others.len() >= ENVIRONMENTS {
                        let detail = format!("a project has at most {ENVIRONMENTS} environments");
                        return Err(ServiceError::conflict("environment_limit", detail));
                    }
                    let position = others.iter().map(|other| other.position + 1).max().unwrap_or(0);
                    let environment = Environment::new(project.id, &key, &name, position, change.now);
                    store::environments::insert(&mut change.transaction, &environment).await?;
                    let snapshot = Snapshot::load(&mut change.transaction, &environment).await?;
                    change.add_environment(&environment, &project.key, snapshot);
                    let entry = Entry {
                        project: Some(&project.key),
                        environment: Some(&key),
                        after: Some(audit::json(&environment)),
                        ..Entry::new("environment.create", "environment", &key)
                    };
                    change.record(entry).await?;
                    Ok(environment)
                })
            })
            .await
    }

    /// Changes the name; the whole document is put.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn update_environment(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        expected: Expected,
        document: &Value,
    ) -> Result<Environment, ServiceError> {
        actor.require_admin()?;
        let mut fields = Fields::new(document);
        fields.ignore(Environment::READ_ONLY);
        let key = fields.project_key("key", Some(key));
        let name = fields.name(&key);
        let name = fields.finish(name)?;
        let project = project.to_owned();
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let others = store::environments::of_project(&mut change.transaction, project.id).await?;
                    let before = others.into_iter().find(|other| other.key == key);
                    let before = before.ok_or(ServiceError::NotFound("environment"))?;
                    expected.check(before.version)?;
                    let after = Environment {
                        name,
                        version: before.version + 1,
                        updated_at: change.now,
                        ..before.clone()
                    };
                    store::environments::update(&mut change.transaction, &after).await?;
                    let entry = Entry {
                        project: Some(&project.key),
                        environment: Some(&key),
                        before: Some(audit::json(&before)),
                        after: Some(audit::json(&after)),
                        ..Entry::new("environment.update", "environment", &key)
                    };
                    change.record(entry).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Puts the environments into the order of `{"environments": [keys]}`, which names each of them once.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Forbidden`].
    pub async fn reorder_environments(
        &self,
        actor: &Actor,
        project: &str,
        document: &Value,
    ) -> Result<Vec<Environment>, ServiceError> {
        actor.require_admin()?;
        let mut fields = Fields::new(document);
        let order: Vec<String> = fields.texts("environments").into_iter().map(str::to_owned).collect();
        let order = fields.finish(order)?;
        let project = project.to_owned();
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let before = store::environments::of_project(&mut change.transaction, project.id).await?;
                    let mut after = before.clone();
                    after.sort_by_key(|other| order.iter().position(|key| *key == other.key));
                    if after.iter().map(|environment| &environment.key).ne(&order) {
                        let keys: Vec<_> = before.iter().map(|other| other.key.as_str()).collect();
                        let detail = format!("name each of these once: {}", keys.join(", "));
                        return Err(ServiceError::invalid("/environments", "not_a_permutation", detail));
                    }
                    for (position, environment) in (0..).zip(&mut after) {
                        if environment.position != position {
                            environment.position = position;
                            environment.version += 1;
                            environment.updated_at = change.now;
                            store::environments::update(&mut change.transaction, environment).await?;
                        }
                    }
                    let keys = |environments: &[Environment]| -> Value {
                        environments.iter().map(|environment| environment.key.as_str()).collect()
                    };
                    let entry = Entry {
                        project: Some(&project.key),
                        before: Some(keys(&before)),
                        after: Some(keys(&after)),
                        ..Entry::new("environment.reorder", "project", &project.key)
                    };
                    change.record(entry).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Deletes an environment: its configurations, its SDK keys, its streams.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`last_environment`), [`ServiceError::StaleVersion`],
    /// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
    pub async fn delete_environment(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        expected: Expected,
    ) -> Result<(), ServiceError> {
        actor.require_admin()?;
        let (project, key) = (project.to_owned(), key.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let environments = change.environments(&project).await?;
                    let count = environments.len();
                    let found = environments.into_iter().find(|other| other.row.key == key);
                    let found = found.ok_or(ServiceError::NotFound("environment"))?;
                    expected.check(found.row.version)?;
                    if count == 1 {
                        let detail = "a project keeps one environment: delete the project instead";
                        return Err(ServiceError::conflict("last_environment", detail));
                    }
                    let entry = Entry {
                        project: Some(&project.key),
                        environment: Some(&key),
                        before: Some(audit::json(&found.row)),
                        ..Entry::new("environment.delete", "environment", &key)
                    };
                    change.record(entry).await?;
                    store::environments::delete(&mut change.transaction, found.row.id).await?;
                    change.remove_environment(found);
                    Ok(())
                })
            })
            .await
    }
}
