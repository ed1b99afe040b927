//! Making, changing and deleting segments. They are a project's, the same in all its environments.

use std::sync::Arc;

use flagstone_engine::model::Segment;
use serde_json::Value;
use uuid::Uuid;

use super::service::refuse_if_used;
use super::{SegmentRecord, checks};
use crate::actor::Actor;
use crate::audit::{self, Entry};
use crate::changes::{Change, ChangedEnvironment, Changes};
use crate::error::ServiceError;
use crate::hub::EventKind;
use crate::page::{Page, PageRequest};
use crate::projects;
use crate::snapshot::{Patch, Reference};
use crate::store::{self, Db, StoreError, json};
use crate::version::Expected;

/// The segments of all projects. Every look-up is scoped by project.
pub struct Segments {
    db: Db,
    changes: Changes,
}

impl Segments {
    pub(crate) fn new(db: Db, changes: Changes) -> Self {
        Self { db, changes }
    }

    /// A page of a project's segments in the order of their keys, those with `search` in key, name or description.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn list(
        &self,
        project: &str,
        search: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<SegmentRecord>, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = projects::find(&mut reader, project).await?;
        let (data, total) =
            store::segments::list(&mut reader, project.id, search, page.limit(), page.offset).await?;
        Ok(Page::new(data, total, page))
    }

    /// One segment.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn get(&self, project: &str, key: &str) -> Result<SegmentRecord, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = projects::find(&mut reader, project).await?;
        let found = store::segments::by_key(&mut reader, project.id, key).await?;
        found.ok_or(ServiceError::NotFound("segment"))
    }

    /// Makes a segment.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`exists`), [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn create(
        &self,
        actor: &Actor,
        project: &str,
        document: &Value,
    ) -> Result<SegmentRecord, ServiceError> {
        actor.require_member()?;
        let segment = Segment::read(document, SegmentRecord::READ_ONLY).map_err(ServiceError::Invalid)?;
        let project = project.to_owned();
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let environments = change.environments(&project).await?;
                    checks::segment(&segment, &environments)?;
                    let record = SegmentRecord {
                        id: Uuid::now_v7(),
                        segment: Arc::new(segment),
                        version: 1,
                        created_at: change.now,
                        updated_at: change.now,
                    };
                    let key = &record.segment.key;
                    store::segments::insert(&mut change.transaction, project.id, &record).await.map_err(
                        |error| {
                            if error.is_unique() {
                                let detail = format!("there is a segment \"{key}\" in the project already");
                                ServiceError::conflict("exists", detail)
                            } else {
                                error.into()
                            }
                        },
                    )?;
                    let entry = Entry {
                        project: Some(&project.key),
                        after: Some(audit::json(&record)),
                        ..Entry::new("segment.create", "segment", key)
                    };
                    change.record(entry).await?;
                    patch_all(change, environments, key, &put(&record)?).await?;
                    Ok(record)
                })
            })
            .await
    }

    /// Changes a segment; the whole document is put. The key stays.
    ///
    /// # Errors
    /// [`ServiceError::StaleVersion`], [`ServiceError::NotFound`], [`ServiceError::Invalid`],
    /// [`ServiceError::Forbidden`].
    pub async fn update(
        &self,
        actor: &Actor,
        project: &str,
        key: &str,
        expected: Expected,
        document: &Value,
    ) -> Result<SegmentRecord, ServiceError> {
        actor.require_member()?;
        let segment = Segment::read(document, SegmentRecord::READ_ONLY).map_err(ServiceError::Invalid)?;
        let (project, key) = (project.to_owned(), key.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let before = store::segments::by_key(&mut change.transaction, project.id, &key).await?;
                    let before = before.ok_or(ServiceError::NotFound("segment"))?;
                    expected.check(before.version)?;
                    if segment.key != key {
                        return Err(ServiceError::Invalid(vec![checks::immutable("/key")]));
                    }
                    let environments = change.environments(&project).await?;
                    checks::segment(&segment, &environments)?;
                    let record = SegmentRecord {
                        segment: Arc::new(segment),
                        version: before.version + 1,
                        updated_at: change.now,
                        ..before.clone()
                    };
                    store::segments::update(&mut change.transaction, &record).await?;
                    let entry = Entry {
                        project: Some(&project.key),
                        before: Some(audit::json(&before)),
                        after: Some(audit::json(&record)),
                        ..Entry::new("segment.update", "segment", &key)
                    };
                    change.record(entry).await?;
                    patch_all(change, environments, &key, &put(&record)?).await?;
                    Ok(record)
                })
            })
            .await
    }

    /// Deletes a segment.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] (`in_use`) where a flag or another segment uses it;
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
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    let before = store::segments::by_key(&mut change.transaction, project.id, &key).await?;
                    let before = before.ok_or(ServiceError::NotFound("segment"))?;
                    expected.check(before.version)?;
                    let environments = change.environments(&project).await?;
                    refuse_if_used(&environments, Reference::Segment(&key), "delete")?;
                    let entry = Entry {
                        project: Some(&project.key),
                        before: Some(audit::json(&before)),
                        ..Entry::new("segment.delete", "segment", &key)
                    };
                    change.record(entry).await?;
                    store::segments::delete(&mut change.transaction, before.id).await?;
                    patch_all(change, environments, &key, &Patch::RemoveSegment(key.as_str().into())).await
                })
            })
            .await
    }
}

fn put(record: &SegmentRecord) -> Result<Patch, StoreError> {
    Ok(Patch::PutSegment(record.segment.clone(), json::write(&*record.segment)?.into()))
}

/// Any number of flags may use a segment, so readers ask for all of them again.
async fn patch_all(
    change: &mut Change,
    environments: Vec<ChangedEnvironment>,
    key: &str,
    patch: &Patch,
) -> Result<(), ServiceError> {
    for mut environment in environments {
        change.patch(&mut environment, EventKind::Refetch, key, patch).await?;
    }
    Ok(())
}
