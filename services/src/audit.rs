//! What was done, by whom: a row in the same transaction as the change itself (R60).

use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::actor::{Actor, Identity};
use crate::store::{StoreError, Transaction, audit};

/// What an audit row says apart from its actor. `before` and `after` never hold a secret.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Subject and verb, as in `flag.update` or `session.sign_in`.
    pub kind: &'static str,
    /// The sort of thing concerned, as in `flag`.
    pub entity_type: &'static str,
    /// Which one: its key or public id.
    pub entity_id: &'a str,
    /// The project's key, where one is concerned.
    pub project: Option<&'a str>,
    /// The environment's key, where one is concerned.
    pub environment: Option<&'a str>,
    /// As it was; `None` where it was made.
    pub before: Option<Json>,
    /// As it is; `None` where it was deleted.
    pub after: Option<Json>,
    /// Whether it was done, or was tried and refused.
    pub success: bool,
}

impl<'a> Entry<'a> {
    /// A successful act outside of any project, without `before` and `after`.
    pub const fn new(kind: &'static str, entity_type: &'static str, entity_id: &'a str) -> Self {
        Self {
            kind,
            entity_type,
            entity_id,
            project: None,
            environment: None,
            before: None,
            after: None,
            success: true,
        }
    }
}

/// Writes the row. The caller's transaction fails with it, so there is no change without its row.
///
/// # Errors
/// Any [`StoreError`].
pub async fn record(
    transaction: &mut Transaction,
    now: Timestamp,
    actor: &Actor,
    entry: Entry<'_>,
) -> Result<(), StoreError> {
    let (actor_kind, actor_id) = match &actor.identity {
        Identity::User { id, .. } => ("user", Some(id.to_string())),
        Identity::Anonymous => ("anonymous", None),
        Identity::Cli => ("cli", None),
        Identity::System => ("system", None),
    };
    let row = audit::NewRow {
        id: Uuid::now_v7(),
        kind: entry.kind,
        actor_kind,
        actor_id,
        actor_name: actor.name(),
        address: actor.address.map(|address| address.to_string()),
        user_agent: actor.user_agent.as_deref(),
        request_id: actor.request_id.as_deref(),
        entity_type: entry.entity_type,
        entity_id: entry.entity_id,
        project: entry.project,
        environment: entry.environment,
        before: entry.before.map(|before| before.to_string()),
        after: entry.after.map(|after| after.to_string()),
        success: entry.success,
        created_at: now,
    };
    audit::insert(transaction, row).await
}

/// A value as `before` or `after`.
pub(crate) fn json(value: &impl serde::Serialize) -> Json {
    // What cannot be written as JSON has map keys that are no strings; nothing that is audited has.
    serde_json::to_value(value).unwrap_or_default()
}
