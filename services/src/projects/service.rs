//! Making, changing and deleting projects.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Environment, Project};
use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::changes::{Change, Changes};
use crate::error::ServiceError;
use crate::fields::Fields;
use crate::page::{Page, PageRequest};
use crate::snapshot::Snapshot;
use crate::store::{self, Db, ReadTransaction};
use crate::version::Expected;

/// What every project begins with, in this order.
const ENVIRONMENTS: [(&str, &str); 3] =
    [("development", "Development"), ("staging", "Staging"), ("production", "Production")];
/// The projects and their environments.
pub struct Projects {
    pub(super) db: Db,
    pub(super) changes: Changes,
}

/// A project with its environments, in the shape clients see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProjectDetails {
    /// The project.
    #[serde(flatten)]
    pub project: Project,
    /// Its environments, in their order.
    pub environments: Vec<Environment>,
}

impl ProjectDetails {
    /// Members that a client may send back and that are passed over.
    pub const READ_ONLY: &[&str] = &["version", "created_at", "updated_at", "environments"];
}

impl Projects {
    pub(crate) fn new(db: Db, changes: Changes) -> Self {
        Self { db, changes }
    }

    /// A page of projects in the order of their keys, those whose key or name has `search` in it.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn list(
        &self,
        search: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<ProjectDetails>, ServiceError> {
        let mut reader = self.db.read().await?;
        let like = crate::page::like(search);
        let (projects, total) = store::projects::list(&mut reader, like, page.limit(), page.offset).await?;
        let mut data = Vec::with_capacity(projects.len());
        for project in projects {
            let environments = store::environments::of_project(&mut reader, project.id).await?;
            data.push(ProjectDetails { project, environments });
        }
        Ok(Page::new(data, total, page))
    }

    /// One project.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<ProjectDetails, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = find(&mut reader, key).await?;
        let environments = store::environments::of_project(&mut reader, project.id).await?;
        Ok(ProjectDetails { project, environments })
    }

    /// Makes a project from `{"key", "name", "description"}`, with its three environments.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`exists`), [`ServiceError::Invalid`], [`ServiceError::Forbidden`].
    pub async fn create(&self, actor: &Actor, document: &Value) -> Result<ProjectDetails, ServiceError> {
        actor.require_admin()?;
        let mut fields = Fields::new(document);
        let key = fields.project_key("key", None);
        let wanted = (key.clone(), fields.name(&key), fields.description());
        let (key, name, description) = fields.finish(wanted)?;
        self.changes.run(actor, move |change| Box::pin(create(change, key, name, description))).await
    }

    /// Changes name and description; the whole document is put.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn update(
        &self,
        actor: &Actor,
        key: &str,
        expected: Expected,
        document: &Value,
    ) -> Result<ProjectDetails, ServiceError> {
        actor.require_admin()?;
        let mut fields = Fields::new(document);
        fields.ignore(ProjectDetails::READ_ONLY);
        let key = fields.project_key("key", Some(key));
        let wanted = (fields.name(&key), fields.description());
        let (name, description) = fields.finish(wanted)?;
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let before = change.project(&key).await?;
                    expected.check(before.version)?;
                    let project = Project {
                        name,
                        description,
                        version: before.version + 1,
                        updated_at: change.now,
                        ..before.clone()
                    };
                    store::projects::update(&mut change.transaction, &project).await?;
                    let entry = Entry {
                        project: Some(&key),
                        before: Some(audit::json(&before)),
                        after: Some(audit::json(&project)),
                        ..Entry::new("project.update", "project", &key)
                    };
                    change.record(entry).await?;
                    let environments =
                        store::environments::of_project(&mut change.transaction, project.id).await?;
                    Ok(ProjectDetails { project, environments })
                })
            })
            .await
    }

    /// Deletes a project with all that is in it; its SDK keys open nothing any more and its streams end.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
    pub async fn delete(&self, actor: &Actor, key: &str, expected: Expected) -> Result<(), ServiceError> {
        actor.require_admin()?;
        let key = key.to_owned();
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&key).await?;
                    expected.check(project.version)?;
                    let environments = change.environments(&project).await?;
                    let entry = Entry {
                        project: Some(&key),
                        before: Some(audit::json(&project)),
                        ..Entry::new("project.delete", "project", &key)
                    };
                    change.record(entry).await?;
                    store::projects::delete(&mut change.transaction, &project).await?;
                    for environment in environments {
                        change.remove_environment(environment);
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Makes a project inside a change.
pub(crate) async fn create(
    change: &mut Change,
    key: String,
    name: String,
    description: String,
) -> Result<ProjectDetails, ServiceError> {
    let now = change.now;
    let project =
        Project { id: Uuid::now_v7(), key, name, description, version: 1, created_at: now, updated_at: now };
    store::projects::insert(&mut change.transaction, &project).await.map_err(|error| {
        if error.is_unique() {
            ServiceError::conflict("exists", format!("there is a project \"{}\" already", project.key))
        } else {
            error.into()
        }
    })?;
    let mut environments = Vec::with_capacity(ENVIRONMENTS.len());
    for (position, (key, name)) in (0..).zip(ENVIRONMENTS) {
        let environment = Environment::new(project.id, key, name, position, now);
        store::environments::insert(&mut change.transaction, &environment).await?;
        let snapshot = Snapshot::load(&mut change.transaction, &environment).await?;
        change.add_environment(&environment, &project.key, snapshot);
        environments.push(environment);
    }
    let entry = Entry {
        project: Some(&project.key),
        after: Some(audit::json(&project)),
        ..Entry::new("project.create", "project", &project.key)
    };
    change.record(entry).await?;
    Ok(ProjectDetails { project, environments })
}

/// The project of this key.
pub(crate) async fn find(reader: &mut ReadTransaction, key: &str) -> Result<Project, ServiceError> {
    store::projects::by_key(reader, key).await?.ok_or(ServiceError::NotFound("project"))
}
