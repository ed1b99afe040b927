//! Rows of `audit_logs`: written once, never changed.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::{StoreError, Transaction};
use super::value::params;

/// A row to be written.
pub(crate) struct NewRow<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: &'a str,
    pub(crate) actor_kind: &'a str,
    pub(crate) actor_id: Option<String>,
    pub(crate) actor_name: &'a str,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) entity_type: &'a str,
    pub(crate) entity_id: &'a str,
    pub(crate) project: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) success: bool,
    pub(crate) created_at: Timestamp,
}

/// Appends the row with the next number of the sequence.
pub(crate) async fn insert(transaction: &mut Transaction, row: NewRow<'_>) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO audit_logs (id, sequence, type, actor_kind, actor_id, actor_name, address, user_agent, \
             request_id, entity_type, entity_id, project, environment, before, after, success, created_at) \
             VALUES ($1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit_logs), $2, $3, $4, $5, $6, $7, $8, $9, \
             $10, $11, $12, $13, $14, $15, $16)",
            params![
                row.id,
                row.kind,
                row.actor_kind,
                row.actor_id,
                row.actor_name,
                row.address,
                row.user_agent,
                row.request_id,
                row.entity_type,
                row.entity_id,
                row.project,
                row.environment,
                row.before,
                row.after,
                row.success,
                row.created_at,
            ],
        )
        .await?;
    Ok(())
}
