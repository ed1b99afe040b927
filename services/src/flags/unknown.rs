//! Keys that clients ask for and that do not exist: a typing mistake, or a flag deleted too early.

use std::sync::PoisonError;

use flagstone_engine::is_key;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Flags;
use crate::actor::Actor;
use crate::audit::Entry;
use crate::error::ServiceError;
use crate::page::{Page, PageRequest};
use crate::projects;
use crate::snapshot::EnvironmentHandle;
use crate::store;

/// Different keys counted per environment between two flushes; what comes beyond is not counted.
const COUNTED: usize = 200;

/// A key that was asked for in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnknownFlag {
    /// The environment's key.
    pub environment: String,
    /// The key asked for.
    pub key: String,
    /// How often.
    pub requests: u64,
    /// When first.
    pub first_seen_at: Timestamp,
    /// When last.
    pub last_seen_at: Timestamp,
}

impl Flags {
    /// Counts a key that was asked for in vain. Never waits: where another thread counts at this moment, or the key
    /// is none, nothing is counted.
    pub fn note_unknown(&self, environment: &EnvironmentHandle, key: &str) {
        if !is_key(key) {
            return;
        }
        let Ok(mut unknown) = environment.unknown.try_lock() else { return };
        if let Some(count) = unknown.get_mut(key) {
            *count = count.saturating_add(1);
        } else if unknown.len() < COUNTED {
            unknown.insert(key.into(), 1);
        }
    }

    /// A page of the keys asked for in vain and not dismissed, the last seen first; up to a minute old.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unavailable`].
    pub async fn unknown(&self, project: &str, page: PageRequest) -> Result<Page<UnknownFlag>, ServiceError> {
        let mut reader = self.db.read().await?;
        let project = projects::find(&mut reader, project).await?;
        let (data, total) =
            store::unknown_flags::list(&mut reader, project.id, page.limit(), page.offset).await?;
        Ok(Page::new(data, total, page))
    }

    /// Takes a key off the list, in all environments of the project and for good.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
    pub async fn dismiss_unknown(&self, actor: &Actor, project: &str, key: &str) -> Result<(), ServiceError> {
        actor.require_member()?;
        let (project, key) = (project.to_owned(), key.to_owned());
        self.changes
            .run(actor, move |change| {
                Box::pin(async move {
                    let project = change.project(&project).await?;
                    if store::unknown_flags::dismiss(&mut change.transaction, project.id, &key).await? == 0 {
                        return Err(ServiceError::NotFound("unknown flag"));
                    }
                    let entry = Entry {
                        project: Some(&project.key),
                        ..Entry::new("unknown_flag.dismiss", "unknown_flag", &key)
                    };
                    Ok(change.record(entry).await?)
                })
            })
            .await
    }

    /// Writes the counts down.
    pub(crate) async fn flush(&self, now: Timestamp) -> Result<(), ServiceError> {
        let mut counted = Vec::new();
        for handle in self.snapshots.all() {
            let unknown = std::mem::take(&mut *handle.unknown.lock().unwrap_or_else(PoisonError::into_inner));
            let snapshot = handle.snapshot.load();
            let still = unknown.into_iter().filter(|(key, _)| snapshot.compiled.flag(key).is_none());
            counted.extend(still.map(|(key, requests)| (handle.id, key, requests)));
        }
        if counted.is_empty() {
            return Ok(());
        }
        let mut transaction = self.db.begin().await?;
        for (environment, key, requests) in counted {
            store::unknown_flags::count_up(&mut transaction, environment, &key, requests, now).await?;
        }
        Ok(transaction.commit().await?)
    }
}
